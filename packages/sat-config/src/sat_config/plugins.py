"""The modules that register families and members: ours, and those of installed plug-ins.

A plug-in is a distribution with an entry point in the group `sat_config.schema` that names a
module free of torch; importing it registers its Structs. Installed distributions are looked
through by file name, because `importlib.metadata` alone would take longer than all the rest of
loading a configuration.
"""

import importlib
import os
import sys
from collections.abc import Iterator

from sat_config import registry, rules

GROUP = "sat_config.schema"

BUILTIN = ("sat_config.audio",)
"""Families that ship with this package, through the same door as any other."""

FAILED: dict[str, str] = {}
"""Plug-in modules that could not be imported, and why; shown when a tag is unknown."""

_loaded = False


def load() -> None:
    """Import every schema module once.

    A plug-in that fails is remembered in `FAILED`, and what it had registered is withdrawn.
    """
    global _loaded
    if _loaded:
        return
    _loaded = True
    for name in BUILTIN:
        importlib.import_module(name)
    for name in dict.fromkeys(installed()):
        _import_plugin(name)


def installed() -> Iterator[str]:
    """The schema modules that installed distributions name."""
    for folder in dict.fromkeys(sys.path):
        try:
            entries = sorted(entry.path for entry in os.scandir(folder or "."))
        except OSError:
            continue
        for path in entries:
            if path.endswith((".dist-info", ".egg-info")):
                yield from _modules_of(os.path.join(path, "entry_points.txt"))


def _modules_of(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return
    if GROUP not in text:
        return
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == GROUP and "=" in line and not line.startswith("#"):
            yield line.partition("=")[2].strip().partition(":")[0]


def _import_plugin(name: str) -> None:
    before, known_rules = registry.current().snapshot(), set(rules.RULES)
    try:
        importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's module raises
        registry.current().restore(before)
        rules.keep_only(known_rules)
        FAILED[name] = f"{type(error).__name__}: {error}"


def failures() -> str | None:
    """What to say of plug-ins that did not load, or None."""
    if not FAILED:
        return None
    listed = "; ".join(f"{name} ({reason})" for name, reason in FAILED.items())
    return f"these plug-ins did not load: {listed}"
