"""A file becomes a plain table, or a problem that says where and why not."""

import math
import os
from collections.abc import Iterator
from typing import Any

import msgspec

from sat_config import positions, upgrade
from sat_config.errors import Path, Problem

MAX_DEPTH = 100
Table = dict[str, Any]


class Source(msgspec.Struct, eq=False, kw_only=True, dict=True):
    """Where values come from: a file, or a word of the command line.

    Attributes:
        name: How messages call it.
        folder: What relative paths in it start from.
        text: Its content.
        language: "toml", "json", "ini", or "" for what has no lines (an override, a mapping).
    """

    name: str
    folder: str = "."
    text: str = ""
    language: str = ""

    def locate(self, path: Path, *, value: bool = False) -> tuple[int, int, str] | None:
        """Line, column and text of the line where `path`, or the nearest table above it, stands."""
        if not self.language:
            return None
        if "places" not in self.__dict__:
            self.__dict__["places"] = positions.index(self.text, self.language)
        places = self.__dict__["places"]
        whole = path
        while path not in places:
            path = path[:-1]
        place = places[path]
        offset = place.value if value and path == whole else place.key
        return positions.line_and_column(self.text, offset)


class Document(msgspec.Struct, eq=False):
    """A parsed file.

    Attributes:
        source: The file.
        data: Its content, upgraded to the current schema version.
        notes: Warnings about it.
    """

    source: Source
    data: Table
    notes: list[Problem] = []


class DocumentError(Exception):
    """A file that is no document; carries the problems."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__(problems[0].message)


def read(path: str | os.PathLike[str]) -> Document:
    """Read a TOML or JSON file, or a `defaults.ini`.

    Raises:
        DocumentError: It cannot be read, is not what its suffix says, or holds what no
            configuration can (duplicate keys, NaN, dates, extreme nesting).
    """
    name = os.fspath(path)
    text = _read_text(name)
    language = name.lower().rpartition(".")[2]
    source = Source(name=name, folder=os.path.dirname(name) or ".", text=text, language=language)
    data = parse(source)
    notes = list(_drop_comments(data, source)) if language == "json" else []
    return Document(source=source, data=_upgraded(data, source), notes=notes)


def parse(source: Source) -> Table:
    """The plain table of a source's text."""
    parsers = {"json": _parse_json, "toml": _parse_toml, "ini": _parse_ini}
    try:
        data = parsers[source.language](source)
    except RecursionError:
        raise DocumentError(_too_deep(source, ())) from None
    if not isinstance(data, dict):
        raise DocumentError(
            Problem(
                code="not-a-table",
                message=f"the document is {kind_of(data)}, not a table of keys",
                file=source.name,
                allowed="a JSON object ({...})",
            )
        )
    problems = list(_unusable(data, source))
    if problems:
        raise DocumentError(*problems)
    return data


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

    if not name.lower().endswith((".toml", ".json", ".ini")):
        known = "not .toml, .json or .ini"
        raise refuse("unknown-format", f"{os.path.basename(name)!r} is {known}")
    try:
        with open(name, "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        raise refuse("missing-file", "there is no such file", _similar_file(name)) from None
    except IsADirectoryError:
        raise refuse("not-a-file", "this is a folder, not a file") from None
    except OSError as error:
        raise refuse("unreadable", f"cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise refuse("not-utf8", f"byte {error.start} (line {line}) is not UTF-8 text") from None
    if not text.strip():
        raise refuse("empty-file", "the file is empty")
    return text


def _similar_file(name: str) -> str | None:
    import difflib

    folder = os.path.dirname(name) or "."
    if not os.path.isdir(folder):
        return None
    close = difflib.get_close_matches(os.path.basename(name), os.listdir(folder), n=1)
    return os.path.join(os.path.dirname(name), close[0]) if close else None


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

    duplicates: list[str] = []

    def table(pairs: list[tuple[str, object]]) -> Table:
        result = dict(pairs)
        if len(result) < len(pairs):
            keys = [key for key, _ in pairs]
            duplicates.extend(key for key in result if keys.count(key) > 1)
        return result

    try:
        data = json.loads(source.text, object_pairs_hook=table)
    except json.JSONDecodeError as error:
        raise _syntax_error(source, error.msg, error.lineno, error.colno, "JSON") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise DocumentError(
            Problem(code="bad-number", message=str(error).split(";")[0], file=source.name)
        ) from None
    if duplicates:
        raise DocumentError(*(_duplicate(source, key) for key in dict.fromkeys(duplicates)))
    return data


def _parse_ini(source: Source) -> object:
    from sat_config import ini

    try:
        return ini.parse(source.text)
    except ini.IniError as error:
        line, column, _ = positions.line_and_column(source.text, error.offset)
        raise _syntax_error(source, str(error), line, column, "INI") from None


def _duplicate(source: Source, key: str) -> Problem:
    second = source.text.find(f'"{key}"', source.text.find(f'"{key}"') + 1)
    line, column, shown = positions.line_and_column(source.text, max(second, 0))
    return Problem(
        code="duplicate-key",
        message=f"the key {key!r} is given twice in one table",
        file=source.name,
        line=line,
        column=column,
        source_line=shown,
        suggestion="keep one of them; JSON readers disagree on which one counts",
    )


def _syntax_error(
    source: Source, message: str, line: int, column: int, language: str
) -> DocumentError:
    lines = source.text.splitlines()
    return DocumentError(
        Problem(
            code="syntax",
            message=f"not valid {language}: {message[:1].lower()}{message[1:]}",
            file=source.name,
            line=line,
            column=column,
            source_line=lines[line - 1] if line <= len(lines) else "",
        )
    )


def _unusable(data: Table, source: Source) -> Iterator[Problem]:
    """Values that no configuration may hold, each with its place."""
    stack: list[tuple[Path, object]] = [((), data)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict | list):
            if len(path) >= MAX_DEPTH:
                yield _too_deep(source, path)
                return
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            stack.extend(((*path, key), item) for key, item in pairs)
        elif isinstance(value, float) and not math.isfinite(value):
            yield at(source, path, "not-finite", f"{value} is not a number that can be used")
        elif not isinstance(value, str | int | float | None):
            yield at(
                source,
                path,
                "date",
                f"this is a {type(value).__name__}, which no key accepts",
                suggestion=f'"{value}" (quoted, as text)',
            )


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


def _drop_comments(data: Table, source: Source) -> Iterator[Problem]:
    """Remove keys that start with an underscore: comments, by habit of JSON's users."""
    stack: list[tuple[Path, Any]] = [((), data)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            for key in [key for key in value if key.startswith("_")]:
                line, column, shown = source.locate((*path, key)) or (None, None, None)
                yield Problem(
                    code="comment-key",
                    severity="warning",
                    path=(*path, key),
                    message=f"{key!r} is taken as a comment and not read",
                    file=source.name,
                    line=line,
                    column=column,
                    source_line=shown,
                )
                del value[key]
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        stack.extend(((*path, key), item) for key, item in pairs if isinstance(item, dict | list))


def _upgraded(data: Table, source: Source) -> Table:
    try:
        return upgrade.upgrade(data)
    except upgrade.VersionError as error:
        raise DocumentError(at(source, ("schema_version",), "schema-version", str(error))) from None
