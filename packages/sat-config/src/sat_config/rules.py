"""Rules between fields: what each value allows but the whole does not.

A rule is a function on one Struct, entered with `@rule`. It yields a `Broken` for everything that
does not fit, with the arithmetic in the sentence and, where there is one, the value that would.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal, TypeVar

import msgspec

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

_on_class: dict[type, list[Rule]] = {}

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
    cls = type(node)
    if cls not in _on_class:
        _on_class[cls] = [entry for entry in RULES.values() if issubclass(cls, entry.on)]
    for entry in _on_class[cls]:
        for found in entry.check(node):
            yield entry, (*path, *found.path), found


def broken(value: object, path: Path = ()) -> Iterator[tuple[Rule, Path, Broken]]:
    """All violations in a decoded value and everything below it."""
    if isinstance(value, msgspec.Struct):
        yield from broken_by(value, path)
        for field in value.__struct_fields__:
            inner = getattr(value, field)
            if isinstance(inner, msgspec.Struct | tuple):
                yield from broken(inner, (*path, field))
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            if isinstance(item, msgspec.Struct | tuple):
                yield from broken(item, (*path, number))
