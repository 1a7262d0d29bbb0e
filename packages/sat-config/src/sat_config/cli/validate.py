"""`sat-config validate FILE...`: every mistake at once."""

import argparse
import sys
from typing import Any

import msgspec

from sat_config import commandline, errors, loading


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser("validate", help="check files and report every mistake")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--strict", action="store_true", help="warnings fail too")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    commandline.add_overriding(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check each file; 0 if all may run."""
    reports = {
        file: loading.check(file, arguments.override, arguments.layer) for file in arguments.files
    }
    problems = [problem for report in reports.values() for problem in report.problems]
    if arguments.format == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(problems)).decode() + "\n")
    else:
        if problems:
            errors.report(problems)
        for file, report in reports.items():
            print(f"{file}: {'not valid' if report.errors else 'valid'}")
    fatal = problems if arguments.strict else [p for p in problems if p.severity == "error"]
    return 1 if fatal else 0
