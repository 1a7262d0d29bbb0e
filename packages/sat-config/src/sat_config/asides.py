"""Keys that nobody decodes: comments in JSON, unknown keys that are accepted, and inert ones."""

from collections.abc import Iterator
from typing import Any

import msgspec

from sat_config import diagnose, encode, hints, layers, overrides, rules, schema
from sat_config.document import Table
from sat_config.errors import Path, Problem, format_path
from sat_config.layers import Folded, Trace
from sat_config.schema import Slot

_NESTED = (dict, list)


def drop_comments(folded: Folded) -> Iterator[Problem]:
    """Remove JSON's keys that start with an underscore, comments by habit, where no key is free."""
    if folded.slot is not None:
        yield from _comments(folded.tree, folded.slot, (), folded)


def _comments(value: Any, slot: Slot, path: Path, folded: Folded) -> Iterator[Problem]:  # noqa: ANN401
    if isinstance(value, list):
        for number, item in enumerate(value):
            if slot.item is not None and isinstance(item, _NESTED):
                yield from _comments(item, slot.item, (*path, number), folded)
        return
    known = schema.keys_of(slot, value)
    for key, item in list(value.items()):
        here = (*path, key)
        child = known[key].slot if key in known else slot.values
        if child is None and slot.structs and key.startswith("_") and _in_json(here, folded):
            yield _note("comment-key", here, f"{key!r} is taken as a comment and not read", folded)
            del value[key]
        elif child is not None and isinstance(item, _NESTED):
            yield from _comments(item, child, here, folded)


def _in_json(path: Path, folded: Folded) -> bool:
    return folded.trace.find(path).source.language == "json"


def accepted(tree: Table, key: str) -> list[str]:
    """One of the lists of `checks`, from a table that may hold anything there."""
    checks = tree.get("checks")
    listed = checks.get(key) if isinstance(checks, dict) else None
    return [word for word in listed if isinstance(word, str)] if isinstance(listed, list) else []


def set_ignored_apart(folded: Folded) -> None:
    """Move the unknown keys that the document accepts by path to its `ignored` table."""
    for text in accepted(folded.tree, "allow_unknown"):
        found = _unknown_at(folded, text)
        kept = folded.tree.setdefault("ignored", {}) if found else None
        if found and isinstance(kept, dict):
            table, trace, key = found
            kept[text] = encode.without_none(table.pop(key))
            layers.own(folded.trace, "ignored").children[text] = layers.own(trace, key)
            del trace.children[key]


def _unknown_at(folded: Folded, text: str) -> tuple[Table, Trace, str] | None:
    """The table, its trace and the key that a path names; None if it is known or not there."""
    try:
        (*parents, last), rest = overrides.parse_path(text)
    except overrides.OverrideError:
        return None
    table: Any = folded.tree
    slot, trace = folded.slot, folded.trace
    for key in parents:
        if isinstance(key, overrides.Element):
            return None
        slot = schema.child_slot(slot, table, key)
        try:
            table = table[key]
        except (LookupError, TypeError):
            return None
        trace = layers.own(trace, key)
    if rest or not isinstance(last, str) or not isinstance(table, dict) or last not in table:
        return None
    tags = slot.family.tag_path if slot and slot.family else ()
    if last in tags or schema.child_slot(slot, table, last) is not None:
        return None
    return table, trace, last


def notes_on_checks(folded: Folded) -> Iterator[Problem]:
    """What the document accepts in vain, and the keys that it wants ignored."""
    for number, code in enumerate(accepted(folded.tree, "allow")):
        if code not in rules.RULES:
            problem = Problem(
                code="unknown-code",
                severity="warning",
                path=("checks", "allow", number),
                message=f"no rule is called {code!r}",
                suggestion=hints.nearest(code, rules.RULES),
            )
            yield diagnose.locate(folded, problem)
    ignored = folded.tree.get("ignored")
    for path in ignored if isinstance(ignored, dict) else ():
        message = f"{path} is unknown and accepted by checks.allow_unknown; nothing reads it"
        yield _note("ignored-key", ("ignored", path), message, folded)


def inert_keys(value: Any, slot: Slot, path: Path, folded: Folded) -> Iterator[Problem]:  # noqa: ANN401
    """A warning for every key that nothing reads and that has not its default."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            if slot.item is not None and isinstance(item, _NESTED):
                yield from inert_keys(item, slot.item, (*path, number), folded)
        return
    known = schema.keys_of(slot, value)
    for key, item in value.items():
        child = known[key].slot if key in known else slot.values
        if child is None or item is None:
            continue
        here = (*path, key)
        if child.inert and key in known and item != _plain(known[key].default):
            message = f"{format_path(here)} has no effect: {child.inert}"
            yield _note("inert-key", here, message, folded)
        if isinstance(item, _NESTED):
            yield from inert_keys(item, child, here, folded)


def _plain(default: Any) -> Any:  # noqa: ANN401 - a field's default, of any type
    """A default as a stored document has it."""
    return encode.without_none(msgspec.to_builtins(default))


def _note(code: str, path: Path, message: str, folded: Folded) -> Problem:
    """A warning about a key."""
    problem = Problem(code=code, severity="warning", path=path, message=message)
    return diagnose.locate(folded, problem, value=False)
