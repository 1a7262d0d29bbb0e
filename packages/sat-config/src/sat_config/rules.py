"""Rules between fields: what each value allows but the whole does not.

A rule is a function on one Struct, entered with `@rule`. It yields a `Broken` for everything that
does not fit, with the arithmetic in the sentence and, where there is one, the value that would.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal, TypeVar

import msgspec

from sat_config import schema
from sat_config.errors import Path


class Broken(msgspec.Struct, frozen=True):
    """One violation.

    Attributes:
        message: What does not fit, with the arithmetic.
        path: The value to change, relative to the node.
        fix: What to write there.
    """

    message: str
    path: Path = ()
    fix: str | None = None


class Rule(msgspec.Struct, frozen=True, eq=False):
    """A rule and what it is about.

    Attributes:
        code: Its name in messages and in `checks.allow`.
        on: The Struct whose instances it looks at.
        reads: Paths it reads, relative to the node, dotted.
        severity: Whether breaking it refuses a run.
        check: The function.
    """

    code: str
    on: type[msgspec.Struct]
    reads: tuple[str, ...]
    severity: Literal["error", "warning"]
    check: Callable[[Any], Iterator[Broken]]

    @property
    def sentence(self) -> str:
        """What it demands."""
        return (self.check.__doc__ or "").strip()


RULES: dict[str, Rule] = {}

_on_class: dict[type, tuple[list[Rule], list[str]]] = {}
"""Of each Struct the rules that look at it, and the fields that hold further Structs."""

Check = TypeVar("Check", bound=Callable[[Any], Iterator[Broken]])


def rule(
    code: str,
    *,
    on: type[msgspec.Struct],
    reads: tuple[str, ...],
    severity: Literal["error", "warning"] = "error",
) -> Callable[[Check], Check]:
    """Decorator: enter a function as a rule; its docstring is the rule's sentence."""

    def enter(check: Check) -> Check:
        if code in RULES:
            raise TypeError(f"two rules are called {code}")
        RULES[code] = Rule(code, on, reads, severity, check)
        _on_class.clear()
        return check

    return enter


def keep_only(codes: Collection[str]) -> None:
    """Withdraw all rules but these."""
    for code in [code for code in RULES if code not in codes]:
        del RULES[code]
    _on_class.clear()


def broken_by(node: msgspec.Struct, path: Path) -> Iterator[tuple[Rule, Path, Broken]]:
    """The violations of rules on this node, not on those below it."""
    for entry in _known_of(type(node))[0]:
        for found in entry.check(node):
            yield entry, (*path, *found.path), found


def broken(value: object, path: Path = ()) -> Iterator[tuple[Rule, Path, Broken]]:
    """All violations in a decoded value and everything below it."""
    if isinstance(value, msgspec.Struct):
        checks, parts = _known_of(type(value))
        for entry in checks:
            for found in entry.check(value):
                yield entry, (*path, *found.path), found
        for field in parts:
            inner = getattr(value, field)
            if inner is not None:
                yield from broken(inner, (*path, field))
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from broken(item, (*path, number))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from broken(item, (*path, key))


def _known_of(cls: type[msgspec.Struct]) -> tuple[list[Rule], list[str]]:
    if cls not in _on_class:
        checks = [entry for entry in RULES.values() if issubclass(cls, entry.on)]
        pairs = zip(cls.__struct_fields__, schema.fields(cls).values(), strict=True)
        _on_class[cls] = checks, [name for name, field in pairs if field.slot.holds_structs]
    return _on_class[cls]
