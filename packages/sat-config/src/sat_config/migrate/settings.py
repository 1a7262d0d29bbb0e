"""The lines of a `defaults.ini`, each with what becomes of it."""

import ast
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sat_config import commandline, document, hints, ini, schema, shipped
from sat_config.document import Source
from sat_config.errors import Problem
from sat_config.layers import PATH_KEYS
from sat_config.migrate import facts, tomltext
from sat_config.run import Experiment


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a `defaults.ini`.

    Attributes:
        raw: The line as it stands there.
        path: What it sets here, dotted.
        value: To what; None where the line sets nothing.
        said: The comment behind the value.
        note: What a reader of the new file should know of it.
        problem: What the person who migrates should know of it.
    """

    raw: str
    path: str
    value: Any = None
    said: str | None = None
    note: str = ""
    problem: Problem | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a value.

    Attributes:
        value: The value here; None to drop the setting.
        code: Kind of the problem, if anyone needs to know.
        message: What to say then.
    """

    value: Any = None
    code: str | None = None
    message: str = ""


Line = Setting | ini.Comment


def read(file: str, folder: str) -> tuple[Source, list[Line]]:
    """A `defaults.ini` as a source and as lines, with paths that start from `folder`.

    Raises:
        DocumentError: It cannot be read, or is no such file.
    """
    found = document.read(file)
    origin = os.path.dirname(file) or "."
    source = Source(name=file, folder=folder, text=found.source.text, language="ini")
    lines: list[Line] = [
        line if isinstance(line, ini.Comment) else _setting(line, source, origin)
        for line in ini.lines(source.text)
    ]
    return source, lines


def relocated(name: str, key: str, origin: str, folder: str) -> str:
    """A path that starts from `origin`, or from the working directory, as one from `folder`.

    A checkpoint that is nowhere yet stays as it is: it will be looked for in both.
    """
    if name.startswith(shipped.PREFIX) or os.path.isabs(os.path.expanduser(name)):
        return name
    beside = os.path.join(origin, name)
    if not os.path.exists(beside):
        if os.path.exists(name):
            beside = name
        elif key not in PATH_KEYS:
            return name
    return os.path.relpath(beside, folder).replace(os.sep, "/")


def names_a_file(key: str) -> bool:
    """Whether a key of SAT holds the path of a file to read."""
    known = schema.fields(Experiment)
    return key in PATH_KEYS or (key in known and known[key].slot.path_kind == "checkpoint")


def _setting(entry: ini.Entry, source: Source, origin: str) -> Setting:
    raw = f"{entry.key} = {entry.value}"
    value = ini.value_of(entry.key, entry.value)
    path = facts.MOVED.get(entry.key, entry.key)
    said = _trailing(entry.value)
    verdict = _nothing(entry.key) if value is None else _judge(entry.key, value)
    value = verdict.value
    if names_a_file(entry.key) and isinstance(value, str):
        value = relocated(value, entry.key, origin, source.folder)
    problem = _problem(entry, source, verdict) if verdict.code else None
    return Setting(
        raw=raw, path=path, value=value, said=said, note=verdict.message, problem=problem
    )


def _judge(key: str, value: Any) -> Verdict:  # noqa: ANN401 - a plain value
    if key in facts.DROPPED:
        return Verdict(None, "dropped-key", facts.DROPPED[key])
    if key not in commandline.settable() and key not in facts.MOVED:
        near = hints.nearest(key, commandline.settable())
        meant = f"; was {near} meant?" if near else ""
        return Verdict(None, "dropped-key", f"no key of an experiment is called so{meant}")
    if key in _VALUES and (found := _VALUES[key](value)) is not None:
        return found
    if key in facts.IGNORED_IN_INI and value != _default(key):
        return Verdict(value, "new-effect", facts.IGNORED_IN_INI[key])
    return Verdict(value)


def _steps(value: Any) -> Verdict | None:  # noqa: ANN401 - a plain value
    if isinstance(value, int) and value <= 0:
        return Verdict(None, None, "no limit, as without this key")
    return None


def _nodes(value: Any) -> Verdict | None:  # noqa: ANN401 - a plain value
    if isinstance(value, int) and value <= 0:
        return Verdict(None, "dropped-key", "there is always one machine")
    return None


def _logger(value: Any) -> Verdict | None:  # noqa: ANN401 - a plain value
    if value in ("local", "wandb", "comet"):
        return None
    return Verdict(
        "local",
        "new-value",
        f"stable-audio-tools has no logger {value!r} and logs nothing of its own;"
        ' "local" keeps CSV and TensorBoard files in the run folder',
    )


def _name(value: Any) -> Verdict | None:  # noqa: ANN401 - a plain value
    folder = re.sub(r"[^\w.+-]+", "-", str(value)).strip("-.+")
    if folder == value or not folder:
        return None
    effect = facts.IGNORED_IN_INI["name"]
    return Verdict(folder, "new-effect", f"{effect}, so {value!r} is written {folder!r}")


_VALUES = {"max_steps": _steps, "num_nodes": _nodes, "logger": _logger, "name": _name}


def _default(key: str) -> Any:  # noqa: ANN401 - any default
    field = schema.fields(Experiment).get(key)
    return field.default if field else None


def _nothing(key: str) -> Verdict:
    """What becomes of a key without a value."""
    if key not in facts.OTHER_DEFAULT:
        return Verdict()
    ours = tomltext.pair(key, _default(key))
    message = f"empty, it is {facts.OTHER_DEFAULT[key]} in stable-audio-tools; here {ours}"
    return Verdict(None, "other-default", message)


def _problem(entry: ini.Entry, source: Source, verdict: Verdict) -> Problem:
    line, column, shown = source.at_offset(entry.key_at)
    dropped = " is dropped" if verdict.code == "dropped-key" else ""
    return Problem(
        code=verdict.code or "",
        severity="warning",
        path=(entry.key,),
        message=f"{entry.key}{dropped}: {verdict.message}",
        file=source.name,
        line=line,
        column=column,
        source_line=shown,
    )


def _trailing(raw: str) -> str | None:
    """The comment behind a literal, which Python's parser passes over as SAT does."""
    literal, mark, said = raw.partition("#")
    try:
        ast.literal_eval(literal.strip())
    except (ValueError, SyntaxError):
        return None
    return said.strip() if mark else None


def render(
    lines: Sequence[Line], given: Mapping[str, Any], elsewhere: Mapping[str, str]
) -> list[str]:
    """The lines as TOML.

    Args:
        lines: The lines of a `defaults.ini`.
        given: Values of the command line by dotted path, which replace the lines'.
        elsewhere: Paths of keys that other parts of the new file replace, with the remark on it.
    """
    text = []
    for line in lines:
        if isinstance(line, ini.Comment):
            text.append(_comment(line))
        else:
            text += _rendered(line, given, elsewhere)
    return text


def _rendered(line: Setting, given: Mapping[str, Any], elsewhere: Mapping[str, str]) -> list[str]:
    if line.path in elsewhere:
        return [f"# {line.raw}  # {elsewhere[line.path]}"]
    if line.path in given:
        replaced = tomltext.pair(line.path, given[line.path])
        return [f"{replaced} # on the command line; the file has {line.raw}"]
    above = tomltext.comment(f"migrated: {line.note}") if line.note else ()
    if line.value is None:
        return [*above, f"# {line.raw}".rstrip()]
    behind = f" # {line.said}" if line.said else ""
    return [*above, tomltext.pair(line.path, line.value) + behind]


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def _comment(line: ini.Comment) -> str:
    if line.text is None:
        return ""
    text = _CONTROL.sub(" ", line.text).rstrip()
    return f"#{text}" if text[:1] in ("", " ") else f"# {text}"
