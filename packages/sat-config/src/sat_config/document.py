"""A file becomes a plain table, or a problem that says where and why not."""

import datetime
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from sat_config import hints, positions, runs, shipped, upgrade
from sat_config.errors import Path, Problem

MAX_DEPTH = 100

SUFFIXES = {"toml": "toml", "json": "json", "yaml": "yaml", "yml": "yaml", "ini": "ini"}
"""What a file is, by the end of its name."""

LONGEST_SCANNED = 1 << 21
"""Characters of text above which problems name the file and the path, but not the line: finding
lines takes seconds per megabyte, and nobody writes such a file by hand."""
Table = dict[str, Any]


class Source(msgspec.Struct, eq=False, kw_only=True, dict=True):
    """Where values come from: a file, or a word of the command line.

    Attributes:
        name: How messages call it.
        folder: What relative paths in it start from.
        text: Its content.
        language: "toml", "json", "yaml", "ini" or "override"; "" for what has no text.
    """

    name: str
    folder: str = "."
    text: str = ""
    language: str = ""

    def locate(
        self, path: Path, *, value: bool = False
    ) -> tuple[int | None, int, str | None] | None:
        """Line, column and text of the line where `path`, or the nearest table above it, stands."""
        if not self.language or len(self.text) > LONGEST_SCANNED:
            return None
        if "places" not in self.__dict__:
            self.__dict__["places"] = positions.index(self.text, self.language)
        places = self.__dict__["places"]
        whole = path
        while path not in places:
            path = path[:-1]
        place = places[path]
        return self.at_offset(place.value if value and path == whole else place.key)

    def at_offset(self, offset: int) -> tuple[int | None, int, str | None]:
        """Line, column and text of the line of an offset into the text; a word has no lines."""
        if self.language == "override":
            return None, offset + 1, self.text
        if "starts" not in self.__dict__:
            self.__dict__["starts"] = positions.line_starts(self.text)
        return positions.line_and_column(self.text, offset, self.__dict__["starts"])


class Document(msgspec.Struct, eq=False):
    """A parsed file.

    Attributes:
        source: The file.
        data: Its content, upgraded to the current schema version.
        origin_of: For data that some other tool has composed: who set the value at a path (an
            `Origin`).
    """

    source: Source
    data: Table
    origin_of: Callable[[Path], Any] | None = None


class DocumentError(Exception):
    """A file that is no document; carries the problems."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__(problems[0].message)


def read(path: str | os.PathLike[str]) -> Document:
    """Read a TOML, JSON or YAML file, a `defaults.ini`, or a shipped preset ("sat:NAME").

    A run folder and `runs/NAME/latest` stand for the configuration in them.

    Raises:
        DocumentError: It cannot be read, is not what its suffix says, or holds what no
            configuration can (duplicate keys, NaN, dates, extreme nesting).
    """
    name = os.fspath(path)
    if name.startswith(shipped.PREFIX):
        name = _preset(name)
    elif _suffix(name) not in SUFFIXES:
        name = runs.find(name) or name
    text = _read_text(name)
    language = SUFFIXES[_suffix(name)]
    source = Source(name=name, folder=os.path.dirname(name) or ".", text=text, language=language)
    data = parse(source)
    return Document(source=source, data=_upgraded(data, source))


def from_mapping(mapping: Mapping[str, Any], name: str) -> Document:
    """Plain data that some other reader has made, as a document.

    Raises:
        DocumentError: It holds what no configuration can.
    """
    source = Source(name=name)
    data = dict(mapping)
    if problems := list(_unusable(data, source)):
        raise DocumentError(*problems)
    return Document(source=source, data=_upgraded(data, source))


def parse(source: Source) -> Table:
    """The plain table of a source's text."""
    try:
        return _checked(source)
    except RecursionError:
        raise DocumentError(_too_deep(source, ())) from None


def _checked(source: Source) -> Table:
    parsers = {"json": _parse_json, "toml": _parse_toml, "yaml": _parse_yaml, "ini": _parse_ini}
    try:
        data = parsers[source.language](source)
    except ValueError:  # an integer of more digits than Python converts
        raise DocumentError(_endless_number(source)) from None
    if not isinstance(data, dict):
        raise DocumentError(
            Problem(
                code="not-a-table",
                message=f"the document is {kind_of(data)}, not a table of keys",
                file=source.name,
                allowed="a JSON object ({...})",
            )
        )
    if problems := list(_unusable(data, source)):
        raise DocumentError(*problems)
    return data


def _endless_number(source: Source) -> Problem:
    found = re.search(r"[0-9_]{1000,}", source.text)
    line, column, shown = source.at_offset(found.start() if found else 0)
    return Problem(
        code="bad-number",
        message="this number has more digits than can be read",
        file=source.name,
        line=line,
        column=column,
        source_line=shown,
    )


def kind_of(value: object) -> str:
    """What a plain value is, in words."""
    names = {bool: "a truth value", int: "an integer", float: "a decimal number", str: "text"}
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return names.get(type(value), type(value).__name__)


def _read_text(name: str) -> str:
    def refuse(code: str, message: str, suggestion: str | None = None) -> DocumentError:
        return DocumentError(Problem(code=code, message=message, file=name, suggestion=suggestion))

    if os.path.isdir(name):
        raise refuse("not-a-file", "this is a folder, not a file", runs.advice(name))
    if _suffix(name) not in SUFFIXES:
        if not os.path.exists(name) and (meant := _meant_by(name)):
            raise refuse("missing-file", "there is no such file", meant)
        raise refuse(
            "unknown-format",
            f"{os.path.basename(name)!r} is not .toml, .json, .yaml or .ini",
            "write it as TOML or JSON; the suffix says which it is",
        )
    try:
        with open(name, "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        raise refuse("missing-file", "there is no such file", _similar_file(name)) from None
    except (OSError, ValueError) as error:  # or a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise refuse("unreadable", f"cannot be read: {reason}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"byte {error.start} (line {line}) is not UTF-8 text"
        raise refuse("not-utf8", message, "save the file as UTF-8") from None
    if not text.strip():
        raise refuse("empty-file", "the file is empty")
    return text


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1][1:].lower()


def _preset(name: str) -> str:
    """The file of a preset."""
    if (found := shipped.find(name)) is not None:
        return found
    known = shipped.names()
    raise DocumentError(
        Problem(
            code="unknown-preset",
            message="no preset of this name is shipped",
            file=name,
            allowed=hints.choices(known, name),
            suggestion=hints.nearest(name, known),
        )
    )


def _meant_by(name: str) -> str | None:
    """What somebody meant who named no file that is there: an override, or another suffix."""
    key, equals, _ = name.partition("=")
    return f"--override {name!r}" if equals and "/" not in key else _similar_file(name)


def _similar_file(name: str) -> str | None:
    try:
        beside = os.listdir(os.path.dirname(name) or ".")
    except OSError:
        return None
    close = hints.nearest(os.path.basename(name), beside)
    return os.path.join(os.path.dirname(name), close) if close else None


def _parse_toml(source: Source) -> object:
    import tomllib

    try:
        return tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        message, _, where = str(error).rpartition(" (at ")
        line, column = _toml_place(where, source.text)
        raise _syntax_error(source, message or str(error), line, column, "TOML") from None


def _toml_place(where: str, text: str) -> tuple[int, int]:
    numbers = [
        int(word) for word in where.replace(",", " ").replace(")", " ").split() if word.isdigit()
    ]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def _parse_json(source: Source) -> object:
    import json

    repeats = False

    def table(pairs: list[tuple[str, object]]) -> Table:
        nonlocal repeats
        result = dict(pairs)
        repeats = repeats or len(result) < len(pairs)
        return result

    try:
        data = json.loads(source.text, object_pairs_hook=table)
    except json.JSONDecodeError as error:
        raise _syntax_error(source, error.msg, error.lineno, error.colno, "JSON") from None
    if repeats:
        raise DocumentError(*_duplicates(source))
    return data


def _parse_yaml(source: Source) -> object:
    from sat_config import yaml_text

    try:
        return yaml_text.parse(source.text)
    except ImportError:
        raise DocumentError(
            Problem(
                code="missing-extra",
                message="reading YAML needs PyYAML, which is not installed",
                file=source.name,
                suggestion="pip install 'sat-config[yaml]', or write the file as TOML",
            )
        ) from None
    except yaml_text.YamlError as error:
        line, column, shown = positions.line_and_column(source.text, error.offset)
        if error.code == "syntax":
            raise _syntax_error(source, str(error), line, column, "YAML") from None
        raise DocumentError(
            Problem(
                code=error.code,
                path=error.path,
                message=str(error),
                file=source.name,
                line=line,
                column=column,
                source_line=shown,
                suggestion="keep one of them",
            )
        ) from None


def _parse_ini(source: Source) -> object:
    from sat_config import ini

    try:
        return ini.parse(source.text)
    except ini.IniError as error:
        line, column, _ = positions.line_and_column(source.text, error.offset)
        raise _syntax_error(source, str(error), line, column, "INI") from None


def _duplicates(source: Source) -> Iterator[Problem]:
    for path, offset in positions.duplicates(source.text):
        line, column, shown = source.at_offset(offset)
        yield Problem(
            code="duplicate-key",
            path=path,
            message=f"the key {path[-1]!r} is given twice in one table",
            file=source.name,
            line=line,
            column=column,
            source_line=shown,
            suggestion="keep one of them; JSON readers disagree on which one counts",
        )


def _syntax_error(
    source: Source, message: str, line: int, column: int, language: str
) -> DocumentError:
    starts = positions.line_starts(source.text)
    offset = starts[min(line, len(starts)) - 1] + column - 1
    return DocumentError(
        Problem(
            code="syntax",
            message=f"not valid {language}: {message[:1].lower()}{message[1:]}",
            file=source.name,
            line=line,
            column=column,
            source_line=positions.line_text(source.text, line, starts),
            suggestion=hints.for_syntax(source.language, message, source.text, offset),
        )
    )


def _unusable(data: Table, source: Source) -> Iterator[Problem]:
    """Values that no configuration may hold, each with its place."""
    if _usable(data):
        return
    stack: list[tuple[Path, object]] = [((), data)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict | list | tuple):
            if len(path) >= MAX_DEPTH:
                yield _too_deep(source, path)
                return
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in pairs:
                if isinstance(value, dict) and (bad := _flaw_of_key(key)):
                    yield at(source, path, *bad)
                else:
                    stack.append(((*path, key), item))
        elif found := flaw(value):
            code, message, suggestion = found
            yield at(source, path, code, message, suggestion=suggestion)


def _usable(data: object) -> bool:
    """Whether there is nothing to refuse: the quick answer, level by level and without places."""
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return True
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is dict:
                if not all(map(_is_usual_key, value)):
                    return False
                below += value.values()
            elif kind in (list, tuple):
                below += value
            elif kind is str:
                if not value.isascii() and not _is_text(value):
                    return False
            elif kind is not bool and value is not None and flaw(value):
                return False
        level = below
    return False


def _is_usual_key(key: object) -> bool:
    return type(key) is str and (key.isascii() or _is_text(key))


def flaw(value: object) -> tuple[str, str, str | None] | None:
    """Why no configuration may hold this scalar: code, sentence and advice; None if it may."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        if value.isascii() or _is_text(value):
            return None
        return "not-text", f"{value!r} has half of a surrogate pair, which is no character", None
    if isinstance(value, float):
        if math.isfinite(value):
            return None
        return "not-finite", f"{value} is not a number that can be used", None
    if isinstance(value, int):
        if -(2**63) <= value < 2**63:
            return None
        return "bad-number", "this integer does not fit in 64 bits", None
    advice = None
    if isinstance(value, datetime.date | datetime.time):
        advice = f'"{value}" (quoted, as text)'
    return "not-plain", f"this is a {type(value).__name__}, which no key accepts", advice


def _flaw_of_key(key: object) -> tuple[str, str] | None:
    if not isinstance(key, str):
        return "bad-key", f"the key {key!r} is not text"
    if not key.isascii() and not _is_text(key):
        return "bad-key", f"the key {key!r} has half of a surrogate pair, which is no character"
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_deep(source: Source, path: Path) -> Problem:
    shown = ".".join(map(str, path[:6]))
    return Problem(
        code="too-deep",
        message=f"tables or lists are nested more than {MAX_DEPTH} deep"
        + (f" (below {shown}...)" if shown else ""),
        file=source.name,
    )


def at(
    source: Source, path: Path, code: str, message: str, *, suggestion: str | None = None
) -> Problem:
    """A problem with the value at `path` of a source."""
    line, column, shown = source.locate(path, value=True) or (None, None, None)
    return Problem(
        code=code,
        path=path,
        message=message,
        file=source.name,
        line=line,
        column=column,
        source_line=shown,
        suggestion=suggestion,
    )


def _upgraded(data: Table, source: Source) -> Table:
    try:
        return upgrade.upgrade(data)
    except upgrade.VersionError as error:
        raise DocumentError(at(source, ("schema_version",), "schema-version", str(error))) from None
