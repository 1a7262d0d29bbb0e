"""`sat-config diff A B`: what differs between two experiments, and what each difference does."""

import argparse
import sys
from typing import Any

import msgspec

from sat_config import changes, commandline, errors, loading


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser(
        "diff",
        help="compare two experiments, defaults filled in",
        description="Compare two experiments, defaults filled in; overrides and layers are laid on"
        " both. Each change is harmless, needs a restart (the weights still fit), or changes the"
        " architecture (they do not); some make stored latents useless.",
    )
    parser.add_argument("before", metavar="A")
    parser.add_argument("after", metavar="B")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    commandline.add_overriding(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare; 1 only if one of the two is no experiment."""
    reports = [
        loading.check(file, arguments.override, arguments.layer, may_run=False)
        for file in (arguments.before, arguments.after)
    ]
    problems = [problem for report in reports for problem in report.errors]
    if problems:
        errors.report(problems)
        return 1
    found = changes.diff(*(report.config for report in reports))
    if arguments.format == "json":
        text = msgspec.json.format(msgspec.json.encode(found)).decode()
    else:
        text = "\n".join(map(changes.describe, found)) or "no difference"
    sys.stdout.write(f"{text}\n")
    return 0
