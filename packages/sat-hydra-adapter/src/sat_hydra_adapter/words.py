"""Hydra's words: values are set whether or not a group already names their key.

Hydra sets only keys that the groups hold, and advises a "+" for any other, also for a misspelt
one. Which keys there are is in the schema, so a word that sets a value becomes Hydra's
`++key=value`, and whatever nobody knows is refused when the whole is decoded.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from sat_config import Experiment, plugins, registry, schema

GROUPS = Path(__file__).parent / "groups"
"""The groups that the adapter ships."""

_WORD = re.compile(r"(?P<sign>\+{0,2})(?P<key>[^=+~\-][^=]*)=")


def forced(words: Sequence[str]) -> list[str]:
    """The words with `++` before each that sets a value; groups, flags and Hydra's own stay."""
    return [_forced(word) for word in words]


def _forced(word: str) -> str:
    found = _WORD.match(word)
    if found is None or not _sets_value(found["key"]):
        return word
    return f"++{word[found.end('sign') :]}"


def _sets_value(key: str) -> bool:
    """Whether a key is a value's: dotted, a helper, or a root key that is no table."""
    if key.startswith(("hydra.", "hydra/")) or "/" in key or "@" in key:
        return False
    return "." in key or key.startswith("_") or key in set(root_values())


def root_values() -> Iterator[str]:
    """Root keys of every family of documents that hold something else than a table."""
    plugins.load()
    yield from (path[0] for path in _tag_paths() if len(path) == 1)
    for cls in _roots():
        for name, field in schema.fields(cls).items():
            if not field.slot.holds_structs and field.slot.values is None:
                yield name


def nearest(key: str) -> str | None:
    """The group or root key that somebody may have meant."""
    plugins.load()
    known = {name for cls in _roots() for name in schema.fields(cls)} | set(root_values())
    return next(iter(get_close_matches(key, sorted(known), n=1)), None)


def _roots() -> Iterator[type]:
    yield Experiment
    for family in registry.current().roots():
        yield from (family.base, *family.members.values())


def _tag_paths() -> Iterator[tuple[str, ...]]:
    yield from (family.tag_path for family in registry.current().roots())
