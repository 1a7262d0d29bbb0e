"""What differs between two configurations, and what each difference does to a run.

Every class says of its own keys what they do: `weight_keys`, `training_keys`, `harmless_keys` and
`latent_keys` of `Node`. A key that none of them names changes what is computed from the same
weights.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from sat_config import encode, registry, schema
from sat_config.errors import Path, format_path
from sat_config.registry import Family

Effect = Literal["harmless", "restart", "architecture"]

_HARMLESS, _TRAINING, _FUNCTION, _WEIGHTS = range(4)
_EFFECTS: tuple[Effect, ...] = ("harmless", "restart", "restart", "architecture")
_WORDS = {
    "harmless": "harmless",
    "restart": "needs a restart",
    "architecture": "changes the architecture",
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One value that differs.

    Attributes:
        path: Where, as keys and indices.
        before: The value that it had, as plain data; None where there was none.
        after: The value that it has now; None where there is none.
        effect: "harmless": the same weights compute the same, and a run can go on. "restart": the
            weights still fit, but something else is computed or learned, so that a run should start
            anew. "architecture": weights are added, gone, or of another shape.
        invalidates_latents: Whether latents that were stored before are of no use any more.
    """

    path: Path
    before: Any
    after: Any
    effect: Effect
    invalidates_latents: bool = False

    @property
    def consequence(self) -> str:
        """The effect in words."""
        words = _WORDS[self.effect]
        return f"{words}, invalidates latents" if self.invalidates_latents else words


Steps = Sequence[tuple[type[msgspec.Struct], str]]


class _Place(NamedTuple):
    """What is known of a part of the configuration from the keys above it.

    Attributes:
        cap: The most that anything in it can do.
        latents: Whether it lies on the way from audio to latents.
    """

    cap: int = _WEIGHTS
    latents: bool = True


def diff(before: msgspec.Struct, after: msgspec.Struct) -> tuple[Change, ...]:
    """All differences between two configurations of one family, defaults counted as values.

    Elements of lists that have ids are compared by these. Where a tag changes, the keys that belong
    to the tag are one change with it.

    Raises:
        TypeError: The two have no class in common, such as an experiment and a dataset.
    """
    if _common(type(before), type(after)) is None:
        raise TypeError(f"a {type(before).__name__} cannot be compared to a {type(after).__name__}")
    return tuple(_structs(before, after, (), _Place()))


def consequence_of(steps: Steps) -> str:
    """What a change of one key does, in words.

    Args:
        steps: Class and key of each table on the way to it, and of itself.
    """
    place = _Place()
    for cls, key in steps:
        place = _below(cls, key, place)
    return _change((), None, None, _label(*steps[-1]), place).consequence


def _structs(
    before: msgspec.Struct, after: msgspec.Struct, path: Path, place: _Place
) -> Iterator[Change]:
    family = registry.current().family_of(type(after))
    old, new = (_tag(type(node), family) for node in (before, after))
    if family is not None and family.canonical(old) != family.canonical(new):
        label = _WEIGHTS if _has_weights(before) or _has_weights(after) else _FUNCTION
        if family.is_root:  # one that declares none has no latents
            place = place._replace(latents=bool(_declared(type(after), "latent_keys")))
        yield _change((*path, *family.tag_path), old, new, label, place)
    for key, field in _attributes(_common(type(before), type(after))).items():
        inner = _below(type(after), key, place)
        pair = getattr(before, field), getattr(after, field)
        yield from _values(*pair, (*path, key), inner, _label(type(after), key))


def _values(before: Any, after: Any, path: Path, place: _Place, label: int) -> Iterator[Change]:  # noqa: ANN401
    """Differences between two values, each of any kind that a configuration can hold."""
    if before == after and type(before) is type(after):
        return
    if isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
        yield from _structs(before, after, path, place)
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            pair = before.get(key), after.get(key)
            yield from _values(*pair, (*path, key), place, label)
    elif _holds_structs(before) and _holds_structs(after):
        yield from _lists(before, after, path, place, label)
    else:
        if any(_has_weights(value) for value in (before, after)):
            label = _WEIGHTS
        yield _change(path, before, after, label, place)


def _lists(
    before: tuple[Any, ...], after: tuple[Any, ...], path: Path, place: _Place, label: int
) -> Iterator[Change]:
    old, new = _by_name(before), _by_name(after)
    for name in dict.fromkeys([*old, *new]):
        at = new[name][0] if name in new else old[name][0]
        first, second = (named[name][1] if name in named else None for named in (old, new))
        yield from _values(first, second, (*path, at), place, label)
    common = [[name for name in names if name in old and name in new] for names in (old, new)]
    if common[0] != common[1]:  # the same elements in another order
        yield _change(path, list(old), list(new), label, place)


def _by_name(items: tuple[Any, ...]) -> dict[Any, tuple[int, Any]]:
    """Index and element by id, or by index where ids are missing or repeat."""
    names = [getattr(item, "id", None) for item in items]
    if None in names or len(set(names)) < len(names):
        names = list(range(len(items)))
    return {name: (at, item) for at, (name, item) in enumerate(zip(names, items, strict=True))}


def _change(path: Path, before: object, after: object, label: int, place: _Place) -> Change:
    label = min(label, place.cap)
    return Change(
        path=path,
        before=encode.without_none(msgspec.to_builtins(before)),
        after=encode.without_none(msgspec.to_builtins(after)),
        effect=_EFFECTS[label],
        invalidates_latents=place.latents and label >= _FUNCTION,
    )


# ----------------------------------------------------------------------------------- declarations


def _declared(cls: type, name: str) -> set[str]:
    """Keys that a class and its bases enter in one of the lists."""
    return {key for base in cls.__mro__ for key in vars(base).get(name) or ()}


def _label(cls: type[msgspec.Struct], key: str) -> int:
    """What a key does by itself."""
    field = schema.fields(cls).get(key)
    if field is not None and field.slot.inert:
        return _HARMLESS
    for label, name in (
        (_WEIGHTS, "weight_keys"),
        (_TRAINING, "training_keys"),
        (_HARMLESS, "harmless_keys"),
    ):
        if key in _declared(cls, name):
            return label
    return _FUNCTION


def _below(cls: type[msgspec.Struct], key: str, place: _Place) -> _Place:
    """What is known of the part under a key."""
    label = _label(cls, key)
    cap = min(place.cap, label) if label < _FUNCTION else place.cap
    chosen = getattr(cls, "latent_keys", None) is not None
    return _Place(cap, place.latents and (not chosen or key in _declared(cls, "latent_keys")))


def _has_weights(value: object) -> bool:
    """Whether a value, or something in it, declares keys that decide on weights."""
    if isinstance(value, tuple):
        return any(map(_has_weights, value))
    if not isinstance(value, msgspec.Struct):
        return False
    cls = type(value)
    return bool(_declared(cls, "weight_keys")) or any(
        _has_weights(getattr(value, field))
        for key, field in _attributes(cls).items()
        if _label(cls, key) >= _FUNCTION
    )


def _holds_structs(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, msgspec.Struct) for item in value)


def _attributes(cls: type[msgspec.Struct] | None) -> dict[str, str]:
    """Key in files to attribute."""
    return dict(zip(schema.fields(cls), cls.__struct_fields__, strict=True)) if cls else {}


def _common(one: type, other: type) -> type[msgspec.Struct] | None:
    """The nearest class that both derive from, if it has fields or heads a family."""
    shared = next(base for base in one.__mro__ if issubclass(other, base))
    if not issubclass(shared, msgspec.Struct):
        return None
    return shared if shared.__struct_fields__ or registry.current().family_of(shared) else None


def _tag(cls: type, family: Family | None) -> str | None:
    """The tag that a class is entered under, if it is a member of the family."""
    members = family.members if family is not None else {}
    return next((tag for tag, entered in members.items() if entered is cls), None)


def describe(change: Change) -> str:
    """A change as one line: the path, both values and the effect."""
    pair = f"{_shown(change.before)} -> {_shown(change.after)}"
    return f"{format_path(change.path)}: {pair}  ({change.consequence})"


def _shown(value: object) -> str:
    from sat_config.diagnose import show

    return "not set" if value is None else show(value)
