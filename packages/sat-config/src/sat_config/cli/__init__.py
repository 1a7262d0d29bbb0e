"""The `sat-config` command."""

import argparse
import atexit
import gc
import os
import sys
from collections.abc import Sequence

from sat_config.cli import init, migrate, show, validate
from sat_config.commandline import join_overrides


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 for fine, 1 for invalid input, 2 for wrong usage."""
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)  # else Python looks through all classes once more before it ends
    parser = argparse.ArgumentParser(
        prog="sat-config",
        description="Check and explain experiment files. Needs no torch.",
        epilog="To start: sat-config init lists experiments to begin with.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (init, validate, show, migrate):
        module.add_parser(commands)
    arguments = parser.parse_args(join_overrides(sys.argv[1:] if argv is None else argv))
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough; keep the exit from complaining
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
