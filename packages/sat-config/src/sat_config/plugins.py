"""The modules that register families and members: ours, and those of installed plug-ins."""

import importlib

BUILTIN = ("sat_config.audio",)
"""Families that ship with this package, through the same door as any other."""

_loaded = False


def load() -> None:
    """Import every schema module once."""
    global _loaded
    if _loaded:
        return
    _loaded = True
    for name in BUILTIN:
        importlib.import_module(name)
