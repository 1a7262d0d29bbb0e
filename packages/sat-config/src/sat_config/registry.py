"""Families of nodes: which Struct belongs to which tag, and the unions that fields are made of.

A *family* is an abstract Struct with a tag field; its *members* are subclasses with a tag. Both are
entered by a decorator, so the set is explicit, and a slot annotated `Open[Family]` takes whatever
members are registered when msgspec first resolves it. Schema modules therefore start with
`from __future__ import annotations`, which keeps the annotation a string until then.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union

import msgspec

if TYPE_CHECKING:
    T = TypeVar("T")
    Open = Annotated[T, "any registered member of the family"]

NodeType = TypeVar("NodeType", bound=type[msgspec.Struct])


class RegistryError(TypeError):
    """A family or member that cannot be registered, or a slot that was resolved too early."""


class Derived(msgspec.Struct, frozen=True):
    """A value that follows from others of the document.

    Attributes:
        path: Where it stands.
        value: What it is.
        because: The arithmetic, as the end of a sentence ("3 features x 5 detectors make 15").
    """

    path: tuple[str, ...]
    value: Any
    because: str


class Family(msgspec.Struct, eq=False):
    """One tagged union.

    Attributes:
        name: What messages call a member ("bottleneck").
        base: The abstract Struct; its own fields are the keys that survive a change of tag.
        tag_path: Keys that lead from a member's table to its tag, usually one.
        is_root: Whether the members are whole documents (model families).
        guards: For roots, by the kind that a layer declares: the root key that such a layer leaves
            alone, but for the members' `data_keys`.
        derive: For roots: what follows from the merged tree, before it is decoded. It is given any
            plain data and passes over what is malformed, which decoding then tells.
        members: Tag to Struct.
        aliases: Further tags to the tag that they stand for; each has a member of its own.
        refused: Tags that people will try and that have no member, each with the reason.
        closed_by: What resolved the union first, after which no member can be added.
    """

    name: str
    base: type[msgspec.Struct]
    tag_path: tuple[str, ...]
    is_root: bool = False
    guards: Mapping[str, str] = {}
    derive: "Callable[[dict[str, Any]], Iterable[Derived]] | None" = None
    members: dict[str, type[msgspec.Struct]] = {}
    aliases: dict[str, str] = {}
    refused: dict[str, str] = {}
    closed_by: str | None = None

    @property
    def tables(self) -> tuple[dict[str, Any], ...]:
        """Everything that is entered by tag."""
        return self.members, self.aliases, self.refused

    def canonical(self, tag: object) -> object:
        """The tag itself, or the one that it is an alias of."""
        return self.aliases.get(tag, tag) if isinstance(tag, str) else tag

    def tag_of(self, table: object) -> object:
        """The tag that a plain table carries, or None."""
        for key in self.tag_path:
            if not isinstance(table, dict):
                return None
            table = table.get(key)
        return table

    def member_for(self, table: object) -> type[msgspec.Struct] | None:
        """The Struct that a plain table's tag names, or None."""
        tag = self.tag_of(table)
        return self.members.get(tag) if isinstance(tag, str) else None


class Registry:
    """All families by their abstract Struct."""

    def __init__(self) -> None:
        self.families: dict[type, Family] = {}
        self.resolved: dict[tuple[str, str], tuple[Any, tuple[type[msgspec.Struct], ...]]] = {}
        """What the text of an annotation in a module means, and the Structs in it, once asked."""

    def family_of(self, cls: type) -> Family | None:
        """The family that `cls` heads or belongs to."""
        for base in cls.__mro__:
            if (found := self.families.get(base)) is not None:
                return found
        return None

    def snapshot(self) -> dict[type, tuple[set[str], ...]]:
        """What is registered now, to `restore`."""
        return {
            base: tuple(set(table) for table in entry.tables)
            for base, entry in self.families.items()
        }

    def restore(self, before: dict[type, tuple[set[str], ...]]) -> None:
        """Withdraw what was registered since a `snapshot`."""
        for base in [base for base in self.families if base not in before]:
            del self.families[base]
        for base, known in before.items():
            for table, tags in zip(self.families[base].tables, known, strict=True):
                for tag in [tag for tag in table if tag not in tags]:
                    del table[tag]

    def roots(self) -> list[Family]:
        """The model families, in order of registration."""
        return [family for family in self.families.values() if family.is_root]


_current = Registry()


def current() -> Registry:
    """The registry in force."""
    return _current


@contextmanager
def fresh() -> Iterator[Registry]:
    """An empty registry for the time of a test; the classes of the test must be its own."""
    from sat_config import plugins

    plugins.load()  # else the shipped families might be entered here, once, and be lost
    global _current
    kept, _current = _current, Registry()
    try:
        yield _current
    finally:
        _current = kept


def family(
    name: str,
    *,
    tag_path: tuple[str, ...] | None = None,
    root: bool = False,
    guards: Mapping[str, str] | None = None,
    derive: Callable[[dict[str, Any]], Iterable[Derived]] | None = None,
) -> Callable[[NodeType], NodeType]:
    """Class decorator: enter an abstract Struct as the head of a family.

    Args:
        name: What messages call a member.
        tag_path: Where a table carries its tag; the Struct's own tag field if left out.
        root: Whether members are whole documents.
        guards: For a root, by kind of layer: the root key that such a layer leaves alone.
        derive: For a root: what follows from the merged tree.

    Raises:
        RegistryError: The class has no tag field and no `tag_path` was given.
    """

    def enter(cls: NodeType) -> NodeType:
        field = cls.__struct_config__.tag_field
        path = tag_path or ((field,) if field else None)
        if path is None:
            raise RegistryError(f"{_origin(cls)} needs a tag_field to head the family {name!r}")
        current().families[cls] = Family(
            name=name,
            base=cls,
            tag_path=path,
            is_root=root,
            guards=guards or {},
            derive=derive,
            members={},
            aliases={},
            refused={},
        )
        return cls

    return enter


def member(
    cls: NodeType | None = None, *, tag: str | None = None, alias_of: str | None = None
) -> Any:  # noqa: ANN401 - a decorator with and without arguments
    """Class decorator: enter a Struct in the family of its nearest registered base.

    Args:
        cls: The Struct, when used without parentheses.
        tag: The tag, for families whose tag is not a field of the Struct itself.
        alias_of: The tag that this one is a legacy spelling of; merging treats the two as equal.

    Raises:
        RegistryError: No base is a family's head, the tag is taken, or the union is already in use.
    """
    if cls is None:
        return lambda found: member(found, tag=tag, alias_of=alias_of)
    entry = current().family_of(cls)
    if entry is None or entry.base is cls:
        raise RegistryError(f"{_origin(cls)} does not derive from a registered family")
    name = tag if tag is not None else cls.__struct_config__.tag
    if not isinstance(name, str):
        raise RegistryError(f"{_origin(cls)} has no tag of text to enter {entry.name!r} under")
    if (other := entry.members.get(name)) is not None:
        raise RegistryError(
            f"two Structs claim the {entry.name} {name!r}: {_origin(other)} and {_origin(cls)}"
        )
    if entry.closed_by is not None:
        raise RegistryError(
            f"too late to register the {entry.name} {name!r} ({_origin(cls)}): the union was put to"
            f" use by {entry.closed_by}. Register it at import time of a module named under the"
            " entry-point group 'sat_config.schema'"
        )
    entry.members[name] = cls
    if alias_of is not None:
        entry.aliases[name] = alias_of
    return cls


def own_section(cls: type) -> tuple[str, ...] | None:
    """Path of the table that only this member of a root family has (its `own_section`)."""
    found: tuple[str, ...] | None = getattr(cls, "own_section", None)
    return found


def data_keys(cls: type) -> tuple[str, ...]:
    """Dotted paths that a data layer may set although they are guarded (its `data_keys`)."""
    found: tuple[str, ...] = getattr(cls, "data_keys", ())
    return found


def refuse(base: type, tag: str, reason: str) -> None:
    """Say why a family has no member of this tag; whoever uses it is shown the reason.

    A plug-in may register such a member all the same.

    Args:
        base: The head of the family.
        tag: What is refused.
        reason: One sentence without a full stop: why not, and what to take instead.

    Raises:
        RegistryError: `base` heads no family, or the tag has a member.
    """
    entry = current().families.get(base)
    if entry is None or tag in entry.members:
        raise RegistryError(f"{_origin(base)} cannot refuse {tag!r}")
    entry.refused[tag] = reason


def union_of(base: type, user: str) -> Any:  # noqa: ANN401 - a typing construct
    """The union of a family's members, which from now on cannot grow."""
    entry = current().families.get(base)
    if entry is None:
        raise RegistryError(f"Open[{base.__name__}]: {_origin(base)} heads no family")
    if not entry.members:
        raise RegistryError(f"Open[{base.__name__}]: no {entry.name} is registered")
    entry.closed_by = entry.closed_by or user
    if len(entry.members) == 1:  # alone it would be accepted without its tag
        return Union[(*entry.members.values(), _nobody(base))]
    return Union[tuple(entry.members.values())]  # noqa: UP007 - built at run time


NOBODY = "\0"
"""The tag of a member that no document can name."""


def _nobody(base: type[msgspec.Struct]) -> type[msgspec.Struct]:
    return msgspec.defstruct("Nobody", [], bases=(base,), tag=NOBODY, kw_only=True)


def _origin(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


if not TYPE_CHECKING:

    class Open:
        """`Open[Family]` in an annotation is the union of the family's registered members."""

        def __class_getitem__(cls, base: type) -> Any:  # noqa: ANN401 - a typing construct
            frame = sys._getframe(1)
            if "__qualname__" in frame.f_locals and "__module__" in frame.f_locals:
                raise RegistryError(
                    f"{frame.f_globals.get('__name__')} resolves Open[{base.__name__}] while its"
                    " class is being defined; start the module with"
                    " 'from __future__ import annotations'"
                )
            return union_of(base, "the first use of a Struct that has such a slot")
