"""Where in a text each key and value stands, for texts that a parser has already accepted.

Parsing keeps no positions; these scanners run only when somebody asks. They trust the grammar, so
they need to know where strings, comments and brackets end and little else.
"""

import contextlib
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

Path = tuple[str | int, ...]
LONGEST_LINE = 10_000
"""Lines beyond this, as machines write them, are not shown."""


class Place(NamedTuple):
    """Offsets of a key (or table header) and of its value in the text."""

    key: int
    value: int


def index(text: str, language: str) -> dict[Path, Place]:
    """The place of every key, table and list element of a valid text."""
    if language == "ini":
        return _ini_places(text)
    if language == "yaml":
        from sat_config import yaml_text

        return yaml_text.places(text)
    if language == "override":
        return _override_places(text)
    scanner = _Toml(text) if language == "toml" else _Json(text)
    scanner.document()
    return scanner.found


def _override_places(word: str) -> dict[Path, Place]:
    """The value of an override, and what is in it if it is a table or list."""
    import tomllib

    at = word.find("=") + 1
    at += len(word[at:]) - len(word[at:].lstrip())
    scanner = _Toml(word)
    with contextlib.suppress(ValueError, RecursionError):  # not TOML, or of an extreme kind
        tomllib.loads(f"value = {word[at:]}")
        scanner.at = at
        scanner.value(())
    return {**scanner.found, (): Place(at, at)}


def _ini_places(text: str) -> dict[Path, Place]:
    from sat_config import ini

    places: dict[Path, Place] = {(): Place(0, 0)}
    for entry in ini.entries(text):
        key = ini.RENAMED.get(entry.key, entry.key)
        places[(key,)] = Place(entry.key_at, entry.value_at)
    return places


def duplicates(text: str) -> list[tuple[Path, int]]:
    """Keys that a table of a valid JSON text has more than once: path and offset of the repeats."""
    scanner = _Json(text)
    scanner.document()
    return scanner.repeats


def line_starts(text: str) -> list[int]:
    """Offset of each line of the text."""
    starts = [0]
    while (found := text.find("\n", starts[-1])) >= 0:
        starts.append(found + 1)
    return starts


def line_and_column(
    text: str, offset: int, starts: Sequence[int] | None = None
) -> tuple[int, int, str | None]:
    """Line and column (from 1) of an offset, and the text of that line unless it is endless."""
    starts = starts or line_starts(text)
    line = bisect_right(starts, offset)
    column = offset - starts[line - 1] + 1
    return line, column, line_text(text, line, starts)


def line_text(text: str, line: int, starts: Sequence[int]) -> str | None:
    """The text of a line, counted from 1; None if it is endless."""
    if not 1 <= line <= len(starts):
        return None
    end = starts[line] - 1 if line < len(starts) else len(text)
    shown = text[starts[line - 1] : end].rstrip("\r")
    return shown if len(shown) <= LONGEST_LINE else None


class _Scanner:
    """A cursor over a text, and what it has found."""

    blanks = " \t\r\n"

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, Place] = {}

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def skip(self) -> None:
        """Move past white space and comments."""
        while self.peek() and self.peek() in self.blanks:
            self.at += 1

    def take(self, expected: str) -> bool:
        """Move past `expected` if it comes next."""
        self.skip()
        if self.text.startswith(expected, self.at):
            self.at += len(expected)
            return True
        return False

    def string(self, quote: str, *, escapes: bool = True) -> str:
        """Move past a string that starts here; its raw content."""
        self.at += len(quote)
        start = self.at
        while not self.text.startswith(quote, self.at):
            self.at += 2 if escapes and self.peek() == "\\" else 1
        if len(quote) == 3:  # up to two more quotes belong to the content
            while self.text.startswith(quote, self.at + 1):
                self.at += 1
        content = self.text[start : self.at]
        self.at += len(quote)
        return content

    def scalar(self) -> None:
        while self.peek() and self.peek() not in ",]}#\r\n":
            self.at += 1

    def value(self, path: Path) -> None:
        raise NotImplementedError

    def array(self, path: Path) -> None:
        self.at += 1
        item = 0
        while not self.take("]"):
            self.skip()
            self.found[(*path, item)] = Place(self.at, self.at)
            self.value((*path, item))
            self.take(",")
            item += 1


class _Json(_Scanner):
    def document(self) -> None:
        self.repeats: list[tuple[Path, int]] = []
        self.skip()
        self.found[()] = Place(self.at, self.at)
        self.value(())

    def value(self, path: Path) -> None:
        char = self.peek()
        if char == "{":
            self.table(path)
        elif char == "[":
            self.array(path)
        elif char == '"':
            self.string('"')
        else:
            self.scalar()

    def table(self, path: Path) -> None:
        seen: set[str] = set()
        self.at += 1
        while not self.take("}"):
            self.skip()
            start = self.at
            key = _unescape(self.string('"'))
            self.take(":")
            self.skip()
            here = (*path, key)
            if key in seen:
                self.repeats.append((here, start))
            seen.add(key)
            self.found[here] = Place(start, self.at)
            self.value(here)
            self.take(",")


class _Toml(_Scanner):
    def document(self) -> None:
        self.found[()] = Place(0, 0)
        self.lists: dict[Path, int] = {}
        header: Path = ()
        while True:
            self.skip()
            if not self.peek():
                return
            start = self.at
            if self.take("[["):
                header = self.header(start, "]]")
            elif self.take("["):
                header = self.header(start, "]")
            else:
                self.pair(header)

    def skip(self) -> None:
        super().skip()
        while self.peek() == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
            super().skip()

    def header(self, start: int, closing: str) -> Path:
        path: Path = ()
        keys = self.keys()
        self.take(closing)
        for key in keys[:-1]:
            path = self.current((*path, key))
        path = (*path, keys[-1])
        if closing == "]]":
            self.lists[path] = self.lists.get(path, -1) + 1
            self.found.setdefault(path, Place(start, start))
            path = (*path, self.lists[path])
        self.found[path] = Place(start, start)
        for length in range(1, len(path)):
            self.found.setdefault(path[:length], Place(start, start))
        return path

    def current(self, path: Path) -> Path:
        """`path`, or the newest element if it is an array of tables."""
        return (*path, self.lists[path]) if path in self.lists else path

    def keys(self) -> list[str]:
        keys = [self.key()]
        while self.take("."):
            keys.append(self.key())
        return keys

    def key(self) -> str:
        self.skip()
        if self.peek() == '"':
            return _unescape(self.string('"'))
        if self.peek() == "'":
            return self.string("'", escapes=False)
        start = self.at
        while self.peek().isalnum() or self.peek() in ("-", "_"):
            self.at += 1
        return self.text[start : self.at]

    def pair(self, table: Path) -> None:
        self.skip()
        start = self.at
        keys = self.keys()
        self.take("=")
        self.skip()
        path = (*table, *keys)
        for length in range(len(table) + 1, len(path)):
            self.found.setdefault(path[:length], Place(start, start))
        self.found[path] = Place(start, self.at)
        self.value(path)

    def value(self, path: Path) -> None:
        char = self.peek()
        if char == "{":
            self.inline(path)
        elif char == "[":
            self.array(path)
        elif char in ("'", '"'):
            triple = self.text.startswith(char * 3, self.at)
            self.string(char * 3 if triple else char, escapes=char == '"')
        else:
            self.scalar()

    def inline(self, path: Path) -> None:
        self.at += 1
        while not self.take("}"):
            self.pair(path)
            self.take(",")


_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}
_HEX = {"x": 2, "u": 4, "U": 8}


def _unescape(raw: str) -> str:
    if "\\" not in raw:
        return raw
    out, at = [], 0
    while at < len(raw):
        if raw[at] != "\\":
            out.append(raw[at])
            at += 1
        elif (size := _HEX.get(raw[at + 1])) is not None:
            out.append(chr(int(raw[at + 2 : at + 2 + size], 16)))
            at += 2 + size
        else:
            out.append(_ESCAPES.get(raw[at + 1], raw[at + 1]))
            at += 2
    joined = "".join(out)
    return joined.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
