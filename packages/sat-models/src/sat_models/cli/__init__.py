"""The `sat-models` command; each subcommand is a module with `add_parser` and `run`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from sat_config.commandline import join_overrides
from sat_config.errors import UserError
from sat_models.cli import check_data, export, generate, inspect

COMMANDS = (inspect, export, generate, check_data)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0 for fine, 1 for invalid input or a failed run, 130 after Ctrl-C.

    Raises:
        SystemExit: With status 2, for wrong usage.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    arguments = _parser().parse_args(join_overrides(sys.argv[1:] if argv is None else argv))
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads has seen enough; keep the exit from complaining
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sat-models", description="Look into checkpoints and put them to use."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    return parser
