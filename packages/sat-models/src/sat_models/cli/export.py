"""`sat-models export CHECKPOINT OUT`: the model of a training checkpoint, alone."""

import argparse
from pathlib import Path
from typing import Any

from sat_models.cli.wanted import add_checkpoint, open_wanted
from sat_models.errors import CheckpointError
from sat_models.weight_files import write_weight_file


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser(
        "export",
        help="write a model's weights without what training needs",
        epilog="stable-audio-tools opens the result, with the model's JSON beside it"
        " (sat-config show --format json).",
    )
    add_checkpoint(parser)
    parser.add_argument("out", metavar="OUT", type=Path, help="ends in .safetensors or .ckpt")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the file; 0, since everything that may fail is an error."""
    out: Path = arguments.out
    if out.exists():
        raise CheckpointError(f"{out} exists already; name another file, or remove it first")
    checkpoint = open_wanted(arguments)
    write_weight_file(out, checkpoint.state_dict, config=checkpoint.config)
    megabytes = out.stat().st_size / 1e6
    print(f"{out}: {len(checkpoint.state_dict)} tensors, {megabytes:,.2f} MB")
    print(f"  from {checkpoint.path}{' (averaged weights)' if arguments.ema else ''}")
    print(f"  fingerprint {checkpoint.fingerprint}")
    return 0
