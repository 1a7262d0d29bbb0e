"""A `pre_encode.py` command line, alone or beside the training that it prepares."""

import argparse
import os
import shlex
from collections.abc import Mapping, Sequence

from sat_config import commandline, overrides
from sat_config.errors import Problem, UserError
from sat_config.layers import PATH_KEYS
from sat_config.migrate import facts

FILE = "the pre_encode.py command line"


def words_of(line: str) -> list[str]:
    """A command line as overrides.

    Raises:
        SystemExit: With status 2, for a flag that pre_encode.py has not.
    """
    parser = argparse.ArgumentParser(prog="pre_encode.py", add_help=False)
    commandline.add_flags_of_sat(
        parser, flags=commandline.PREENCODE_FLAGS, switches=commandline.PREENCODE_SWITCHES
    )
    parts = shlex.split(line)
    first = next((at for at, part in enumerate(parts) if part.startswith("--")), len(parts))
    words: list[str] = parser.parse_args(parts[first:]).override
    return words


def combined(words: Sequence[str], training: Mapping[str, str]) -> tuple[list[str], list[Problem]]:
    """The overrides of a pre_encode.py line that an experiment takes over, and what to say.

    Args:
        words: The overrides of the line.
        training: Of `model_config` and the like, the file that training reads, if there is any.

    Raises:
        UserError: Training reads other files, so that these are two experiments.
    """
    given = {path: word for word in words if (path := _path(word))}
    alone = not any(training.values())
    problems = []
    kept = []
    for path, word in given.items():
        if path in facts.PREENCODE_IDLE:
            problems.append(_note("dropped-key", word, facts.PREENCODE_IDLE[path]))
            continue
        if path in facts.PREENCODE_IGNORED:
            problems.append(_note("new-effect", word, facts.PREENCODE_IGNORED[path]))
        if path.startswith("preencode.") or alone:
            kept.append(word)
        elif path in PATH_KEYS:
            _same_file(path, _value(word), training.get(path))
        else:
            problems.append(_note("dropped-key", word, _shared(word)))
    for path, value in facts.PREENCODE_DEFAULTS.items():
        if path not in given and (alone or path.startswith("preencode.")):
            kept.append(f"{path}={value}")
    return kept, problems


def _same_file(key: str, ours: str, theirs: str | None) -> None:
    if theirs is None or os.path.realpath(ours) == os.path.realpath(theirs):
        return
    raise UserError(
        f"pre_encode.py reads the {key} {ours}, training reads {theirs}: these are two experiments."
        " Migrate them apart: the training without --pre-encode, and then"
        " sat-config migrate --pre-encode '...' --output preencode.toml"
    )


def _shared(word: str) -> str:
    return (
        "training and encoding share this key;"
        f" sat-preencode FILE --override {shlex.quote(word)} sets it for encoding alone"
    )


def _note(code: str, word: str, message: str) -> Problem:
    dropped = " is dropped" if code == "dropped-key" else ""
    return Problem(code=code, severity="warning", message=f"{word}{dropped}: {message}", file=FILE)


def _path(word: str) -> str:
    return ".".join(map(str, overrides.parse(word).path))


def _value(word: str) -> str:
    return overrides.parse(word).value or ""
