"""What a family says about its layers: which kinds may set what, and which values follow.

A layer may declare its kind (`layer = "data"`). A family guards keys against kinds that have no
business there: a description of data must not change an architecture by accident. And a family may
derive values from the merged tree; a layer that states another value is refused, whoever comes
last.
"""

from collections.abc import Iterator, Sequence

from sat_config import layers, registry
from sat_config.document import Source, Table, at
from sat_config.errors import Path, Problem, format_path
from sat_config.layers import Folded, Layer, Origin
from sat_config.registry import Family

KINDS = ("model", "data", "training")
"""Kinds of layers, in the order in which they are usually laid."""


def check(folded: Folded, expanded: Sequence[Layer]) -> list[Problem]:
    """Problems of the layers with each other; derived values are filled in on the way.

    Args:
        folded: What the layers and overrides made; changed in place.
        expanded: The layers, lowest first.
    """
    found = [*_kinds(expanded)]
    family = folded.slot.family if folded.slot else None
    if family is None:
        return found
    found += [problem for layer in expanded for problem in _guarded(layer, expanded, family)]
    found += _other_members(folded, family)
    return [*found, *_derived(folded, expanded, family)]


def _kinds(expanded: Sequence[Layer]) -> Iterator[Problem]:
    """Kinds that there are not, and layers out of their usual order."""
    highest, below = 0, ""
    for layer in expanded:
        kind, source = layer.kind, layer.document.source
        if kind is None:
            continue
        if kind not in KINDS:
            allowed = ", ".join(f'"{name}"' for name in KINDS)
            message = f"there is no kind of layer {kind!r}; there are {allowed}"
            yield at(source, ("layer",), "bad-layer-kind", message)
            continue
        if KINDS.index(kind) < highest:
            message = (
                f"this {kind} layer lies above {below}, a {KINDS[highest]} layer: is that meant?"
            )
            problem = at(source, ("layer",), "layer-order", message)
            yield layers.as_warning(problem)
        if KINDS.index(kind) >= highest:
            highest, below = KINDS.index(kind), source.name


def _guarded(layer: Layer, expanded: Sequence[Layer], family: Family) -> Iterator[Problem]:
    """Keys that a layer of this kind may not set."""
    guarded = family.guards.get(str(layer.kind))
    content = layer.content() or {}
    if guarded is None or guarded not in content:
        return
    free = {key for cls in family.members.values() for key in registry.data_keys(cls)}
    for path in _leaves(content[guarded], (guarded,)):
        if ".".join(map(str, path)) in free:
            continue
        origin = layers.LayerOrigin(layer)(path)
        message = f"a {layer.kind} layer may not set {format_path(path)}"
        if others := [
            _name(other) for other in expanded if other is not layer and _has(other, path)
        ]:
            message += f", which {others[-1]} sets"
        problem = at(
            origin.source,
            origin.path,
            "guarded-key",
            message,
            suggestion="if it is meant, set it in the experiment's own file or by --override",
        )
        yield layers.placed(problem, path, allowed=", ".join(sorted(free)) or None)


def _other_members(folded: Folded, family: Family) -> Iterator[Problem]:
    """Remove the sections of models that were not chosen, and say so."""
    chosen = family.member_for(folded.tree)
    if chosen is None:
        return
    for tag, cls in family.members.items():
        *parents, key = registry.own_section(cls) or ("",)
        table, trace = folded.tree, folded.trace
        for parent in parents:
            inner = table.get(parent)
            table, trace = (inner if isinstance(inner, dict) else {}), layers.own(trace, parent)
        if cls is not chosen and key in table and (*parents, key) != registry.own_section(chosen):
            origin = trace.find((key,))
            del table[key]
            trace.children.pop(key, None)
            path = (*parents, key)
            message = (
                f"{format_path(path)} is for {tag}, which is not the model here; it is not read"
            )
            problem = at(origin.source, origin.path, "other-model", message)
            yield layers.placed(layers.as_warning(problem), path)


def _derived(folded: Folded, expanded: Sequence[Layer], family: Family) -> Iterator[Problem]:
    """Fill in the values that follow from others; refuse every other value, wherever it stands."""
    if family.derive is None or family.member_for(folded.tree) is None:
        return
    for derived in family.derive(folded.tree):
        path = derived.path
        for origin, value in _stated(folded, expanded, path):
            if value != derived.value:
                message = f"{format_path(path)} is {value!r}, but {derived.because}"
                problem = at(
                    origin.source,
                    origin.path,
                    "derived-value",
                    message,
                    suggestion=f"{derived.value}, or leave it out",
                )
                yield layers.placed(problem, path)
        _fill(folded, derived)


def _stated(
    folded: Folded, expanded: Sequence[Layer], path: Path
) -> Iterator[tuple[Origin, object]]:
    """Who states a value for a path, lowest first: layers, and the override that came last."""
    sources = set()
    for layer in expanded:
        sources.add(id(layer.document.source))
        if _has(layer, path):
            yield layers.LayerOrigin(layer)(path), _at(layer.content(), path)
    origin = folded.trace.find(path)
    if _at(folded.tree, path) is not None and id(origin.source) not in sources:
        yield origin, _at(folded.tree, path)


def _fill(folded: Folded, derived: registry.Derived) -> None:
    table, trace = folded.tree, folded.trace
    origin = Origin(Source(name=f"derived: {derived.because}"))
    *parents, last = derived.path
    for key in parents:
        if not isinstance(table.get(key), dict):
            layers.replace(table, key, {}, trace, origin)
        table, trace = table[key], layers.own(trace, key)
    if table.get(last) != derived.value:
        layers.replace(table, last, derived.value, trace, origin)


def _has(layer: Layer, path: Path) -> bool:
    return _at(layer.content(), path) is not None


def _at(tree: Table | None, path: Path) -> object:
    """The value at a path; None if there is none."""
    value: object = tree
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _leaves(value: object, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path


def _name(layer: Layer) -> str:
    return layer.document.source.name
