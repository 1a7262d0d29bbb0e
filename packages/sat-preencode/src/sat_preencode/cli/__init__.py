"""The `sat-preencode` command."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import sat_config
from sat_config import commandline, custom_code
from sat_config.audio.experiment import DiffusionUncondExperiment
from sat_config.commandline import Request
from sat_config.errors import UserError, report
from sat_preencode.cli.tools import TOOLS, run_tool
from sat_preencode.share import share_in
from sat_preencode.signals import StopSignal, stop_signals

if TYPE_CHECKING:
    from sat_preencode.recipe import PreencodeResult

EPILOG = (
    "A run that was interrupted continues when the same command is given again. What to do with a"
    " finished folder: sat-preencode verify|stats FOLDER, sat-preencode merge OUTPUT FOLDER ..."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0 for fine, 1 for invalid input, 130 and 143 after SIGINT and SIGTERM.

    Raises:
        SystemExit: With status 2, for wrong usage; after a second signal.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in TOOLS:
        return run_tool(words)
    arguments, request = commandline.parse(_parser(), words)
    custom_code.take_flag(arguments, prog="sat-preencode", argv=words)
    with stop_signals() as stop:
        try:
            return _run(request, words, stop)
        except UserError as error:
            print(error, file=sys.stderr)
            return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sat-preencode",
        description="Encode an experiment's dataset to latents, each item exactly once.",
        epilog=EPILOG,
    )
    commandline.add_loading(
        parser, flags=commandline.PREENCODE_FLAGS, switches=commandline.PREENCODE_SWITCHES
    )
    custom_code.add_flag(parser)
    return parser


def _run(request: Request, words: Sequence[str], stop: StopSignal) -> int:
    found = sat_config.check(request.file, request.overrides, request.layers)
    if found.problems:
        report(found.problems)
    if found.errors:
        return 1
    from sat_preencode.progress import duration
    from sat_preencode.recipe import preencode  # torch only now, when the file is known to be right

    share = share_in(os.environ)
    result = preencode(found.config, share=share, stop=stop)
    there = f"{result.items} items, {duration(result.seconds)} of audio in {result.folder}"
    print(f"{there} ({result.encoded} encoded now, {result.unreadable} unreadable)")
    if stop.number is not None and not result.complete:
        print(f"stopped; continue with\n  {shlex.join(['sat-preencode', *words])}")
        return 128 + stop.number
    if not result.complete:
        print("this process is done; the folder is complete once the other processes are")
        return 0
    print(f"next\n  {_next_command(found.config, request, result)}")
    return 0


def _next_command(
    experiment: sat_config.Experiment, request: Request, result: "PreencodeResult"
) -> str:
    """Train on the latents: the same file if it is a latent model, else one yet to be written."""
    folder = str(result.folder.resolve()).replace("\\", "\\\\").replace('"', '\\"')
    dataset = (
        'dataset={ dataset_type = "pre_encoded",'
        f' datasets = [{{ id = "{experiment.name}", path = "{folder}" }}] }}'
    )
    words = ["LATENT_MODEL.toml"]
    if isinstance(experiment, DiffusionUncondExperiment):
        words = request.words()
    flags = [
        part for word in (dataset, "training.pre_encoded=true") for part in ("--override", word)
    ]
    return shlex.join(["sat-train", *words, *flags])
