"""The new file: what it must accept, its text, and the check that it means the same."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from sat_config import document, loading, overrides, rules, schema, shipped
from sat_config.document import Document, DocumentError, Source, Table
from sat_config.errors import ConfigError, Problem, UserError, format_path
from sat_config.layers import LAYER_KEYS, PATH_KEYS, Folded, Steering
from sat_config.migrate import effects, inline, preencode, settings, tomltext
from sat_config.migrate.settings import Line, Setting
from sat_config.schema import Slot


class Migration(msgspec.Struct, frozen=True):
    """An experiment to write.

    Attributes:
        text: Its TOML.
        problems: What a person should know: dropped keys, keys that begin to act, accepted rules.
    """

    text: str
    problems: tuple[Problem, ...]


class Given(msgspec.Struct, frozen=True, eq=False):
    """What there is to migrate.

    Attributes:
        source: The `defaults.ini`, or the command line.
        lines: Its lines.
        words: Overrides on top of it.
        problems: What was found while reading.
    """

    source: Source
    lines: Sequence[Line]
    words: Sequence[str]
    problems: Sequence[Problem]

    def check(self, more: Sequence[str] = ()) -> loading.Report:
        """Load it as it is."""
        data: Table = {}
        for setting in _kept(self.lines):
            *tables, key = setting.path.split(".")
            table = data
            for name in tables:
                table = table.setdefault(name, {})
            table[key] = setting.value
        return loading.check(Document(source=self.source, data=data), [*self.words, *more])


class Accepted(msgspec.Struct, frozen=True, eq=False):
    """What loads only if the new file accepts something, and what that is.

    Attributes:
        config: What it loads to.
        folded: What the layers made.
        broken: Broken rules.
        unknown: Keys that nobody knows.
        checks: The table that accepts them, and what the documents accept themselves.
        notes: Warnings.
    """

    config: Any
    folded: Folded
    broken: Sequence[Problem]
    unknown: Sequence[Problem]
    checks: Mapping[str, list[str]]
    notes: Sequence[Problem]


def migrate(
    file: str | None,
    words: Sequence[str] = (),
    *,
    encode: Sequence[str] = (),
    output: str = "experiment.toml",
    written_out: bool = False,
) -> Migration:
    """One experiment from what stable-audio-tools reads.

    Args:
        file: A `defaults.ini`; None where the words say everything.
        words: Overrides that the flags of train.py stand for.
        encode: Overrides that a pre_encode.py command line stands for.
        output: The file that will be written; paths in it start from its folder.
        written_out: Write the model and datasets into it rather than naming their files.

    Raises:
        ConfigError: With everything that keeps it from being an experiment.
        UserError: Training and pre-encoding are two experiments.
    """
    folder = os.path.dirname(output) or "."
    try:
        given = _read(file, words, encode, folder)
    except DocumentError as error:
        raise ConfigError(error.problems) from None
    accepted = _accept(given)
    lines = "\n".join(_text(given, accepted, folder, written_out=written_out))
    text = re.sub("\n{3,}", "\n\n", lines).strip("\n") + "\n"
    if written_out:
        _check_same(text, output, accepted.config)
    return Migration(
        text,
        (
            *given.problems,
            *effects.new_effects(accepted.folded),
            *accepted.unknown,
            *accepted.broken,
            *accepted.notes,
        ),
    )


# ------------------------------------------------------------------------------------ what is there


def _read(file: str | None, words: Sequence[str], encode: Sequence[str], folder: str) -> Given:
    source = Source(name="the command line", folder=folder)
    lines: list[Line] = []
    if file is not None:
        source, lines = settings.read(file, folder)
    problems = [setting.problem for setting in _settings(lines) if setting.problem]
    if encode:
        training = _read_by_training(lines, words, folder)
        encode, notes = preencode.combined(encode, training)
        problems += notes
    return Given(source, lines, [*words, *encode], problems)


def _settings(lines: Iterable[Line]) -> list[Setting]:
    return [line for line in lines if isinstance(line, Setting)]


def _kept(lines: Iterable[Line]) -> list[Setting]:
    return [setting for setting in _settings(lines) if setting.value is not None]


def _read_by_training(lines: Iterable[Line], words: Iterable[str], folder: str) -> dict[str, str]:
    """The documents that training names, as paths from the working directory."""
    named = {
        setting.path: os.path.join(folder, setting.value)
        for setting in _kept(lines)
        if setting.path in PATH_KEYS
    }
    parsed = [overrides.parse(word) for word in words]
    flags = {str(found.path[0]): found.value or "" for found in parsed}
    return {**named, **{key: name for key, name in flags.items() if key in PATH_KEYS}}


def _accept(given: Given) -> Accepted:
    """What must be accepted for it to load.

    Raises:
        ConfigError: There is more wrong with it than can be accepted.
    """
    first = given.check()
    unknown = [p for p in first.errors if p.code == "unknown-key" and all(map(_is_key, p.path))]
    checks = _joined(first.folded, "allow_unknown", [format_path(p.path) for p in unknown])
    second = given.check(_accepting(checks))
    broken = [problem for problem in second.errors if problem.code in rules.RULES]
    if len(second.errors) > len(broken) or first.folded is None:
        raise ConfigError([p for p in second.errors if p.code not in rules.RULES])
    checks |= _joined(first.folded, "allow", sorted({problem.code for problem in broken}))
    last = given.check(_accepting(checks))
    return Accepted(
        config=last.config,
        folded=first.folded,
        broken=[_as_note(p, f'accepted: [checks] allow = ["{p.code}"]') for p in broken],
        unknown=[_as_note(p, "accepted: [checks] allow_unknown names it") for p in unknown],
        checks=checks,
        notes=[p for p in second.problems if p.severity == "warning" and p.code != "ignored-key"],
    )


def _joined(folded: Folded | None, key: str, more: list[str]) -> dict[str, list[str]]:
    """One of the lists of `checks` with what is accepted in addition, if anything is."""
    known = folded.tree.get("checks", {}).get(key, []) if folded and more else []
    return {key: [*known, *more]} if more else {}


def _accepting(checks: Mapping[str, list[str]]) -> list[str]:
    return [f"checks.{key}={tomltext.value(listed)}" for key, listed in checks.items()]


def _is_key(part: str | int) -> bool:
    return isinstance(part, str)


def _as_note(problem: Problem, note: str) -> Problem:
    return msgspec.structs.replace(problem, severity="warning", note=note)


# ------------------------------------------------------------------------------------- the new text


def _text(given: Given, accepted: Accepted, folder: str, *, written_out: bool) -> Iterator[str]:
    yield shipped.schema_line(folder)
    yield f"# Made by `sat-config migrate` from {given.source.name}."
    yield ""
    flags = _values(given.words, accepted.folded, folder)
    elsewhere = dict.fromkeys(PATH_KEYS, "written out below") if written_out else {}
    yield from settings.render(given.lines, flags, elsewhere)
    placed = {setting.path for setting in _settings(given.lines)}
    further = {path: flags[path] for path in flags if path not in {*placed, *elsewhere}}
    encode = {
        path.removeprefix("preencode."): further.pop(path)
        for path in list(further)
        if path.startswith("preencode.")
    }
    if further:
        yield ""
        yield from (tomltext.pair(path, value) for path, value in further.items())
    tables: Table = {}
    if written_out:
        apart = {path.partition(".")[0] for path in [*(s.path for s in _kept(given.lines)), *flags]}
        tables = inline.written_out(accepted.folded, folder, {*apart, *LAYER_KEYS, "checks"})
    yield ""
    yield from tomltext.tables({**tables, **({"preencode": encode} if encode else {})})
    yield from _checks(accepted)


def _values(words: Iterable[str], folded: Folded, folder: str) -> dict[str, Any]:
    """What the overrides set: dotted path to value, with paths that start from `folder`."""
    found = {}
    for word in words:
        parsed = overrides.parse(word)
        path = tuple(map(str, parsed.path))
        slot = _slot_at(path, folded)
        value = overrides.parse_value(parsed.value or "", slot)
        if path[0] in PATH_KEYS or (slot and slot.path_kind in ("input", "checkpoint")):
            value = settings.relocated(str(value), path[0], ".", folder)
        found[".".join(path)] = value
    return found


def _slot_at(path: tuple[str, ...], folded: Folded) -> Slot | None:
    if path[0] in PATH_KEYS:
        return schema.fields(Steering)[path[0]].slot
    slot, table = folded.slot, folded.tree
    for key in path:
        slot = schema.child_slot(slot, table, key)
        table = table.get(key) or {}
    return slot


_REASONS = {
    "allow": "What does not fit together, and is accepted as it is:",
    "allow_unknown": "Keys that nothing reads:",
}


def _checks(accepted: Accepted) -> Iterator[str]:
    """The table of what is accepted, with the reasons."""
    if accepted.checks:
        yield "\n[checks]"
    for key, listed in accepted.checks.items():
        yield f"# {_REASONS[key]}"
        for problem in accepted.broken if key == "allow" else accepted.unknown:
            said = f"{problem.code}: {problem.message}" if key == "allow" else problem.message
            right = f" (try {problem.suggestion})" if problem.suggestion else ""
            yield from tomltext.comment(f"{said}{right}")
        yield tomltext.pair(key, listed)


def _check_same(text: str, output: str, config: object) -> None:
    """Make sure that nothing was lost in writing the documents out.

    Raises:
        UserError: Something was: a null in a list.
    """
    source = Source(name=output, folder=os.path.dirname(output) or ".", text=text, language="toml")
    written = loading.check(Document(source=source, data=dict(document.parse(source))))
    if written.config != config:
        raise UserError(
            f"{output}: a list in the model or a dataset holds null, which TOML cannot write;"
            " leave out --inline"
        )
