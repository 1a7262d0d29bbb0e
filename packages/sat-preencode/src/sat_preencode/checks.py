"""What an experiment must have to be pre-encoded, before anything is loaded or read."""

from sat_config.audio.dataset import AudioDirNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.preencode import Preencode
from sat_config.run import Experiment
from sat_models.support import refuse_unsupported
from sat_preencode.errors import PreencodeError


def preencode_table(experiment: Experiment) -> tuple[AudioExperiment, Preencode]:
    """The experiment, which has to be one on audio, and its `preencode` table.

    Raises:
        PreencodeError: It is not, or has none.
        UnsupportedError: A setting is made that nothing here acts on.
    """
    if not isinstance(experiment, AudioExperiment):
        raise PreencodeError(f"{type(experiment).__name__} is not an experiment on audio")
    if experiment.preencode is None:
        raise PreencodeError(
            "the experiment has no [preencode] table; add\n\n"
            '[preencode]\noutput_path = "latents"\ncheckpoint = "runs/NAME/latest"'
        )
    refuse_unsupported(experiment, set(experiment.__struct_fields__) - {"runtime"}, where="")
    return experiment, experiment.preencode


def audio_node(experiment: AudioExperiment) -> AudioDirNode:
    """The experiment's dataset, which has to be folders of audio.

    Raises:
        PreencodeError: There is none, it is not audio, or an id cannot begin the names of items.
    """
    node = experiment.dataset
    if not isinstance(node, AudioDirNode):
        found = "there is none" if node is None else f"this one is of class {type(node).__name__}"
        raise PreencodeError(
            f"dataset has to be audio that can be encoded, and {found}; add\n\n"
            '[dataset]\ndataset_type = "audio_dir"\n'
            'datasets = [{ id = "music", path = "FOLDER" }]'
        )
    for index, folder in enumerate(node.datasets):
        _check_id(folder.id, index)
    return node


def _check_id(name: str, index: int) -> None:
    if set(name) & set("/\\#\0"):
        raise PreencodeError(
            f"dataset.datasets[{index}].id is {name!r}, which cannot begin the names of items: that"
            " ends at the first '/'; use letters, digits, '-' and '_'"
        )
