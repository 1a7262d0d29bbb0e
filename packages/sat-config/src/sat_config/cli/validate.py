"""`sat-config validate FILE...`: every mistake at once."""

import argparse
import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from sat_config import commandline, errors, loading
from sat_config.errors import Problem


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser("validate", help="check files and report every mistake")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--strict", action="store_true", help="warnings fail too")
    parser.add_argument(
        "--files",
        dest="files_too",
        action="store_true",
        help="demand that data and checkpoints are there, too",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    commandline.add_overriding(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check each file; 0 if all may run."""
    found = {file: _problems(file, arguments) for file in arguments.files}
    problems = [problem for of_file in found.values() for problem in of_file]
    if arguments.format == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(problems)).decode() + "\n")
    else:
        if problems:
            errors.report(problems)
        for file, of_file in found.items():
            print(f"{file}: {'not valid' if _fails(of_file, arguments.strict) else 'valid'}")
    return 1 if _fails(problems, arguments.strict) else 0


def _problems(file: str, arguments: argparse.Namespace) -> list[Problem]:
    report = loading.check(file, arguments.override, arguments.layer)
    if not arguments.files_too or report.folded is None:
        return list(report.problems)
    from sat_config import existence

    return [*report.problems, *existence.missing(report.folded)]


def _fails(problems: Iterable[Problem], strict: bool) -> bool:
    return any(strict or problem.severity == "error" for problem in problems)
