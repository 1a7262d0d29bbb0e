"""The `sat-config` command."""

import argparse
import atexit
import gc
import importlib
import os
import sys
from collections.abc import Sequence

from sat_config.commandline import join_overrides

COMMANDS = ("init", "validate", "show", "explain", "diff", "schema", "migrate")
"""Each a module here; only that of the command at hand is imported."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 for fine, 1 for invalid input, 2 for wrong usage."""
    # Else Python looks through all classes once more before it ends, which took 14 ms of the 102 ms
    # of processor time of `validate`.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    words = join_overrides(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="sat-config",
        description="Check and explain experiment files. Needs no torch.",
        epilog="To start: sat-config init lists experiments to begin with.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named = [name for name in COMMANDS if name in words[:1]]
    for name in named or COMMANDS:
        importlib.import_module(f"sat_config.cli.{name}").add_parser(commands)
    arguments = parser.parse_args(words)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough; keep the exit from complaining
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
