"""Layers: which documents an experiment is made of, and how they fold into one table.

Every value of the folded table keeps a `Trace` of who set it, so that a message can name the file
and line that a person must edit.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from sat_config import document, schema, shipped
from sat_config.document import Document, DocumentError, Source, Table, at, kind_of
from sat_config.errors import Path, Problem, format_path
from sat_config.schema import Slot

PATH_KEYS: dict[str, Path] = {
    "model_config": (),
    "dataset_config": ("dataset",),
    "val_dataset_config": ("val_dataset",),
}
"""stable-audio-tools' keys that name a document, and where it goes."""

MAX_LAYERS = 1000
"""More than anyone writes; what includes each other without end as a tree does stops here."""

INCLUDES = ("include", "includes")
"""The key that lists layers, and its alias."""

LAYER_KEYS = (*INCLUDES, *PATH_KEYS, "overrides", "layer")
"""Root keys that steer the loading and are gone from the result."""


class Steering(msgspec.Struct):
    """What overrides of the layer keys accept: files as plain text, lists as TOML.

    Attributes:
        include: Layers.
        includes: The same, for those who expect the plural.
        model_config: A model document.
        dataset_config: A dataset document.
        val_dataset_config: A validation dataset document.
        overrides: Override words.
        layer: The kind of this layer.
    """

    include: Any = None
    includes: Any = None
    model_config: str = ""
    dataset_config: str = ""
    val_dataset_config: str = ""
    overrides: Any = None
    layer: str = ""


class Origin(msgspec.Struct, frozen=True, eq=False):
    """Who set a value: a source, and the place in it.

    Attributes:
        source: The file or command-line word.
        path: The value's path in that source.
    """

    source: Source
    path: Path = ()

    def place(self) -> str:
        """`file:line`, or the command-line word."""
        found = self.source.locate(self.path)
        return f"{self.source.name}:{found[0]}" if found and found[0] else self.source.name


class Trace(msgspec.Struct, eq=False):
    """Who set a value, who set parts of it later, and what was there before.

    Attributes:
        origin: Who set it.
        children: Parts that were set apart from the whole.
        previous: What this one replaced.
        added: Who last added keys to it, if it is a table and that was somebody else.
        value: What was there, once it has been replaced or removed.
        gone: Whether nothing is there any more; the origin is then who removed it.
    """

    origin: Origin
    children: dict[str | int, "Trace"] = {}
    previous: "Trace | None" = None
    added: Origin | None = None
    value: Any = None
    gone: bool = False

    def find(self, path: Path) -> Origin:
        """The origin of the value at `path` below here."""
        node, rest = self, path
        while rest and rest[0] in node.children:
            node, rest = node.children[rest[0]], rest[1:]
        return Origin(node.origin.source, (*node.origin.path, *rest))

    def removal(self, path: Path) -> Origin | None:
        """Who removed what was at `path` below here; None if nothing was removed."""
        node = self
        for key in path:
            if key not in node.children:
                return None
            node = node.children[key]
        return node.origin if node.gone else None

    def find_last(self, path: Path) -> Origin:
        """The origin of the newest keys of the table at `path` below here."""
        node = self
        for key in path:
            if key not in node.children:
                return self.find(path)
            node = node.children[key]
        return node.added or node.origin


class Layer(msgspec.Struct, eq=False):
    """One document on its place in the fold.

    Attributes:
        document: The document.
        take: The part of it that counts.
        at: Where that part goes.
    """

    document: Document
    take: Path = ()
    at: Path = ()

    def content(self) -> Table | None:
        """What this layer adds, mounted at its place; None if the part is not in it."""
        part: Any = {k: v for k, v in self.document.data.items() if k not in LAYER_KEYS}
        for key in self.take:
            if not isinstance(part, dict) or key not in part:
                return None
            part = part[key]
        for key in reversed(self.at):
            part = {key: part}
        return part if isinstance(part, dict) else None

    @property
    def kind(self) -> object:
        """What the document declares to be: "model", "data" or "training"; None if nothing."""
        return self.document.data.get("layer")

    def overrides(self) -> list[Any]:
        """The layer's own `overrides` list, as written."""
        found = self.document.data.get("overrides", [])
        return found if isinstance(found, list) else [found]


class Folded(msgspec.Struct, eq=False):
    """The table that layers and overrides fold into.

    Attributes:
        tree: The values.
        trace: Who set them.
        slot: What the root accepts, once that is known.
        problems: What went wrong on the way.
    """

    tree: Table
    trace: Trace
    slot: Slot | None = None
    problems: list[Problem] = []


# ------------------------------------------------------------------------------------- expansion


def expand(top: Document) -> list[Layer]:
    """All layers of a document, lowest first, itself last.

    Raises:
        DocumentError: A file is missing or broken, an entry is malformed, or files include each
            other in a circle.
    """
    problems: list[Problem] = []
    budget = iter(range(MAX_LAYERS))
    layers = list(_expand(top, (_identity(top.source.name),), problems, budget))
    if problems:
        raise DocumentError(*problems)
    return layers


def _expand(
    top: Document, chain: tuple[str, ...], problems: list[Problem], budget: Iterator[int]
) -> Iterator[Layer]:
    for name, take, mount, key_path in _references(top, problems):
        identity = _identity(name)
        if len(chain) > document.MAX_DEPTH or next(budget, None) is None:
            message = f"more than {MAX_LAYERS} layers, or {document.MAX_DEPTH} files in a chain"
            problems.append(at(top.source, key_path, "too-many-layers", message))
            return
        if identity in chain:
            shown = " -> ".join(map(_short, (*chain[chain.index(identity) :], identity)))
            problems.append(
                at(top.source, key_path, "include-cycle", f"files include each other: {shown}")
            )
            continue
        yield from _mounted(top, name, take, mount, key_path, (*chain, identity), problems, budget)
    yield Layer(top)


def _mounted(
    top: Document,
    name: str,
    take: Path,
    mount: Path,
    key_path: Path,
    chain: tuple[str, ...],
    problems: list[Problem],
    budget: Iterator[int],
) -> Iterator[Layer]:
    try:
        included = document.read(name)
    except DocumentError as error:
        for problem in error.problems:
            if problem.line is None:  # a file that cannot be read: point at who names it
                here = at(top.source, key_path, problem.code, "")
                problem = msgspec.structs.replace(
                    here,
                    message=f"{_short(name)}: {problem.message}",
                    allowed=problem.allowed,
                    suggestion=problem.suggestion,
                )
            problems.append(problem)
        return
    before = len(problems)
    layers = [
        Layer(below.document, *_compose(below, take, mount))
        for below in _expand(included, chain, problems, budget)
    ]
    if before == len(problems) and all(layer.content() is None for layer in layers):
        known = ", ".join(map(repr, included.data))
        problems.append(
            at(
                top.source,
                key_path,
                "nothing-to-take",
                f"{_short(name)} has no table {format_path(take)!r}; its root keys are {known}",
            )
        )
    yield from layers


def _compose(below: Layer, take: Path, mount: Path) -> tuple[Path, Path]:
    """The `take` and `at` of a layer of an included file, seen from the including one."""
    if below.at[: len(take)] == take:
        return below.take, (*mount, *below.at[len(take) :])
    if take[: len(below.at)] == below.at:
        return (*below.take, *take[len(below.at) :]), mount
    return ("\0",), mount  # a part that the including file does not take


def _references(top: Document, problems: list[Problem]) -> Iterator[tuple[str, Path, Path, Path]]:
    """(file, take, at, path of the naming key) of everything a document names as a layer."""
    given = [key for key in INCLUDES if key in top.data]
    if len(given) > 1:
        message = "'include' and 'includes' are the same key; write one list"
        problems.append(at(top.source, ("includes",), "bad-include", message))
    key = given[0] if given else INCLUDES[0]
    entries = top.data.get(key, [])
    if not isinstance(entries, list):
        entries = [entries]
    for number, entry in enumerate(entries):
        key_path: Path = (key, number)
        parsed = _entry(entry)
        if isinstance(parsed, str):
            problems.append(at(top.source, key_path, "bad-include", parsed))
        else:
            yield _locate(top.source, parsed[0]), parsed[1], parsed[2], key_path
    for key, mount in PATH_KEYS.items():
        name = top.data.get(key)
        if isinstance(name, str) and name:
            yield _locate(top.source, name), (), mount, (key,)
        elif name not in (None, ""):
            problems.append(
                at(top.source, (key,), "bad-include", f"expected a file, found {kind_of(name)}")
            )


def _entry(entry: object) -> tuple[str, Path, Path] | str:
    """The parts of one include entry, or what is wrong with it."""
    if isinstance(entry, str) and entry:
        return entry, (), ()
    if entry == "":
        return "the name of the file is empty"
    if not isinstance(entry, dict):
        return f"expected a file or {{ path, take, at }}, found {kind_of(entry)}"
    if unknown := set(entry) - {"path", "take", "at"}:
        return f"unknown {', '.join(map(repr, sorted(unknown)))}; an include has path, take, at"
    wrong = [key for key, value in entry.items() if not isinstance(value, str) or not value]
    if wrong or "path" not in entry:
        return "an include needs 'path'; path, take and at are text"
    take, mount = (_keys(entry[key]) if key in entry else () for key in ("take", "at"))
    if "" in (*take, *mount) or max(len(take), len(mount)) > document.MAX_DEPTH:
        return "take and at are keys with single dots between them, such as model.encoder"
    return entry["path"], take, mount


def _keys(dotted: str) -> Path:
    return tuple(dotted.split("."))


def _locate(source: Source, name: str) -> str:
    """Where a named layer lies: a shipped preset, or relative to the naming file."""
    if name.startswith(shipped.PREFIX):
        return shipped.find(name) or name
    return os.path.normpath(os.path.join(source.folder, os.path.expanduser(name)))


def _identity(name: str) -> str:
    try:
        return os.path.realpath(name)
    except ValueError:  # a name that no file can have; reading it says so
        return name


def _short(name: str) -> str:
    """A path as a person would type it from here."""
    relative = os.path.relpath(name)
    return name if relative.startswith("..") else relative


# --------------------------------------------------------------------------------------- the fold


def fold(layers: Sequence[Layer], slot: Slot | None) -> Folded:
    """Merge layers in order; the last one wins, key by key."""
    top = layers[-1].document.source
    folded = Folded(tree={}, trace=Trace(Origin(top), children={}), slot=slot, problems=[])
    contents = [(layer, layer.content()) for layer in layers]
    present = [(layer, content) for layer, content in contents if content is not None]
    for number, (layer, content) in enumerate(present, 1):
        later = [over for _, over in present[number:]]
        composed = layer.document.origin_of is not None  # then every value has its own origin
        depth = document.MAX_DEPTH if composed else len(layer.at)
        merge(folded, content, LayerOrigin(layer), later, depth=depth)
    return folded


class LayerOrigin:
    """Turns a path of the resolved tree into the place in a layer's own file."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def __call__(self, path: Path) -> Origin:
        """The place of the resolved tree's `path`."""
        there = (*self.layer.take, *path[len(self.layer.at) :])
        document = self.layer.document
        if document.origin_of is not None:
            origin: Origin = document.origin_of(there)
            return origin
        return Origin(document.source, there)


def merge(
    folded: Folded,
    over: Table,
    origin_of: Callable[[Path], Origin],
    later: Sequence[Table] = (),
    depth: int = 0,
) -> None:
    """Lay `over` on the folded table. Tables merge; lists and scalars replace.

    Where a tag changes, only the keys that the family itself declares survive.

    Args:
        folded: What there is so far; changed in place.
        over: The new values; not changed.
        origin_of: Function from a path to the `Origin` of the value there.
        later: What will be laid on top, in order. A table that has no tag yet gets the one that
            comes, so that it is known which tables below it are tagged.
        depth: How many keys lead to where `over` is mounted: tables above that are made key by
            key, each with an origin of its own.
    """
    folded.trace.added = origin_of(())
    _Merge(origin_of, folded.problems, depth).table(
        folded.tree, over, folded.slot, folded.trace, (), later
    )


class _Merge:
    def __init__(
        self, origin_of: Callable[[Path], Origin], problems: list[Problem], depth: int
    ) -> None:
        self.origin_of = origin_of
        self.problems = problems
        self.depth = depth

    def table(
        self,
        base: Table,
        over: Table,
        slot: Slot | None,
        trace: Trace,
        path: Path,
        later: Sequence[Table],
    ) -> None:
        drop_foreign(base, over, slot, trace, lambda keys: self.origin_of((*path, *keys)))
        tagged = _tagged({**base, **over}, slot, (base, *later))
        for key, value in over.items():
            here = (*path, key)
            old = base.get(key)
            if _clash(old, value) and not _is_comment(key, slot, tagged):
                clash = _clashing(trace.find((key,)), self.origin_of(here), here, old, value)
                self.problems.append(clash)
                continue
            above_mount = isinstance(value, dict) and len(here) < self.depth
            if above_mount and not isinstance(old, dict):
                old = self.set(base, key, {}, trace, here)
            if isinstance(value, dict) and isinstance(old, dict):
                child = schema.child_slot(slot, tagged, key)
                above = [table[key] for table in later if isinstance(table.get(key), dict)]
                part = own(trace, key)
                part.added = self.origin_of(here)
                self.table(old, value, child, part, here, above)
            else:
                self.set(base, key, copy(value), trace, here)

    def set(self, base: Table, key: str, value: Any, trace: Trace, path: Path) -> Any:  # noqa: ANN401
        """Put a value in and note who it is from; parts of it are found through the whole."""
        replace(base, key, value, trace, self.origin_of(path))
        if isinstance(value, list) and len(path) < self.depth:
            self.elements(value, trace.children[key], path)
        return value

    def elements(self, value: Any, trace: Trace, path: Path) -> None:  # noqa: ANN401 - any node
        """Note who each part of a list in composed data is from."""
        parts: Iterable[tuple[str | int, Any]] = value.items() if isinstance(value, dict) else ()
        for key, part in enumerate(value) if isinstance(value, list) else parts:
            trace.children[key] = Trace(self.origin_of((*path, key)), children={})
            self.elements(part, trace.children[key], (*path, key))


def _tagged(table: Table, slot: Slot | None, others: Sequence[Table]) -> Table:
    """The table itself if it has a tag, else the first of the others that has."""
    if slot is None or slot.family is None:
        return table
    tag_of = slot.family.tag_of
    return next((found for found in (table, *others) if tag_of(found) is not None), table)


def replace(table: Any, key: str | int, value: Any, trace: Trace, origin: Origin) -> None:  # noqa: ANN401
    """Set a value of a table or list; its trace remembers the one that it replaces."""
    previous = trace.children.get(key)
    if not isinstance(table, dict) or key in table:
        previous = own(trace, key)
        previous.value = table[key]
    trace.children[key] = Trace(origin, children={}, previous=previous)
    table[key] = value


def remove(table: Table, key: str, trace: Trace, origin: Origin) -> None:
    """Take a value out of a table; its trace remembers it, and who did that."""
    previous = own(trace, key)
    previous.value = table.pop(key)
    trace.children[key] = Trace(origin, children={}, previous=previous, gone=True)


def own(trace: Trace, key: str | int) -> Trace:
    """The trace of a part, made if the part was so far covered by the whole."""
    if key not in trace.children:
        origin = trace.find((key,))
        trace.children[key] = Trace(origin, children={})
    return trace.children[key]


def drop_foreign(
    base: Table,
    over: Table,
    slot: Slot | None,
    trace: Trace,
    origin_of: Callable[[Path], Origin],
) -> None:
    """Remove what belongs to the old member when `over` changes the tag.

    Args:
        base: The table of the old member; changed in place.
        over: The new values; not changed.
        slot: Where the table stands.
        trace: Who set what in it.
        origin_of: Function from a path in `over` to the `Origin` of the value there.
    """
    if slot is None or slot.family is None:
        return
    family = slot.family
    old, new = family.canonical(family.tag_of(base)), family.canonical(family.tag_of(over))
    if old is None or new is None or old == new:
        return
    shared = schema.fields(family.base)
    for key in [key for key in base if key not in shared and (key,) != family.tag_path]:
        remove(base, key, trace, origin_of(family.tag_path))


def placed(problem: Problem, path: Path, *, allowed: str | None = None) -> Problem:
    """The problem, told of a path of the resolved tree."""
    return msgspec.structs.replace(problem, path=path, allowed=allowed)


def as_warning(problem: Problem) -> Problem:
    """The problem, which refuses nothing."""
    return msgspec.structs.replace(problem, severity="warning")


def _clash(old: object, new: object) -> bool:
    if old is None or new is None:
        return False
    return isinstance(old, dict) != isinstance(new, dict)


def _is_comment(key: str, slot: Slot | None, table: Table) -> bool:
    """Whether a key looks like one of JSON's comments, which are dropped once all is merged."""
    unknown = slot is not None and schema.child_slot(slot, table, key) is None
    return unknown and key.startswith("_")


def _clashing(lower: Origin, upper: Origin, path: Path, old: object, new: object) -> Problem:
    problem = at(
        upper.source,
        upper.path,
        "layer-clash",
        f"{format_path(path)} is {kind_of(new)} here but {kind_of(old)} in {lower.place()};"
        " a layer can replace a value only by one of the same kind",
    )
    return msgspec.structs.replace(problem, path=path)


def copy(value: Any) -> Any:  # noqa: ANN401 - any plain value
    """A copy of a plain value that shares no table or list with it."""
    if isinstance(value, dict):
        return {k: copy(v) if isinstance(v, _NESTED) else v for k, v in value.items()}
    if isinstance(value, list):
        return [copy(item) if isinstance(item, _NESTED) else item for item in value]
    return value


_NESTED = (dict, list)
