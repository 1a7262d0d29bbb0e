"""`sat-models inspect CHECKPOINT`: what a file of weights holds."""

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from sat_models.checkpoint import Checkpoint
from sat_models.cli.wanted import add_checkpoint, open_wanted


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser("inspect", help="show what a checkpoint holds")
    add_checkpoint(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what the file holds; 0, since what cannot be opened or does not fit is an error."""
    checkpoint = open_wanted(arguments)
    facts = [*describe(checkpoint, ema=arguments.ema)]
    if arguments.config is not None:
        facts.append(("fits", f"every name and shape of {arguments.config}"))
    width = max(len(title) for title, _ in facts)
    print(checkpoint.path)
    for title, text in facts:
        print(f"  {title:<{width}}  {text}")
    return 0


def describe(checkpoint: Checkpoint, *, ema: bool) -> Iterator[tuple[str, str]]:
    """What there is to say of a checkpoint, as titles and texts; `ema`: opened as the average."""
    tensors = checkpoint.state_dict
    types = Counter(str(value.dtype).removeprefix("torch.") for value in tensors.values())
    yield "file", f"{checkpoint.path.stat().st_size / 1e6:,.2f} MB"
    yield "configuration", _configuration(checkpoint.config)
    count = sum(value.numel() for value in tensors.values())
    kinds = ", ".join(types)
    yield "weights", f"{count:,} in {len(tensors)} tensors, {kinds}; {checkpoint.fingerprint}"
    sizes = Counter[str]()
    for name, value in tensors.items():
        sizes[name.partition(".")[0]] += value.numel()
    for part, size in sizes.items():
        yield f"  {part}", f"{size:,}"
    if ema:
        yield "averaged", "these"
    else:
        kept = checkpoint.has_average
        yield "averaged", "also in the file; --ema takes them" if kept else "none"
    if checkpoint.set_aside:
        others = ", ".join(f"{name} ({n})" for name, n in checkpoint.set_aside.items())
        yield "beside them", f"{others} tensors"


def _configuration(text: str | None) -> str:
    if text is None:
        return "none in the file"
    found = msgspec.json.decode(text, type=dict[str, Any])
    rate, kind = found.get("sample_rate", "unknown"), found.get("model_type", "unknown")
    return f"{kind}, {rate} Hz"
