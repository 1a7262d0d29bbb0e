"""`sat-models check-data EXPERIMENT`: decode all data once and say what is in it."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import sat_config
from sat_config import commandline, custom_code
from sat_config.audio.experiment import AudioExperiment
from sat_config.errors import report as show_problems
from sat_models.data.check import DatasetReport, check_dataset
from sat_models.data.check_page import as_page, as_text
from sat_models.errors import DataError
from sat_models.files import replacing

_SECONDS_BETWEEN_LINES = 10.0


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser(
        "check-data", help="decode an experiment's data once and report what is in it"
    )
    parser.add_argument("file", metavar="EXPERIMENT", help="the experiment: TOML or JSON")
    commandline.add_overriding(parser)
    parser.add_argument("--json", metavar="FILE", help="also write the report as JSON")
    parser.add_argument("--html", metavar="FILE", help="also write it as a page with plots")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="threads that decode"
    )
    custom_code.add_flag(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the training and the validation data; 1 if anything in them is bad.

    Raises:
        DataError: There are none, or they cannot be listed.
    """
    custom_code.take_flag(arguments, prog="sat-models check-data", argv=[arguments.file])
    found = sat_config.check(arguments.file, arguments.override, arguments.layer)
    if found.problems:
        show_problems(found.problems)
    if found.errors:
        return 1
    reports = check(found.config, num_workers=arguments.workers)
    for each in reports:
        print(as_text(each))
    if arguments.json is not None:
        _write(arguments.json, msgspec.json.format(msgspec.json.encode(reports), indent=2) + b"\n")
    if arguments.html is not None:
        _write(arguments.html, as_page(reports, title=found.config.name).encode())
    return 1 if any(each.bad for each in reports) else 0


def check(experiment: object, *, num_workers: int) -> list[DatasetReport]:
    """Decode the datasets of an experiment.

    Raises:
        DataError: It has none, or one cannot be listed.
    """
    if not isinstance(experiment, AudioExperiment):
        raise DataError(f"{type(experiment).__name__} is not an experiment on audio")
    named = {"dataset": experiment.dataset, "val_dataset": experiment.val_dataset}
    reports = [
        check_dataset(
            node,
            name=name,
            channels=experiment.audio_channels,
            num_workers=num_workers,
            advance=_progress(name),
        )
        for name, node in named.items()
        if node is not None
    ]
    if not reports:
        raise DataError("the experiment has neither dataset nor val_dataset: nothing to check")
    return reports


def _progress(name: str) -> Callable[[int, int], None]:
    """A line on a terminal that changes, or one now and then."""
    shown = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal shown
        text = f"{name}: {done} of {total} files"
        if sys.stderr.isatty():
            filled = 30 * done // total
            end = "\n" if done == total else ""
            print(f"\r[{'#' * filled:<30}] {text}", end=end, file=sys.stderr, flush=True)
        elif time.monotonic() - shown > _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    return advance


def _write(path: str, content: bytes) -> None:
    try:
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
