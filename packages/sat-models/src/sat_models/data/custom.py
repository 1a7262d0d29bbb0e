"""Somebody's Python: modules that add to the metadata of items.

A dataset may name a Python file with `get_custom_metadata(info, audio)`. It runs only in a process
that was told so (`--allow-custom-code`), because a configuration file must not be able to run code.
"""

import hashlib
import importlib.util
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jaxtyping import Shaped
from torch import Tensor

from sat_config import custom_code
from sat_models.errors import CustomCodeError, DataError

FUNCTION = "get_custom_metadata"


@dataclass(frozen=True)
class CustomModule:
    """A module that was allowed to run.

    Attributes:
        path: The file.
        sha256: Of its text when the dataset was built.
    """

    path: str
    sha256: str

    def describe(
        self, info: Mapping[str, Any], values: Shaped[Tensor, "c t"] | None
    ) -> dict[str, Any]:
        """What the module says of an item.

        Args:
            info: The item's metadata so far.
            values: Its waveform or latents.

        Raises:
            DataError: The module fails; the message has its file and line.
        """
        function = _load(self.path, self.sha256, os.getpid())
        try:
            found = function(dict(info), values)
        except Exception as error:
            raise DataError(_located(self.path, error)) from error
        if not isinstance(found, Mapping):
            raise DataError(
                f"{self.path}: {FUNCTION} returned {type(found).__name__}; it has to return a dict"
            )
        return dict(found)


def custom_module(path: str | None) -> CustomModule | None:
    """The module that an entry of a dataset names, if it names one.

    It is loaded at once, so that a mistake in it shows before training starts; workers load their
    own.

    Raises:
        CustomCodeError: The process was not told to run custom code.
        DataError: The file is missing, or fails to load.
    """
    if path is None:
        return None
    if not Path(path).is_file():
        raise DataError(f"custom_metadata_module {path}: no such file")
    if not custom_code.allowed():
        raise CustomCodeError(
            f"the dataset wants to run {path} (custom_metadata_module); if you trust that file,"
            f" {custom_code.how_to_allow()}"
        )
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    _load(path, digest, os.getpid())
    return CustomModule(path, digest)


@lru_cache
def _load(path: str, sha256: str, _process: int) -> Callable[[dict[str, Any], object], object]:
    """The function of a module, loaded once in each process: handles do not survive a fork."""
    text = Path(path).read_bytes()
    if hashlib.sha256(text).hexdigest() != sha256:
        raise DataError(f"{path} has changed since the dataset was built; start again")
    spec = importlib.util.spec_from_file_location(f"sat_custom_{sha256[:12]}", path)
    if spec is None or spec.loader is None:
        raise DataError(f"custom_metadata_module {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        exec(compile(text, path, "exec"), module.__dict__)
    except Exception as error:
        raise DataError(_located(path, error)) from error
    function = getattr(module, FUNCTION, None)
    if not callable(function):
        raise DataError(f"{path}: has no function {FUNCTION}(info, audio)")
    found: Callable[[dict[str, Any], object], object] = function
    return found


def _located(path: str, error: Exception) -> str:
    """The error with the last line of the module that it came through."""
    if isinstance(error, SyntaxError):
        return f"{path}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    where = f"{path}:{frames[-1].lineno}" if frames else path
    line = f"\n    {frames[-1].line}" if frames and frames[-1].line else ""
    return f"{where}: {type(error).__name__}: {error}{line}"
