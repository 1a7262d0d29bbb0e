"""Whether the files and folders that a document reads are there."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from sat_config import diagnose, hints, schema
from sat_config.errors import Path, Problem, format_path
from sat_config.layers import Folded
from sat_config.schema import Slot

_WRITTEN_LATER = "sat-train writes it with the first checkpoint of the run of that name"


def missing(folded: Folded) -> Iterator[Problem]:
    """A problem for every file or folder to read that is not there."""
    if folded.slot is not None:
        for path, name in _inputs(folded.tree, folded.slot, ()):
            if not os.path.exists(name):
                problem = Problem(
                    code="missing-path",
                    path=path,
                    message=f"{format_path(path)}: there is no {name}",
                    found=name,
                    suggestion=_beside(name),
                    note=_WRITTEN_LATER if os.path.basename(name) == "latest" else None,
                )
                yield diagnose.locate(folded, problem)


def _inputs(value: Any, slot: Slot, path: Path) -> Iterator[tuple[Path, str]]:  # noqa: ANN401
    """Path and name of everything that is read."""
    if isinstance(value, str):
        if value and slot.path_kind in ("input", "checkpoint"):
            yield path, value
        return
    known = schema.keys_of(slot, value) if isinstance(value, dict) else {}
    pairs: Iterable[tuple[str | int, Any]] = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        pairs = enumerate(value)
    for key, item in pairs:
        child = known[key].slot if key in known else schema.child_slot(slot, value, key)
        if child is not None:
            yield from _inputs(item, child, (*path, key))


def _beside(name: str) -> str | None:
    """What is called most alike in the same folder."""
    try:
        near = hints.nearest(os.path.basename(name), os.listdir(os.path.dirname(name) or "."))
    except OSError:
        return None
    return os.path.join(os.path.dirname(name), near) if near else None
