"""The `sat-config` command."""

import argparse
import sys
from collections.abc import Sequence

from sat_config.cli import show, validate


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 for fine, 1 for invalid input, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="sat-config", description="Check and explain experiment files. Needs no torch."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (validate, show):
        module.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return status


def add_loading(parser: argparse.ArgumentParser) -> None:
    """The options of every command that loads an experiment."""
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="set (or, as -PATH, remove) one value; may be repeated",
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="FILE",
        help="lay a further file on top; may be repeated",
    )
