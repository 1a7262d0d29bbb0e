"""`sat-config show FILE`: the resolved experiment."""

import argparse
import sys
from typing import Any

from sat_config import commandline, encode, errors, loading


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser("show", help="print the resolved experiment")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--format", choices=("toml", "json"), default="toml")
    parser.add_argument("--origins", action="store_true", help="who set each value, instead")
    commandline.add_overriding(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the experiment, or the origin of each of its values."""
    report = loading.check(arguments.file, arguments.override, arguments.layer)
    if report.problems:
        errors.report(report.problems)
    if report.config is None:
        return 1
    if arguments.origins:
        origins = report.origins
        width = max(map(len, origins))
        for path, origin in origins.items():
            print(f"{path:<{width}}  {origin}")
    else:
        sys.stdout.write(encode.dumps(report.config, arguments.format))
    return 0
