"""What one key of a document is: its value, who set it, what it may be, and which rules read it."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from sat_config import changes, diagnose, hints, jsonschema, overrides, registry, rules, schema
from sat_config.changes import Steps
from sat_config.errors import Path, UserError, format_path
from sat_config.layers import Folded, Origin, Trace
from sat_config.schema import Slot


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One who set or removed a value.

    Attributes:
        origin: `file:line`, or the command-line word.
        value: What it was set to; None for a removal.
        removed: Whether it was taken away, by a removal or because the tag above it changed.
    """

    origin: str
    value: Any = None
    removed: bool = False


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that looks at a key.

    Attributes:
        code: Its name.
        demands: What it demands.
    """

    code: str
    demands: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One key.

    Attributes:
        path: Where it is.
        description: What it means.
        allowed: What it takes.
        required: Whether it must be given.
        default: Its value where nobody sets it.
        value: Its value here; None where there is no document.
        settings: Who set it, in order; the last one counts.
        consequence: What changing it does to a run.
        rules: The rules that read it.
        keys: The keys below it, each with its description.
        dropped: For a tag or a table: keys that went when the tag changed or by a removal, each
            with who did that.
    """

    path: str
    description: str = ""
    allowed: str = ""
    required: bool = False
    default: Any = None
    value: Any = None
    settings: tuple[Setting, ...] = ()
    consequence: str = ""
    rules: tuple[Reader, ...] = ()
    keys: dict[str, str] = {}
    dropped: dict[str, str] = {}


def explain(folded: Folded, key: str) -> Explanation:
    """Explain a key of a document.

    Args:
        folded: What the layers of the document made, as `Report.folded` has it.
        key: Its path, as overrides write it.

    Raises:
        UserError: The document has no such key and cannot have it.
    """
    try:
        parts, rest = overrides.parse_path(key)
    except overrides.OverrideError as error:
        raise UserError(str(error)) from None
    if rest or folded.slot is None:
        raise UserError(f"{key!r} is not the path of a key; {rest!r} is left over")
    steps: list[tuple[type, str]] = []
    slot: Slot | None = folded.slot
    value: Any = folded.tree
    path: Path = ()
    facts = Explanation(path="")
    for part in parts:
        name = _place(value, part, path)
        inner, facts = _step(slot, value, name, (*path, name))
        if inner is None and not facts.path:
            raise _unknown(folded, slot, value, name, path)
        cls = slot.struct_for(value) if slot else None
        if isinstance(name, str) and cls is not None:
            steps.append((cls, name))
        value = _item(value, name)
        value = facts.default if value is None else value
        slot, path = inner, (*path, name)
    return msgspec.structs.replace(
        facts,
        path=format_path(path),
        value=value,
        settings=tuple(_settings(folded.trace, path, folded.tree)),
        consequence=changes.consequence_of(steps) if slot and steps else "",
        rules=tuple(_readers(folded, path)),
        dropped=_dropped(folded.trace, path[:-1] if slot is None else path),
    )


def documented(dotted: str) -> list[Explanation]:
    """All keys that a path of the schema may mean, whichever types stand on the way to them."""
    slots: list[tuple[Slot, Steps]] = [
        (schema.struct_slot(root.base), ()) for root in registry.current().roots()
    ]
    found: dict[bytes, Explanation] = {}
    *parents, last = dotted.split(".")
    for key in parents:
        slots = [
            (field.slot, (*steps, (cls, key)))
            for slot, steps in slots
            for cls in _structs(slot)
            if (field := schema.fields(cls).get(key)) is not None
        ]
    for slot, steps in slots:
        for cls in _structs(slot):
            field = schema.fields(cls).get(last)
            if field is not None:
                facts = _of_field(cls, field, dotted)
                consequence = changes.consequence_of((*steps, (cls, last)))
                facts = msgspec.structs.replace(facts, consequence=consequence)
                found.setdefault(msgspec.json.encode(facts), facts)
    return list(found.values())


# ---------------------------------------------------------------------------------------- walking


def _place(value: Any, part: str | int | overrides.Element, path: Path) -> str | int:  # noqa: ANN401
    if not isinstance(part, overrides.Element):
        return part
    items = value if isinstance(value, list) else []
    ids = [item.get("id") if isinstance(item, dict) else None for item in items]
    if part.id not in ids:
        raise UserError(f"no element of {format_path(path)} has the id {part.id!r}")
    return ids.index(part.id)


def _item(value: Any, name: str | int) -> Any:  # noqa: ANN401
    try:
        return value[name]
    except (LookupError, TypeError):
        return None


def _step(
    slot: Slot | None, value: object, name: str | int, path: Path
) -> tuple[Slot | None, Explanation]:
    """The slot of a key of a table or an element of a list, and what is known of it."""
    nothing = Explanation(path="")
    if slot is None:
        return None, nothing
    family = slot.family
    if family is not None and name == family.tag_path[0] and len(family.tag_path) == 1:
        tags = ", ".join(diagnose.show(tag) for tag in family.members)
        described = f"Which {family.name} it is."
        path_text = format_path(path)
        return None, Explanation(path=path_text, description=described, allowed=tags, required=True)
    known = schema.keys_of(slot, value)
    if isinstance(name, str) and name in known:
        cls = slot.struct_for(value) or (family.base if family else slot.structs[0])
        return known[name].slot, _of_field(cls, known[name], format_path(path))
    inner = schema.child_slot(slot, value, name)
    if inner is None:
        return None, nothing
    described = diagnose.describe(inner.annotation)
    return inner, Explanation(path=format_path(path), allowed=described)


def _of_field(cls: type[msgspec.Struct], field: schema.Field, path: str) -> Explanation:
    slot = field.slot
    allowed = diagnose.describe(slot.annotation)
    keys: dict[str, str] = {}
    if slot.family is not None:
        tags = [tag for tag, member in slot.family.members.items() if member in slot.structs]
        allowed = f"a {slot.family.name}: {', '.join(tags)}"
    elif len(slot.structs) == 1:
        texts = jsonschema.descriptions(slot.structs[0])
        keys = {key: texts.get(key, "") for key in schema.fields(slot.structs[0])}
    return Explanation(
        path=path,
        description=jsonschema.descriptions(cls).get(field.key, ""),
        allowed=allowed,
        required=field.required,
        default=None if field.required else msgspec.to_builtins(field.default),
        keys=keys,
    )


def _unknown(
    folded: Folded,
    slot: Slot | None,
    value: object,
    name: str | int,
    path: Path,
) -> UserError:
    if gone := folded.trace.removal((*path, name)):
        return UserError(f"{format_path((*path, name))} is not there: {gone.place()} removed it")
    where = format_path(path) if path else "the document"
    known = list(schema.keys_of(slot, value)) if slot else []
    near = hints.nearest(name, known)
    advice = f"; did you mean {format_path((*path, near))}?" if near else ""
    keys = f" It has: {', '.join(known)}" if known and not near else ""
    return UserError(f"{where} has no key {name!r}{advice}{keys}")


def _structs(slot: Slot) -> Iterator[type[msgspec.Struct]]:
    """The Structs in a slot, or in the elements of its lists and tables."""
    yield from slot.structs
    for inner in (slot.item, slot.values):
        if inner is not None:
            yield from _structs(inner)


# ---------------------------------------------------------------------------------------- history


def _settings(trace: Trace, path: Path, value: Any) -> Iterator[Setting]:  # noqa: ANN401
    """Who set the value at `path` below a trace, oldest first."""
    older = trace.previous
    before = list(_settings(older, path, older.value)) if older is not None else []
    yield from before
    if trace.gone:
        if before and not before[-1].removed:
            yield Setting(origin=trace.origin.place(), removed=True)
    elif path and path[0] in trace.children:
        yield from _settings(trace.children[path[0]], path[1:], _item(value, path[0]))
    else:
        for key in path:
            value = _item(value, key)
        if value is not None:
            origin = Origin(trace.origin.source, (*trace.origin.path, *path))
            yield Setting(origin=origin.place(), value=value)


def _dropped(trace: Trace, path: Path) -> dict[str, str]:
    """Keys of the table at a path that were removed, and by whom."""
    for key in path:
        if key not in trace.children:
            return {}
        trace = trace.children[key]
    gone = {key: child for key, child in trace.children.items() if child.gone}
    return {str(key): child.origin.place() for key, child in gone.items()}


def _readers(folded: Folded, path: Path) -> Iterator[Reader]:
    """Rules on a node above the key that name it, or something that it is a part of."""
    slot, value = folded.slot, folded.tree
    for depth in range(len(path)):
        cls = slot.struct_for(value) if slot else None
        here = tuple(str(key) for key in path[depth:] if isinstance(key, str))
        for rule in rules.RULES.values():
            if cls is not None and issubclass(cls, rule.on) and _reads(rule.reads, here):
                yield Reader(code=rule.code, demands=" ".join(rule.sentence.split()))
        slot, value = schema.child_slot(slot, value, path[depth]), _item(value, path[depth])


def _reads(reads: Sequence[str], key: tuple[str, ...]) -> bool:
    return any(key[: len(read)] == read for read in (tuple(text.split(".")) for text in reads))
