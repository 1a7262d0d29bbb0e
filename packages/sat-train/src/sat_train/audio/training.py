"""From an audio experiment to its training method."""

from torch import nn

from sat_config import UserError, plain
from sat_config.audio.experiment import AudioExperiment
from sat_config.node import Node
from sat_train.family import build_training
from sat_train.methods.base import AudioMethod, build_method

MODEL_KEYS = ("model_type", "sample_rate", "sample_size", "audio_channels", "model", "training")


@build_training.register
def _build(experiment: AudioExperiment, *, model: nn.Module) -> AudioMethod:
    training: Node | None = getattr(experiment, "training", None)
    if training is None:
        raise UserError("the experiment has no [training] table, so there is nothing to train by")
    method = build_method(training, model=model, experiment=experiment)
    document = plain(experiment)
    method.model_config = {key: document[key] for key in MODEL_KEYS if key in document}
    return method
