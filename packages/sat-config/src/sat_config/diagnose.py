"""Every problem of a table that did not decode: the schema and the plain tree, walked together.

msgspec stops at the first fault and knows neither file nor line; this walk runs only after it has
failed, so it may take its time.
"""

import contextlib
import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from sat_config import convert, hints, plugins, rules, schema
from sat_config.document import Table
from sat_config.errors import Path, Problem, format_path
from sat_config.hints import choices, nearest
from sat_config.layers import Folded, Origin
from sat_config.schema import Slot

MOST = 1000
"""Problems after which no more are looked for: a file of that many is not what it is taken for."""


def diagnose(folded: Folded) -> list[Problem]:
    """All problems of the folded table, rules of those nodes that decode by themselves included."""
    if folded.slot is None:
        return []
    walk = _Walk(folded)
    found = walk.value(folded.tree, folded.slot, ())
    if walk.full:
        message = f"there are more problems than these {len(found)}, which were found first"
        found.append(walk.problem("too-many-problems", (), message))
    return found


class _Walk:
    def __init__(self, folded: Folded) -> None:
        self.folded = folded
        self.count = 0

    @property
    def full(self) -> bool:
        """Whether enough has been found."""
        return self.count >= MOST

    # -------------------------------------------------------------------------------- dispatch

    def value(self, value: object, slot: Slot, path: Path) -> list[Problem]:
        """Problems of one value and all below it."""
        if value is None and slot.nullable:
            return []
        if slot.structs and (isinstance(value, dict) or slot.only_tables):
            return self.table(value, slot, path)
        pairs: Iterable[tuple[str | int, object]] = ()
        if isinstance(value, list | tuple) and slot.item is not None:
            inner, pairs = slot.item, enumerate(value)
        elif isinstance(value, dict) and slot.values is not None:
            inner, pairs = slot.values, value.items()
        found: list[Problem] = []
        for key, item in pairs:
            found += self.value(item, inner, (*path, key))
            if self.full:
                break
        return found or self.leaf(value, slot, path)

    # --------------------------------------------------------------------------------- tables

    def table(self, value: object, slot: Slot, path: Path) -> list[Problem]:
        if not isinstance(value, dict):
            return [self.wrong_kind(value, slot, path)]
        cls = slot.struct_for(value)
        if cls is None:
            return [self.bad_tag(value, slot, path)]
        known = schema.fields(cls)
        tag = cls.__struct_config__.tag_field
        problems = []
        for key, item in value.items():
            if key == tag:
                problems += self.own_tag(item, cls, (*path, key))
            elif key not in known:
                problems.append(self.unknown_key(key, cls, value, path))
            else:
                problems += self.value(item, known[key].slot, (*path, key))
            if self.full:
                return problems
        for field in known.values():
            if field.required and field.key not in value:
                problems.append(self.missing_key(field.key, field.slot, value, path, tag))
        return problems + self.rules(value, cls, path)

    def own_tag(self, found: object, cls: type[msgspec.Struct], path: Path) -> list[Problem]:
        """A tag that a Struct of nested tag path carries itself."""
        expected = cls.__struct_config__.tag
        if found == expected:
            return []
        return [
            self.problem("bad-tag", path, f"{path[-1]} is {show(found)}", allowed=show(expected))
        ]

    def rules(self, table: Table, cls: type[msgspec.Struct], path: Path) -> list[Problem]:
        """Broken rules on a node that decodes by itself."""
        if convert.fault(table, cls) is not None:
            return []
        return [
            self.problem(rule.code, where, found.message, suggestion=found.fix, level=rule.severity)
            for rule, where, found in rules.broken_by(convert.convert(table, cls), path)
        ]

    def bad_tag(self, table: Table, slot: Slot, path: Path) -> Problem:
        family = slot.family
        if family is None:
            return self.wrong_kind(table, slot, path)
        tags = [tag for tag, cls in family.members.items() if cls in slot.structs]
        tag_key = family.tag_path[-1]
        found = family.tag_of(table)
        where = f"{format_path(path)} " if path else "the document "
        if found is None:
            return self.problem(
                "missing-tag",
                path,
                f"{where}does not say which {family.name} it is: {tag_key!r} is missing",
                allowed=choices([show(tag) for tag in tags], ""),
            )
        refused = family.refused.get(found) if isinstance(found, str) else None
        return self.problem(
            "bad-tag",
            (*path, *family.tag_path),
            f"{show(found)} is no {family.name} that {'works' if refused else 'is known'} here",
            found=show(found),
            allowed=choices([show(tag) for tag in tags], found),
            suggestion=None
            if refused
            else (show(close) if (close := nearest(found, tags)) else None),
            note=refused or plugins.failures(),
        )

    def unknown_key(self, key: str, cls: type[msgspec.Struct], table: Table, path: Path) -> Problem:
        known = list(schema.fields(cls))
        free = [name for name in known if name not in table]
        elsewhere = [format_path(place) for place in self.homes_of(key) if place[:-1] != path]
        return self.problem(
            "unknown-key",
            (*path, key),
            f"unknown key {key!r} in {format_path(path) if path else 'the root of the document'}",
            allowed=choices(sorted(known), key) or "no keys at all",
            suggestion=nearest(key, free) or nearest(key, known),
            note=f"{key!r} belongs at {' or at '.join(elsewhere[:3])}" if elsewhere else None,
            at_key=True,
        )

    def homes_of(self, key: str) -> Iterator[Path]:
        """Paths at which this document could have `key`."""
        if self.folded.slot is not None:
            yield from self._homes(key, self.folded.tree, self.folded.slot, ())

    def _homes(self, key: str, value: object, slot: Slot, path: Path) -> Iterator[Path]:
        cls = slot.struct_for(value if isinstance(value, dict) else {})
        if cls is None or len(path) > 12:
            return
        table = value if isinstance(value, dict) else {}
        for field in schema.fields(cls).values():
            if field.key == key:
                yield (*path, key)
            if field.slot.structs:
                yield from self._homes(key, table.get(field.key), field.slot, (*path, field.key))

    def missing_key(
        self, key: str, slot: Slot, table: Table, path: Path, tag: str | None
    ) -> Problem:
        where = format_path(path) if path else "the document"
        trace = self.folded.trace
        tagged = tag is not None and tag in table
        return self.problem(
            "missing-key",
            (*path, key),
            f"{where} lacks the key {key!r}",
            allowed=describe(slot.annotation),
            at_key=True,
            origin=trace.removal((*path, key))
            or (trace.find((*path, tag)) if tag and tagged else trace.find_last(path)),
        )

    # --------------------------------------------------------------------------------- leaves

    def leaf(self, value: object, slot: Slot, path: Path) -> list[Problem]:
        fault = convert.fault(value, slot.annotation)
        return [self.of_leaf(value, slot, path, fault)] if fault else []

    def of_leaf(self, value: object, slot: Slot, path: Path, fault: str) -> Problem:
        limits = ("length", "`int` >", "`int` <", "`float` >", "`float` <")
        kind = "out-of-range" if any(limit in fault for limit in limits) else "bad-value"
        return self.problem(
            kind,
            path,
            f"{format_path(path)} is {show(value)}",
            found=show(value),
            allowed=describe(slot.annotation),
            suggestion=_repair(value, slot),
            note=_refusal(value, slot),
        )

    def wrong_kind(self, value: object, slot: Slot, path: Path) -> Problem:
        suggestion = None
        if slot.family is not None and isinstance(value, str) and value in slot.family.members:
            language = self.folded.trace.find(path).source.language
            suggestion = hints.one_key(language, slot.family.tag_path[-1], show(value))
        note = "leave the key out instead of writing null" if value is None else None
        return self.problem(
            "bad-value",
            path,
            f"{format_path(path)} is {show(value)}, but it must be a table",
            found=show(value),
            allowed=describe(slot.annotation),
            suggestion=suggestion,
            note=note,
        )

    # ---------------------------------------------------------------------------------- place

    def problem(
        self,
        code: str,
        path: Path,
        message: str,
        *,
        found: str | None = None,
        allowed: str | None = None,
        suggestion: str | None = None,
        note: str | None = None,
        at_key: bool = False,
        origin: Origin | None = None,
        level: typing.Literal["error", "warning"] = "error",
    ) -> Problem:
        self.count += 1
        return locate(
            self.folded,
            Problem(
                code=code,
                severity=level,
                path=path,
                message=message,
                found=found,
                allowed=allowed,
                suggestion=suggestion,
                note=note,
            ),
            value=not at_key,
            origin=origin,
        )


def locate(
    folded: Folded, problem: Problem, *, value: bool = True, origin: Origin | None = None
) -> Problem:
    """The problem with the file and line of the value that it is about."""
    origin = origin or folded.trace.find(problem.path)
    line, column, shown = origin.source.locate(origin.path, value=value) or (None, None, None)
    return msgspec.structs.replace(
        problem, file=origin.source.name, line=line, column=column, source_line=shown
    )


def show(value: object) -> str:
    """A plain value as a file would write it, shortened."""
    if isinstance(value, dict):
        return f"a table ({', '.join(map(str, list(value)[:4]))})" if value else "an empty table"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def describe(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    """What an annotation accepts, in words."""
    parts = [_describe(part) for part in _parts(annotation)]
    return " or ".join(dict.fromkeys(part for part in parts if part))


def _parts(annotation: Any) -> list[Any]:  # noqa: ANN401 - any annotation
    import types

    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [part for arm in typing.get_args(annotation) for part in _parts(arm)]
    return [annotation]


_KINDS = {int: "an integer", float: "a number", str: "text", bool: "true or false", type(None): ""}


def _describe(part: Any) -> str:  # noqa: ANN401 - an annotation
    origin = typing.get_origin(part)
    if origin is typing.Annotated:
        inner, *metas = typing.get_args(part)
        limits = " and ".join(text for meta in metas for text in _limits(meta))
        head, comma, tail = describe(inner).partition(", each element")
        return f"{head} {limits}".rstrip() + comma + tail
    if origin is typing.Literal:
        return ", ".join(show(value) for value in typing.get_args(part))
    if origin in (tuple, list):
        first, *more = typing.get_args(part)
        size = f" of {1 + len(more)}" if more and more[0] is not ... else ""
        return f"a list{size}, each element {describe(first)}"
    if origin is dict or (isinstance(part, type) and issubclass(part, msgspec.Struct)):
        return "a table"
    return _KINDS.get(part, getattr(part, "__name__", str(part)))


def _limits(meta: Any) -> Iterator[str]:  # noqa: ANN401 - msgspec.Meta
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    words["multiple_of"] = "divisible by"
    for name, word in words.items():
        if getattr(meta, name, None) is not None:
            yield f"{word} {getattr(meta, name)}"
    if getattr(meta, "min_length", None):
        yield (
            "that is not empty" if meta.min_length == 1 else f"of length {meta.min_length} or more"
        )
    if getattr(meta, "max_length", None) is not None:
        yield f"of length {meta.max_length} or less"
    if getattr(meta, "pattern", None):
        yield (meta.extra or {}).get("words") or f"matching {meta.pattern}"


def _refusal(value: object, slot: Slot) -> str | None:
    """Why a value that people will try is none, where the schema says so."""
    for _, extra in schema.alternatives(slot.annotation):
        if isinstance(value, str) and value in extra.get("refused", {}):
            return str(extra["refused"][value])
    return None


def _repair(value: object, slot: Slot) -> str | None:
    """A value of the right kind that was probably meant."""
    candidates: list[object] = []
    if isinstance(value, float) and value.is_integer():
        candidates.append(int(value))
    if isinstance(value, str):
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            candidates.append(msgspec.json.decode(value.strip().lower().encode()))
        candidates.append(re.sub(r"\s+", "_", value.strip()))
        named = list(_literals(slot.annotation))
        if (close := nearest(value, named)) is not None:
            candidates.append(close)
    if not isinstance(value, list | dict | None):
        candidates.append([value])
    for candidate in candidates:
        if convert.fault(candidate, slot.annotation) is None:
            return show(candidate)
    return None


def _literals(annotation: Any) -> Iterator[str]:  # noqa: ANN401 - any annotation
    for part, _ in schema.alternatives(annotation):
        if typing.get_origin(part) is typing.Literal:
            yield from (value for value in typing.get_args(part) if isinstance(value, str))
