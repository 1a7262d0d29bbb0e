"""Audio models, datasets, samplers and checkpoints, built from the nodes of sat-config."""

from sat_models.build import build_model
from sat_models.errors import AudioError, CheckpointError, DataError, MissingBuilderError

__all__ = [
    "AudioError",
    "CheckpointError",
    "DataError",
    "MissingBuilderError",
    "build_model",
]
