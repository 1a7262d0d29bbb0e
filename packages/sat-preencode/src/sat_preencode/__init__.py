"""Encode a dataset to latents, each item exactly once.

`preencode(experiment)` does it all. It is imported when first asked for, because it needs torch and
mistakes in an experiment file are to be told before that.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sat_preencode.errors import PreencodeError, StoreError

if TYPE_CHECKING:
    from sat_preencode.recipe import PreencodeResult, preencode

__all__ = ["PreencodeError", "PreencodeResult", "StoreError", "preencode"]


def __getattr__(name: str) -> object:
    if name in ("PreencodeResult", "preencode"):
        return getattr(import_module("sat_preencode.recipe"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
