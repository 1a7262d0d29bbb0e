"""Typed configuration for audio generative models: decode, layer, override, explain.

`load` reads an experiment that may run, `load_model` and `load_dataset` read single documents,
`decode` takes plain data; each raises `ConfigError` with every mistake and its place.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sat_config.encode import dumps, plain
from sat_config.errors import (
    ConfigError,
    ConfigWarning,
    MissingExtraError,
    Problem,
    UserError,
)
from sat_config.loading import (
    Report,
    check,
    check_composed,
    decode,
    load,
    load_as,
    load_model,
    validate,
)
from sat_config.run import Experiment

if TYPE_CHECKING:
    from sat_config.audio.dataset import DatasetNode

__all__ = [
    "ConfigError",
    "ConfigWarning",
    "Experiment",
    "MissingExtraError",
    "Problem",
    "Report",
    "UserError",
    "check",
    "check_composed",
    "decode",
    "dumps",
    "load",
    "load_as",
    "load_dataset",
    "load_model",
    "plain",
    "validate",
]


def load_dataset(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> "DatasetNode":
    """Load a dataset document, such as stable-audio-tools' `dataset_config.json`.

    Raises:
        ConfigError: It is not one.
    """
    from sat_config.audio.dataset import DatasetNode

    return load_as(path, DatasetNode, overrides)
