"""What an experiment must have to be pre-encoded, before anything is loaded or read."""

from sat_config.audio.dataset import AudioDirNode, DatasetNode, WebDatasetNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.preencode import Preencode
from sat_config.run import Experiment
from sat_models.support import refuse_unsupported
from sat_preencode.errors import PreencodeError


def preencode_table(experiment: Experiment) -> tuple[AudioExperiment, Preencode]:
    """The experiment, which has to be one on audio, and its `preencode` table.

    Raises:
        PreencodeError: It is not, or has none, or one whose settings do not go together.
        UnsupportedError: A setting is made that nothing here acts on.
    """
    if not isinstance(experiment, AudioExperiment):
        raise PreencodeError(f"{type(experiment).__name__} is not an experiment on audio")
    if experiment.preencode is None:
        raise PreencodeError(
            "the experiment has no [preencode] table; add\n\n"
            '[preencode]\noutput_path = "latents"\ncheckpoint = "runs/NAME/latest"'
        )
    table = experiment.preencode
    if table.format == "sat" and (table.dtype == "bfloat16" or table.latent == "mean_scale"):
        key = "dtype" if table.dtype == "bfloat16" else "latent"
        raise PreencodeError(
            f'preencode.format is "sat", and preencode.{key} "{getattr(table, key)}" is nothing'
            f' that stable-audio-tools can read back; choose another {key}, or format = "wds"'
        )
    refuse_unsupported(experiment, set(experiment.__struct_fields__) - {"runtime"}, where="")
    return experiment, experiment.preencode


def audio_node(experiment: AudioExperiment) -> AudioDirNode | WebDatasetNode:
    """The experiment's dataset, which has to be audio: in folders, or in tar shards.

    Raises:
        PreencodeError: There is none, it is not audio, an id cannot begin the names of items, or
            files are to be changed before they are encoded.
    """
    node = experiment.dataset
    if not isinstance(node, AudioDirNode | WebDatasetNode) or _holds_latents(node):
        found = "there is none" if node is None else f"this one is of class {type(node).__name__}"
        if node is not None and _holds_latents(node):
            found = "this one has pre_encoded = true"
        raise PreencodeError(
            f"dataset has to be audio that can be encoded, and {found}; add\n\n"
            '[dataset]\ndataset_type = "audio_dir"\n'
            'datasets = [{ id = "music", path = "FOLDER" }]'
        )
    for key in ("remove_silence", "strip_silence", "volume_norm"):
        if getattr(node, key):
            raise PreencodeError(
                f"dataset.{key} is set, and files are encoded as they are: their latents are to say"
                f" what is in them. Change the files before, or set dataset.{key} to false"
            )
    for index, name in enumerate([folder.id for folder in node.datasets]):
        _check_id(name, index)
    return node


def _holds_latents(node: DatasetNode) -> bool:
    return isinstance(node, WebDatasetNode) and node.pre_encoded


def _check_id(name: str, index: int) -> None:
    if set(name) & set("/\\#\0"):
        raise PreencodeError(
            f"dataset.datasets[{index}].id is {name!r}, which cannot begin the names of items: that"
            " ends at the first '/'; use letters, digits, '-' and '_'"
        )
