"""Whether this process may run Python files that a configuration names.

A configuration file must not be able to run code: only who starts the process may allow it, with a
flag of the command or, in Python, with `allow()`.
"""

import argparse
import shlex
from collections.abc import Sequence

FLAG = "--allow-custom-code"

_allowed = False
_command: str | None = None


def allow() -> None:
    """Let this process, and the workers that it starts from now on, run custom code."""
    global _allowed
    _allowed = True


def allowed() -> bool:
    """Whether it may."""
    return _allowed


def how_to_allow() -> str:
    """What to do, for a message: the command to give, if this process came from one."""
    if _command is None:
        return "call sat_config.custom_code.allow()"
    return f"give the command again with {FLAG}:\n  {_command}"


def add_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag to a command."""
    parser.add_argument(
        FLAG,
        action="store_true",
        help="run the Python files that the configuration names (custom_metadata_module)",
    )


def take_flag(arguments: argparse.Namespace, *, prog: str, argv: Sequence[str]) -> None:
    """Do what the flag of a parsed command line says, and remember how it can be given.

    Args:
        arguments: What was parsed.
        prog: The command.
        argv: Its words.
    """
    global _command
    _command = shlex.join([prog, *argv, FLAG])
    if arguments.allow_custom_code:
        allow()
