"""Reading stable-audio-tools' `defaults.ini` as a layer of run keys.

SAT hands each value to a Python literal parser and keeps the raw text where that fails. So do we,
with the two differences that its users expect: `false` is false (SAT takes it as text, which counts
as true), and what is empty or None is as if it were not there.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_LINE = re.compile(r"[ \t]*(?P<key>[\w.-]+)[ \t]*[=:][ \t]*(?P<value>.*?)[ \t]*$")

RENAMED = {"num_gpus": "devices"}
"""Keys of older files, and what they are called here."""

_WORDS = {"true": True, "false": False, "none": None, "null": None}


class Entry(NamedTuple):
    """One `key = value` line: its parts, and the offsets of both in the text."""

    key: str
    value: str
    key_at: int
    value_at: int


class Comment(NamedTuple):
    """A line that sets nothing: what it says, without its mark; None for a blank line."""

    text: str | None


class IniError(ValueError):
    """A line that is neither a setting, a section nor a comment; carries its offset."""

    def __init__(self, message: str, offset: int) -> None:
        self.offset = offset
        super().__init__(message)


def lines(text: str) -> Iterator[Entry | Comment]:
    """Every line but the names of sections, in order.

    Raises:
        IniError: A line is no setting.
    """
    offset = 0
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if not bare or bare[0] in "#;":
            yield Comment(bare[1:] if bare else None)
        elif not (bare[0] == "[" and bare[-1] == "]"):
            match = _LINE.match(line.rstrip("\r\n"))
            if match is None:
                raise IniError(f"{bare!r} is not of the form key = value", offset)
            at = offset + match.start("key"), offset + match.start("value")
            yield Entry(match["key"], match["value"], *at)
        offset += len(line)


def entries(text: str) -> list[Entry]:
    """All settings, whatever section they stand under, or under none.

    Raises:
        IniError: A line is no setting.
    """
    return [line for line in lines(text) if isinstance(line, Entry)]


def parse(text: str) -> dict[str, Any]:
    """The settings as run keys.

    Raises:
        IniError: A line is no setting, or a key is given twice.
    """
    table: dict[str, Any] = {}
    for entry in entries(text):
        key = RENAMED.get(entry.key, entry.key)
        if key in table:
            raise IniError(f"the key {entry.key!r} is given twice", entry.key_at)
        table[key] = value_of(key, entry.value)
    return {key: value for key, value in table.items() if value is not None}


def value_of(key: str, raw: str) -> Any:  # noqa: ANN401 - a plain value
    """What the text of a setting means; None for nothing."""
    try:
        value = ast.literal_eval(raw)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = _WORDS.get(raw.lower(), raw)
    if isinstance(value, str):
        value = value.strip()
    if key == "precision" and isinstance(value, int):
        return str(value)
    return None if value == "" else value
