"""Typed configuration for audio generative models: decode, layer, override, explain.

`load` reads an experiment that may run, `load_model` and `load_dataset` read single documents,
`decode` takes plain data; each raises `ConfigError` with every mistake and its place. `diff`
compares two configurations.
"""

import importlib
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
    from sat_config.changes import Change, diff
    from sat_config.explanation import Explanation, explain
    from sat_config.jsonschema import json_schema

__all__ = [
    "Change",
    "ConfigError",
    "ConfigWarning",
    "Experiment",
    "Explanation",
    "MissingExtraError",
    "Problem",
    "Report",
    "UserError",
    "check",
    "check_composed",
    "decode",
    "diff",
    "dumps",
    "explain",
    "json_schema",
    "load",
    "load_as",
    "load_dataset",
    "load_model",
    "plain",
    "validate",
]


_ON_DEMAND = {
    "Change": "sat_config.changes",
    "diff": "sat_config.changes",
    "Explanation": "sat_config.explanation",
    "explain": "sat_config.explanation",
    "json_schema": "sat_config.jsonschema",
}
"""Where the names are that few need, so that the others come without them."""


def __getattr__(name: str) -> object:
    """Import what is not needed to load a configuration when it is first asked for."""
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ON_DEMAND[name]), name)


def load_dataset(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> "DatasetNode":
    """Load a dataset document, such as stable-audio-tools' `dataset_config.json`.

    Raises:
        ConfigError: It is not one.
    """
    from sat_config.audio.dataset import DatasetNode

    return load_as(path, DatasetNode, overrides)
