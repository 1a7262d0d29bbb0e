"""Who set a composed value: which file of which group, or which word of the command line."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode

from sat_config.document import DocumentError, Source, parse
from sat_config.layers import Origin, Trace, own

NOWHERE = Origin(Source(name="the composition"))


def trace_of(loader: ConfigLoader, config_name: str, words: Sequence[str]) -> Trace:
    """Lay the files that Hydra composes over one another, and the words on top.

    Args:
        loader: The loader of the composition.
        config_name: The primary file.
        words: The words of the command line, as Hydra got them.
    """
    trace = Trace(NOWHERE, children={})
    chosen = loader.compute_defaults_list(config_name, list(words), RunMode.RUN).defaults
    for default in chosen:
        name, package = default.config_path, (default.package or "").split(".")
        source = _file_of(loader, name) if name else None
        if source is not None and package[0] != "hydra":
            path = tuple(key for key in package if key)
            _enter_file(trace, source, path)
    groups = {default.override_key or default.config_path for default in chosen}
    for override in OverridesParser.create().parse_overrides(list(words)):
        if override.key_or_group not in groups and override.package is None:
            _enter_word(trace, override)
    return trace


def _file_of(loader: ConfigLoader, name: str) -> Source | None:
    """The YAML file that Hydra takes for a name: the first one on its search path."""
    for found in loader.get_sources():
        if found.scheme() == "file" and found.is_config(name):
            path = os.path.join(found.path, f"{name.removesuffix('.yaml')}.yaml")
            with open(path, encoding="utf-8") as file:
                return Source(name=os.path.relpath(path), text=file.read(), language="yaml")
    return None


def _enter_file(trace: Trace, source: Source, package: tuple[str, ...]) -> None:
    try:
        content = parse(source)
    except DocumentError:  # Hydra reads more of YAML; then a message names no line
        return
    for key in package:
        trace = trace.children.setdefault(key, Trace(Origin(source), children={}))
    content.pop("defaults", None)
    _enter(trace, content, source, ())


def _enter(trace: Trace, content: Mapping[str, Any], source: Source, path: tuple[str, ...]) -> None:
    """Note a source for every value that it sets; tables are gone through key by key."""
    for key, value in content.items():
        here = Origin(source, (*path, key))
        old = trace.children.get(key)
        if not isinstance(value, dict):
            trace.children[key] = Trace(here, children={}, previous=old)
            continue
        if old is None:
            old = trace.children[key] = Trace(here, children={})
        old.added = here
        _enter(old, value, source, (*path, key))


def _enter_word(trace: Trace, override: Override) -> None:
    origin = Origin(Source(name=f"{(override.input_line or '').lstrip('+')!r}"))
    keys = override.key_or_group.split(".")
    for key in keys[:-1]:
        part = _index(key)
        if isinstance(part, int):
            trace = own(trace, part)  # an element stays whose it is; the word sets a part of it
        else:
            trace = trace.children.setdefault(part, Trace(origin, children={}))
    last = _index(keys[-1])
    if override.is_delete():
        trace.children.pop(last, None)
        return
    try:
        value = override.value()
    except HydraException:  # a sweep, whose values come one by one
        return
    old = trace.children.get(last)
    trace.children[last] = new = Trace(origin, children={}, previous=old)
    if isinstance(value, dict) and old is not None:  # Hydra merges it
        new.children.update(old.children)
        _enter(new, value, origin.source, ())


def _index(key: str) -> str | int:
    return int(key) if key.isdecimal() else key
