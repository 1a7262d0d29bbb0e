"""YAML documents: plain data, and where each value stands.

Values are those of YAML 1.2's core schema, which is what people expect: `no` and `on` are text,
`1e-4` is a number, a date is text. Anchors, aliases and merge keys work; tags that would build
anything but plain data are refused. The events come from PyYAML, which the extra `yaml` brings.
"""

import re
from collections.abc import Hashable
from typing import Any

import msgspec

from sat_config.errors import MissingExtraError
from sat_config.positions import Path, Place

MAX_VALUES = 1_000_000
"""Values that aliases may multiply to before the text counts as a trap."""

_TAG = "tag:yaml.org,2002:"
_CORE = ("str", "int", "float", "bool", "null", "map", "seq")
_INFINITIES = (".inf", ".Inf", ".INF")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys(
        (f"{sign}.{inf}" for sign in ("", "+") for inf in ("inf", "Inf", "INF")), float("inf")
    ),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_INT = re.compile(r"[-+]?[0-9]+")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class YamlError(Exception):
    """A text that is no YAML, or more than plain data.

    Attributes:
        offset: Where in the text.
        code: Stable identifier of the problem.
        path: The key that is given twice, for a duplicate.
    """

    def __init__(self, message: str, offset: int, code: str = "syntax", path: Path = ()) -> None:
        self.offset = offset
        self.code = code
        self.path = path
        super().__init__(message)


def parse(text: str) -> Any:  # noqa: ANN401 - plain data
    """The plain data of a YAML text.

    Raises:
        YamlError: It is not YAML, or not plain data.
        ImportError: PyYAML is not installed.
    """
    return _read(text, None)


def places(text: str) -> dict[Path, Place]:
    """The place of every key and list element of a YAML text that `parse` accepts.

    What an alias brings stands where the alias stands.
    """
    found: dict[Path, Place] = {(): Place(0, 0)}
    _read(text, found)
    return found


def dumps(data: dict[str, Any]) -> str:
    """Plain data as YAML that `parse` reads back; text that looks like something else is quoted.

    Raises:
        MissingExtraError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise MissingExtraError(
            "writing YAML needs PyYAML: pip install 'sat-config[yaml]'"
        ) from None

    class Writer(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
        """Quotes what either YAML 1.1 or 1.2 would read as something else than text."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    def text(writer: Any, value: str) -> Any:  # noqa: ANN401
        plain = isinstance(_plain(value), str) and "\n" not in value
        return writer.represent_scalar(f"{_TAG}str", value, style=None if plain else '"')

    Writer.add_representer(str, text)
    written: str = yaml.dump(data, Dumper=Writer, sort_keys=False, allow_unicode=True, width=100)
    return written


class _Value(msgspec.Struct, eq=False):
    """A finished value, where it starts, and how many values are in it."""

    data: Any
    start: int
    size: int = 1


class _Open(msgspec.Struct, eq=False):
    """A table or list whose end has not come yet, and the key that waits for its value."""

    value: _Value
    anchor: str | None
    key: Any = None
    key_at: int | None = None
    merged: list[_Value] = []


def _read(text: str, places: dict[Path, Place] | None) -> Any:  # noqa: ANN401
    import yaml

    reader = _Reader(places)
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(filter(None, (error.context, error.problem)))
        raise YamlError(message, mark.index if mark else 0) from None
    except yaml.reader.ReaderError as error:
        message = f"the character {error.character!r} is not allowed"
        raise YamlError(message, error.position) from None
    return reader.root.data if reader.root else None


class _Reader:
    """Builds plain data from PyYAML's events, without recursion."""

    def __init__(self, places: dict[Path, Place] | None) -> None:
        self.places = places
        self.open: list[_Open] = []
        self.anchors: dict[str, _Value | None] = {}
        self.root: _Value | None = None

    def take(self, event: Any) -> None:  # noqa: ANN401 - PyYAML has no types
        """Act on one event."""
        kind, start = type(event).__name__, event.start_mark.index
        if kind == "ScalarEvent":
            self.put(_Value(_scalar(event), start), event.anchor)
        elif kind == "AliasEvent":
            self.put(_Value(*self.named(event.anchor, start)), None)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            _check_tag(event)
            if event.anchor:
                self.anchors[event.anchor] = None
            data: Any = {} if kind == "MappingStartEvent" else []
            self.open.append(_Open(_Value(data, start), event.anchor, merged=[]))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self.close()
        elif kind == "DocumentStartEvent" and self.root is not None:
            raise YamlError("a second document begins here; one file holds one", start)

    def named(self, anchor: str, start: int) -> tuple[Any, int, int]:
        """What an alias stands for."""
        found = self.anchors.get(anchor)
        if found is None:
            unknown = anchor not in self.anchors
            why = "is not defined above" if unknown else "stands inside of what it names"
            raise YamlError(f"the alias *{anchor} {why}", start)
        return found.data, start, found.size

    def close(self) -> None:
        """Finish the innermost table or list."""
        done = self.open.pop()
        for source in done.merged:
            for key, value in source.data.items():
                if key not in done.value.data:
                    done.value.data[key] = value
        self.put(done.value, done.anchor)

    def put(self, value: _Value, anchor: str | None) -> None:
        """Enter a finished value where it belongs."""
        if anchor:
            self.anchors[anchor] = value
        if not self.open:
            self.root = value
            return
        here = self.open[-1]
        if isinstance(here.value.data, list):
            self.note(len(here.value.data), Place(value.start, value.start))
            here.value.data.append(value.data)
        elif here.key_at is None:
            self.put_key(here, value)
            return
        else:
            self.put_in_table(here, value)
        here.value.size += value.size
        if here.value.size > MAX_VALUES:
            raise YamlError(f"the aliases stand for more than {MAX_VALUES} values", value.start)

    def put_key(self, here: _Open, value: _Value) -> None:
        if not isinstance(value.data, Hashable):
            raise YamlError("a key must be text, not a table or a list", value.start)
        if value.data in here.value.data:
            path = (*self.path(), str(value.data))
            message = f"the key {value.data!r} is given twice in one table"
            raise YamlError(message, value.start, "duplicate-key", path)
        here.key, here.key_at = value.data, value.start

    def put_in_table(self, here: _Open, value: _Value) -> None:
        key, key_at, here.key_at = here.key, here.key_at or 0, None
        if key != "<<":
            here.value.data[key] = value.data
            self.note(key, Place(key_at, value.start))
            return
        sources = value.data if isinstance(value.data, list) else [value.data]
        if not all(isinstance(source, dict) for source in sources):
            raise YamlError("<< merges tables, and this is none", value.start)
        here.merged += [_Value(source, key_at) for source in sources]
        for key in {key for source in sources for key in source} - set(here.value.data):
            self.note(key, Place(key_at, key_at))

    def note(self, key: Any, place: Place) -> None:  # noqa: ANN401
        """Write down where a part of the innermost table or list stands."""
        if self.places is not None:
            self.places[(*self.path(), key)] = place

    def path(self) -> Path:
        """The keys that lead to the innermost open table or list."""
        return tuple(
            len(above.value.data) if isinstance(above.value.data, list) else above.key
            for above in self.open[:-1]
        )


def _check_tag(event: Any) -> None:  # noqa: ANN401
    tag = event.tag
    if tag not in (None, "!") and tag.removeprefix(_TAG) not in _CORE:
        raise YamlError(f"the tag {tag!r} stands for more than plain data", event.start_mark.index)


def _scalar(event: Any) -> Any:  # noqa: ANN401
    _check_tag(event)
    text: str = event.value
    tag = (event.tag or "").removeprefix(_TAG)
    if tag in ("str", "!") or (event.style and not tag):
        return text
    value = _plain(text)
    return float(value) if tag == "float" and isinstance(value, int) else value


def _plain(text: str) -> Any:  # noqa: ANN401
    """What an unquoted scalar stands for."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _PREFIXED.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    return float(text) if _FLOAT.fullmatch(text) else text
