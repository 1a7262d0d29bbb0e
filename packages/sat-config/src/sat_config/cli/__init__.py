"""The `sat-config` command."""

import argparse
import os
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
    arguments = parser.parse_args(join_overrides(sys.argv[1:] if argv is None else argv))
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough; keep the exit from complaining
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def join_overrides(argv: Sequence[str]) -> list[str]:
    """`--override -PATH` as one word, since argparse takes a dash for the next option."""
    words = list(argv)
    for at in range(len(words) - 2, -1, -1):
        if words[at] == "--override":
            words[at : at + 2] = [f"--override={words[at + 1]}"]
    return words


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
