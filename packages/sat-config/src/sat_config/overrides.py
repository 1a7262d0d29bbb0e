"""Overrides: `path=VALUE` and `-path`, the one grammar for single values from outside a file.

VALUE is TOML. A bare word is text, and where the slot takes text anything unquoted is. A table
VALUE replaces what was there. List elements are named by `[index]` or by the `[id]` they carry.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from sat_config import hints, layers, schema
from sat_config.document import MAX_DEPTH, DocumentError, Source, Table, from_mapping, kind_of
from sat_config.errors import Path, Problem, format_path
from sat_config.layers import Folded, Origin, Trace
from sat_config.schema import Slot

_BARE_KEY = re.compile(r"[\w-]+")
_INDEX = re.compile(r"[0-9]{1,9}")
_HYDRA_SIGN = re.compile(r"\+{1,2}|~")
_BARE_WORD = re.compile(r"[^\s\"'\[\]{},#=]+")


class Override(msgspec.Struct, frozen=True, eq=False):
    """One parsed override.

    Attributes:
        word: As it was written.
        path: Keys, and list elements by index or id (ids stand in brackets).
        value: The text after "="; None for a removal.
        origin: Who wrote it.
        starts: Where in the word each part of the path starts, and what follows the path.
    """

    word: str
    path: tuple["str | int | Element", ...]
    value: str | None
    origin: Origin
    starts: tuple[int, ...] = ()

    def start(self, number: int) -> int | None:
        """Where in the word a part of the path starts."""
        return self.starts[number] if number < len(self.starts) else None


class Element(msgspec.Struct, frozen=True):
    """A list element named by its id."""

    id: str


class OverrideError(Exception):
    """An override that cannot be applied; the message says why."""

    def __init__(
        self,
        message: str,
        *,
        allowed: str | None = None,
        suggestion: str | None = None,
        at: int | None = None,
    ) -> None:
        self.allowed = allowed
        self.suggestion = suggestion
        self.at = at
        """Where in the word, if that is known."""
        super().__init__(message)


def origin_of(word: str) -> Origin:
    """The command line as the place that a word comes from."""
    return Origin(Source(name=f"--override {_short(word)!r}", text=word, language="override"))


def parse(word: str, origin: Origin | None = None) -> Override:
    """Take an override apart.

    Raises:
        OverrideError: It is neither `path=VALUE` nor `-path`.
    """
    origin = origin or origin_of(word)
    if sign := _HYDRA_SIGN.match(word):
        meant = f"-{word[1:].partition('=')[0]}" if word[0] == "~" else word[sign.end() :]
        message = f"{sign[0]!r} is a sign of Hydra's; here path=VALUE sets and -path removes"
        raise OverrideError(message, suggestion=meant)
    removes = word.startswith("-")
    pairs, end = _parts(word, 1 if removes else 0)
    path, starts = tuple(part for part, _ in pairs), tuple(start for _, start in pairs)
    rest = word[end:].lstrip()
    if removes and rest:
        message = f"a removal is '-path' and nothing else; {rest!r} is left over"
        raise OverrideError(message, at=len(word) - len(rest))
    if removes:
        return Override(word, path, None, origin, starts)
    if not rest.startswith("="):
        raise OverrideError(
            f"expected path=VALUE or -path; {rest!r} follows the path"
            if rest
            else "expected path=VALUE or -path; there is no '='",
            at=len(word) - len(rest),
        )
    value = rest[1:].strip()
    return Override(word, path, value, origin, (*starts, len(word) - len(rest[1:].lstrip())))


def parse_path(text: str) -> tuple[tuple[str | int | Element, ...], str]:
    """The path at the start of `text`, and what follows it."""
    pairs, end = _parts(text, 0)
    return tuple(part for part, _ in pairs), text[end:].lstrip()


def _parts(text: str, at: int) -> tuple[list[tuple[str | int | Element, int]], int]:
    """The parts of the path that starts there, where each starts, and where the path ends."""
    parts: list[tuple[str | int | Element, int]] = []
    while at < len(text):
        start = at
        if text[at] == "[":
            part, at = _bracket(text, at)
        else:
            at += text[at] == "." and bool(parts)
            found = _BARE_KEY.match(text, at)
            if found is None and parts:
                raise OverrideError(f"a key is missing after {text[:at]!r}", at=at)
            if found is None:
                break
            start, part, at = at, found[0], found.end()
        parts.append((part, start))
        if len(parts) > MAX_DEPTH:
            raise OverrideError(f"the path has more than {MAX_DEPTH} parts")
        if text[at : at + 1] not in (".", "["):
            break
    if not parts:
        raise OverrideError(
            "an override starts with the path of a key, such as training.learning_rate"
        )
    return parts, at


def _bracket(text: str, at: int) -> tuple[str | int | Element, int]:
    closing = text.find('"]' if text.startswith('["', at) else "]", at)
    if closing < 0:
        raise OverrideError(f"the bracket at {text[at:]!r} is not closed", at=at)
    if text.startswith('["', at):
        return text[at + 2 : closing], closing + 2
    inside = text[at + 1 : closing]
    return (int(inside) if _INDEX.fullmatch(inside) else Element(inside)), closing + 1


def apply(
    folded: Folded,
    override: Override,
    *,
    unknown_ok: frozenset[str] = frozenset(),
    adjust: Callable[[Any], Any] | None = None,
) -> None:
    """Set or remove one value of the folded table.

    Args:
        folded: What the layers made; changed in place.
        override: What to do.
        unknown_ok: Paths that the schema need not know.
        adjust: What to make of the value before it is set.

    Raises:
        OverrideError: The path leads nowhere, or the value is not TOML.
    """
    made: list[tuple[Table, str, Trace]] = []
    try:
        _apply(folded, override, unknown_ok, adjust, made)
    except OverrideError:
        for table, key, trace in made[:1]:  # leave nothing half done
            table.pop(key, None)
            trace.children.pop(key, None)
        raise


@contextlib.contextmanager
def _pointing(at: int | None) -> Iterator[None]:
    """Errors within are about this place in the word."""
    try:
        yield
    except OverrideError as error:
        error.at = at if error.at is None else error.at
        raise


def _apply(
    folded: Folded,
    override: Override,
    unknown_ok: frozenset[str],
    adjust: Callable[[Any], Any] | None,
    made: list[tuple[Table, str, Trace]],
) -> None:
    slot, trace = folded.slot, folded.trace
    tree: Any = folded.tree
    walked: Path = ()
    *parents, last = override.path
    for number, part in enumerate(parents):
        tags = slot.family.tag_path if slot and slot.family else ()
        if slot and override.value is not None and override.path[number:] == tags:
            with _pointing(override.start(len(override.path))):
                value = parse_value(override.value, None)
            return _set_nested_tag(tree, tags, value, slot, trace, override.origin)
        with _pointing(override.start(number)):
            key = _key(tree, part, walked)
            _check_known(tree, slot, key, walked, unknown_ok)
            slot = schema.child_slot(slot, tree, key)
            if isinstance(key, str) and tree.get(key) is None:
                _make(tree, key, (*walked, key), trace, override)
                made.append((tree, key, trace))
            if not isinstance(tree[key], dict | list):
                kind = kind_of(tree[key])
                raise OverrideError(f"{format_path((*walked, key))} is {kind}, not a table")
        tree, trace = tree[key], layers.own(trace, key)
        walked = (*walked, key)
    with _pointing(override.start(len(parents))):
        key = _key(tree, last, walked)
        if override.value is None:
            return _remove(tree, key, trace, walked, override.origin)
        _check_known(tree, slot, key, walked, unknown_ok)
    with _pointing(override.start(len(override.path))):
        value = parse_value(override.value, schema.child_slot(slot, tree, key))
    return _set(tree, key, adjust(value) if adjust else value, slot, trace, override.origin)


def _set_nested_tag(
    tree: Table,
    tag_path: tuple[str, ...],
    tag: Any,  # noqa: ANN401 - a plain value
    slot: Slot,
    trace: Trace,
    origin: Origin,
) -> None:
    """Set a tag that stands in a table of its own, as `model.name` does."""
    over: Any = tag
    for key in reversed(tag_path):
        over = {key: over}
    layers.drop_foreign(tree, over, slot, trace, lambda _: origin)
    for key in tag_path[:-1]:
        if not isinstance(tree.get(key), dict):
            layers.replace(tree, key, {}, trace, origin)
        tree, trace = tree[key], layers.own(trace, key)
    layers.replace(tree, tag_path[-1], tag, trace, origin)


def _make(tree: Table, key: str, path: Path, trace: Trace, override: Override) -> None:
    """An empty table on the way to what an override sets."""
    if override.value is None:
        raise OverrideError(f"there is no {format_path(path)} to remove from")
    tree[key] = {}
    trace.children[key] = Trace(override.origin, children={})


def _key(tree: Any, part: str | int | Element, path: Path) -> str | int:  # noqa: ANN401
    """The key of a table or the index of a list that a path part names."""
    if isinstance(part, str):
        if isinstance(tree, list):
            raise OverrideError(
                f"{format_path(path)} is a list; name an element as {format_path(path)}[0]"
            )
        return part
    if not isinstance(tree, list):
        raise OverrideError(f"{format_path(path)} is a table, not a list; name a key of it")
    if isinstance(part, int):
        if part >= len(tree):
            count = f"{len(tree)} element{'s' if len(tree) != 1 else ''}, counted from 0"
            raise OverrideError(f"{format_path(path)} has {count}")
        return part
    ids = [item.get("id") if isinstance(item, dict) else None for item in tree]
    if part.id not in ids:
        known = ", ".join(repr(name) for name in ids if name is not None) or "none"
        close = hints.nearest(part.id, [name for name in ids if isinstance(name, str)])
        raise OverrideError(
            f"no element of {format_path(path)} has the id {part.id!r}; ids: {known}",
            suggestion=f"{format_path(path)}[{close}]" if close else None,
        )
    return ids.index(part.id)


def _check_known(
    tree: Any,  # noqa: ANN401 - a table or list
    slot: Slot | None,
    key: str | int,
    path: Path,
    unknown_ok: frozenset[str],
) -> None:
    if isinstance(key, int) or slot is None or format_path((*path, key)) in unknown_ok:
        return
    if slot.values is not None or schema.child_slot(slot, tree, key) is not None:
        return
    cls = slot.struct_for(tree) or (slot.family.base if slot.family else None)
    if cls is None:
        raise OverrideError(f"{format_path(path)} is not a table and has no {key!r}")
    known = [*schema.fields(cls), *(slot.family.tag_path if slot.family else ())]
    if key in known:
        return
    close = hints.nearest(key, known)
    raise OverrideError(
        f"{format_path(path) if path else 'the experiment'} has no key {key!r}",
        allowed=hints.choices(sorted(known), key),
        suggestion=format_path((*path, close)) if close else None,
    )


def _remove(tree: Any, key: str | int, trace: Trace, path: Path, origin: Origin) -> None:  # noqa: ANN401
    if isinstance(tree, dict) and key not in tree:
        close = hints.nearest(key, tree)
        raise OverrideError(
            f"there is no {format_path((*path, key))} to remove",
            suggestion=f"-{format_path((*path, close))}" if close else None,
        )
    if isinstance(key, str):
        layers.remove(tree, key, trace, origin)
    else:
        for index in range(key, len(tree) - 1):  # what stands behind it moves up, origins and all
            trace.children[index] = layers.own(trace, index + 1)
        trace.children.pop(len(tree) - 1, None)
        del tree[key]


def _set(
    tree: Any,  # noqa: ANN401 - a table or list
    key: str | int,
    value: Any,  # noqa: ANN401 - a plain value
    slot: Slot | None,
    trace: Trace,
    origin: Origin,
) -> None:
    if isinstance(key, str):
        layers.drop_foreign(tree, {key: value}, slot, trace, lambda _: origin)
    layers.replace(tree, key, value, trace, origin)


def parse_value(text: str, slot: Slot | None) -> Any:  # noqa: ANN401 - a plain value
    """The plain value that an override's text stands for.

    Raises:
        OverrideError: It is not one TOML value.
    """
    literal = slot is not None and slot.is_text and text[:1] not in ('"', "'")
    value = text if literal else _toml_value(text)
    try:
        from_mapping({"value": value}, "")
    except DocumentError as error:
        raise OverrideError(f"{_short(text)!r}: {error}") from None
    return value


def _toml_value(text: str) -> Any:  # noqa: ANN401 - a plain value
    import tomllib

    if not text:
        raise OverrideError("there is no value after '='")
    try:
        table: Table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError) as error:
        if isinstance(error, tomllib.TOMLDecodeError) and _BARE_WORD.fullmatch(text):
            return text
        raise OverrideError(
            f"{_short(text)!r} is not a TOML value; quote text that is more than a word"
        ) from None
    if list(table) != ["value"] or "\n" in text or _has_comment(text):
        raise OverrideError(f"{_short(text)!r} is more than one TOML value")
    return table["value"]


def _has_comment(text: str) -> bool:
    """Whether a comment trails a valid TOML value: then it stays valid with the text cut there."""
    import tomllib

    for at in (match.start() for match in re.finditer("#", text)):
        try:
            tomllib.loads(f"value = {text[:at]}")
        except tomllib.TOMLDecodeError:
            continue
        return True
    return False


def problem(word: str, error: OverrideError, origin: Origin) -> Problem:
    """What to say of an override that failed."""
    source = origin.source
    place = source.locate(origin.path)
    if source.language == "override":
        place = source.at_offset(error.at or 0)
    line, column, shown = place or (None, None, None)
    return Problem(
        code="bad-override",
        message=str(error),
        file=source.name,
        line=line,
        column=column,
        source_line=shown,
        found=word,
        allowed=error.allowed,
        suggestion=error.suggestion,
    )


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
