"""Documents written out within the new file, with paths that start from its folder."""

import os
from collections.abc import Collection
from functools import cache
from typing import Any

from sat_config import document, encode, schema
from sat_config.document import Source, Table
from sat_config.errors import Path
from sat_config.layers import Folded, Origin
from sat_config.schema import Slot


def written_out(folded: Folded, folder: str, apart: Collection[str]) -> Table:
    """All that the layers made, without nulls and without the root keys in `apart`."""
    kept = {key: value for key, value in folded.tree.items() if key not in apart}
    moved = _relative(kept, folded.slot, (), folded, folder)
    found: Table = encode.without_none(moved)
    return found


def _relative(value: Any, slot: Slot | None, path: Path, folded: Folded, folder: str) -> Any:  # noqa: ANN401
    if slot is None:
        return value
    if isinstance(value, dict):
        return {
            key: _relative(item, schema.child_slot(slot, value, key), (*path, key), folded, folder)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _relative(item, slot.item, (*path, number), folded, folder)
            for number, item in enumerate(value)
        ]
    if isinstance(value, str) and value and slot.path_kind in ("input", "checkpoint"):
        raw = _raw(folded.trace.find(path))
        waits = slot.path_kind == "checkpoint" and not os.path.exists(value)
        return _named(value, raw, folder, waits=waits)
    return value


def _named(absolute: str, raw: object, folder: str, *, waits: bool) -> str:
    """A path as the new file writes it.

    It is absolute only where the document wrote it so. A checkpoint that is nowhere yet stays as it
    is, since it is looked for below the working directory.
    """
    if isinstance(raw, str) and (waits or os.path.isabs(os.path.expanduser(raw))):
        return raw
    return os.path.relpath(absolute, folder).replace(os.sep, "/")


def _raw(origin: Origin) -> object:
    """What a document has at a place; None for what one of its overrides sets."""
    if origin.path[:1] == ("overrides",):
        return None
    value: Any = _content(origin.source)
    for key in origin.path:
        value = value[key]
    return value


@cache
def _content(source: Source) -> Table:
    return document.parse(source) if source.language else {}
