"""Reading the Structs: what a slot of the configuration accepts.

Merging, overrides, diagnosis and generated documents all ask the same questions of an annotation;
they are answered here once, and cached per Struct.
"""

import functools
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from sat_config import registry
from sat_config.registry import Family


class Slot(Struct, frozen=True, kw_only=True, eq=False):
    """What one place of a document accepts.

    Attributes:
        annotation: The resolved type.
        structs: Structs among its alternatives.
        family: The family that these belong to, if they are tagged.
        item: Slot of the elements, where it takes a list.
        values: Slot of the values, where it takes a table with free keys.
        only_tables: Whether it takes nothing but tables (and null, where `nullable`).
        is_text: Whether it takes text and no number or truth value.
        nullable: Whether it takes null.
        path_kind: "input", "output" or "checkpoint" for the name of a file.
        inert: Why nothing reads this key, where nothing does.
        ours: Why stable-audio-tools cannot have this key, where it cannot unless it is set.
    """

    annotation: Any
    structs: tuple[type[Struct], ...] = ()
    family: Family | None = None
    item: "Slot | None" = None
    values: "Slot | None" = None
    only_tables: bool = False
    is_text: bool = False
    nullable: bool = False
    path_kind: str | None = None
    inert: str | None = None
    ours: str | None = None

    @property
    def holds_structs(self) -> bool:
        """Whether there can be Structs in it, at any depth of lists and tables."""
        inner = (self.item, self.values)
        return bool(self.structs) or any(slot is not None and slot.holds_structs for slot in inner)

    def struct_for(self, table: object) -> type[Struct] | None:
        """The Struct that a plain table in this slot decodes to, or None."""
        if self.family is not None:
            found = self.family.member_for(table)
            return found if found in self.structs else None
        return self.structs[0] if self.structs else None


class Field(Struct, frozen=True, kw_only=True, eq=False):
    """One key of a table.

    Attributes:
        key: Its name in files.
        slot: What it accepts.
        required: Whether it must be given.
        default: The value without it (`msgspec.NODEFAULT` when required).
    """

    key: str
    slot: Slot
    required: bool
    default: Any


_fields: dict[type, dict[str, Field]] = {}
_below: dict[type, tuple[type[Struct], ...]] = {}
"""Of each class whose annotations are resolved, the Structs that they name."""

_settled: set[type[Struct]] = set()
"""Structs for which that is done with all below them."""


def settle(cls: type[Struct]) -> None:
    """Resolve the annotations of a Struct and of all below it, in place of msgspec.

    msgspec would evaluate the text of each annotation once for every Struct that inherits it. Most
    texts repeat: evaluating each only once, the first decoding of an experiment took 17 ms of
    processor time in place of 26, and the rules after it 1 in place of 5.
    """
    if cls in _settled:
        return
    _settled.add(cls)
    ahead, seen = [cls], {cls}
    while ahead:
        for base in ahead.pop().__mro__:
            new = [found for found in _settle_own(base) if found not in seen]
            ahead += new
            seen.update(new)


def _settle_own(cls: type) -> tuple[type[Struct], ...]:
    if cls not in _below:
        known = registry.current().resolved
        below: list[type[Struct]] = []
        own = vars(cls).get("__annotations__", {}) if issubclass(cls, Struct) else {}
        for name, text in own.items():
            place = (cls.__module__, text)
            if isinstance(text, str) and place not in known:
                names = vars(sys.modules[cls.__module__])
                try:
                    value = names[text] if text in names else eval(text, names)
                except NameError:  # of a name within a function or class, msgspec's matter
                    continue
                known[place] = value, tuple(_structs_in(value))
            if isinstance(text, str):
                own[name], found = known[place]
                below += found
            else:
                below += _structs_in(text)
        _below[cls] = tuple(dict.fromkeys(below))
    return _below[cls]


def _structs_in(annotation: Any) -> Iterator[type[Struct]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _structs_in(part)


def fields(cls: type[Struct]) -> dict[str, Field]:
    """The keys of a Struct, in order, without the tag."""
    found = _fields.get(cls)
    if found is None:
        for base in cls.__mro__:
            _settle_own(base)
        found = _fields[cls] = {
            info.encode_name: Field(
                key=info.encode_name,
                slot=slot_of(info.type),
                required=info.required,
                default=_default(info),
            )
            for info in msgspec.structs.fields(cls)
        }
    return found


def slot_of(annotation: Any) -> Slot:  # noqa: ANN401 - any annotation
    """The slot that an annotation describes."""
    arms = list(alternatives(annotation))
    bare = [kind for kind, _ in arms]
    every = [k for k in bare if isinstance(k, type) and issubclass(k, Struct)]
    structs = tuple(k for k in every if k.__struct_config__.tag != registry.NOBODY)
    # one Struct by itself is decoded with or without its tag
    members = registry.current().family_of(structs[0]) if len(every) > 1 else None
    return Slot(
        annotation=annotation,
        structs=structs,
        family=members,
        item=_first(bare, _item_of),
        values=_first(bare, _values_of),
        only_tables=bool(structs) and all(k in every or k is type(None) for k in bare),
        is_text=_is_text(bare),
        nullable=type(None) in bare or annotation is Any,
        path_kind=next((extra["path"] for _, extra in arms if "path" in extra), None),
        inert=next((extra["inert"] for _, extra in arms if "inert" in extra), None),
        ours=next((extra["ours"] for _, extra in arms if "ours" in extra), None),
    )


def struct_slot(cls: type[Struct]) -> Slot:
    """The slot that takes one untagged Struct, or any member of the family that it heads."""
    head = registry.current().families.get(cls)
    if head is None:
        return Slot(annotation=cls, structs=(cls,), only_tables=True)
    members = tuple(head.members.values())
    return Slot(annotation=cls, structs=members, family=head, only_tables=True)


def child_slot(slot: Slot | None, table: object, key: str | int) -> Slot | None:
    """The slot of `key` inside a plain table or list that stands in `slot`; None if unknown."""
    if slot is None:
        return None
    if isinstance(key, int):
        return slot.item
    found = keys_of(slot, table).get(key)
    return found.slot if found else slot.values


def keys_of(slot: Slot, table: object) -> dict[str, Field]:
    """The keys that a plain table in this slot may have; of an unknown tag, those of the family."""
    cls = slot.struct_for(table)
    if cls is None and slot.family is not None:
        cls = slot.family.base
    return fields(cls) if cls else {}


@functools.cache
def concerns(slot: Slot, mark: Literal["path_kind", "inert", "ours"]) -> bool:
    """Whether this slot or any place below it carries a mark."""
    return _marked(slot, mark, set())


def _marked(slot: Slot, mark: str, seen: set[type]) -> bool:
    if getattr(slot, mark):
        return True
    for below in (slot.item, slot.values):
        if below is not None and _marked(below, mark, seen):
            return True
    for cls in slot.structs:
        if cls not in seen:
            seen.add(cls)
            if any(_marked(field.slot, mark, seen) for field in fields(cls).values()):
                return True
    return False


def _default(info: msgspec.structs.FieldInfo) -> Any:  # noqa: ANN401 - any default
    if info.default_factory is not msgspec.NODEFAULT:
        return info.default_factory()
    return info.default


def alternatives(annotation: Any) -> Iterator[tuple[Any, dict[str, Any]]]:  # noqa: ANN401
    """The members of a union without their `Annotated` shells, each with its `Meta(extra=...)`."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        inner, *metas = typing.get_args(annotation)
        extra: dict[str, Any] = {}
        for meta in metas:
            extra.update(getattr(meta, "extra", None) or {})
        for alternative, below in alternatives(inner):
            yield alternative, {**below, **extra}
    elif origin in (typing.Union, types.UnionType):
        for alternative in typing.get_args(annotation):
            yield from alternatives(alternative)
    else:
        yield annotation, {}


def _first(kinds: list[Any], read: Any) -> Slot | None:  # noqa: ANN401 - a function
    inner = next((found for kind in kinds if (found := read(kind)) is not None), None)
    return slot_of(inner) if inner is not None else None


def _item_of(kind: Any) -> Any:  # noqa: ANN401 - an annotation
    if typing.get_origin(kind) not in (tuple, list):
        return None
    first, *more = typing.get_args(kind)
    return first if all(other in (first, ...) for other in more) else None


def _values_of(kind: Any) -> Any:  # noqa: ANN401 - an annotation
    return typing.get_args(kind)[1] if typing.get_origin(kind) is dict else None


def _is_text(kinds: list[Any]) -> bool:
    def textual(kind: Any) -> bool:  # noqa: ANN401 - an annotation
        if typing.get_origin(kind) is typing.Literal:
            return all(isinstance(value, str) for value in typing.get_args(kind))
        return kind is str

    named = [kind for kind in kinds if kind is not type(None)]
    return bool(named) and all(textual(kind) for kind in named)
