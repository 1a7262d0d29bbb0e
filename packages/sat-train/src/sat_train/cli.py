"""The `sat-train` command."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import sat_config
from sat_config import commandline, custom_code
from sat_config.errors import UserError, report
from sat_train.fit import check, fit

CHECK = "check"
REPORT = "report"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0 for fine, 1 for invalid input or a run that failed, 128 and the signal's
        number after a signal (0 if SLURM starts the job again).

    Raises:
        SystemExit: With status 2, for wrong usage.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == [REPORT]:
        return _report(words[1:])
    only_check = words[:1] == [CHECK]
    parser = _check_parser() if only_check else _parser()
    arguments, request = commandline.parse(parser, words[only_check:])
    custom_code.take_flag(arguments, prog="sat-train", argv=words)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        found = sat_config.check(request.file, request.overrides, request.layers)
        if found.problems:
            report(found.problems)
        if found.errors:
            return 1
        if only_check:
            check(found.config)
            return 0
        source = Path(request.file) if request.file else None
        result = fit(found.config, origins=found.origins, source=source)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted before the first step; nothing to save", file=sys.stderr)
        return 130
    return 128 + result.interrupted if result.interrupted and not result.requeued else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sat-train",
        description="Train the model that an experiment file describes.",
        epilog="Ctrl-C or SIGTERM ends training after the current step, with a checkpoint;"
        " --override recover=true continues from there. `sat-train check FILE` finds out whether it"
        " would train, and writes nothing; `sat-train report RUN...` puts runs on one page.",
    )
    return _with_loading(parser)


def _report(words: Sequence[str]) -> int:
    """Write the page of a run, or one that compares several."""
    parser = argparse.ArgumentParser(
        prog=f"sat-train {REPORT}",
        description="Write the page of a run anew, or one page that compares several runs.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument(
        "--out",
        default="comparison.html",
        metavar="FILE",
        help="where several runs are compared; comparison.html if left out",
    )
    request = parser.parse_args(words)
    from sat_train.page.compare import write_comparison  # takes torch along

    try:
        print(write_comparison([Path(run) for run in request.runs], Path(request.out)))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _check_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"sat-train {CHECK}",
        description="Find out whether an experiment would train: weights, data, one step, memory.",
    )
    return _with_loading(parser)


def _with_loading(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    commandline.add_loading(parser)
    custom_code.add_flag(parser)
    return parser
