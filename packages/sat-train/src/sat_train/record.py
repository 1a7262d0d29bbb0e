"""How far a run is, in one small file for machines: `summary.json`."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from sat_models.files import replacing

Status = Literal["running", "finished", "stopped", "failed"]


class Best(msgspec.Struct, kw_only=True, frozen=True):
    """The best validation that has a checkpoint.

    Attributes:
        step: Where.
        value: The headline figure.
    """

    step: int
    value: float


class Record(msgspec.Struct, kw_only=True):
    """What is known of a run without opening anything else of it.

    Attributes:
        version: Of this format.
        name: The experiment's.
        sequence: Runs of this name count up from 1.
        created: When it first started.
        updated: When this was written.
        status: A run that was killed says "running" for ever.
        reason: Why it stopped or failed, in words.
        parent: The run, or the folder of the earlier start, that it continues or starts from.
        step: Optimizer steps taken.
        max_steps: Where training ends, if anywhere.
        seconds: Time spent training, earlier starts included.
        loss: The newest training loss.
        headline: The validation figure that stands for the others; lower is better.
        first: The validation figures before training.
        last: The newest validation figures.
        best: The best validation that has a checkpoint.
        checkpoint: The newest whole checkpoint, below the run folder.
        skipped_steps: Steps without finite numbers.
        bad_files: Files that could not be read.
    """

    version: int = 1
    name: str
    sequence: int
    created: str
    updated: str = ""
    status: Status = "running"
    reason: str | None = None
    parent: str | None = None
    step: int = 0
    max_steps: int | None = None
    seconds: float = 0.0
    loss: float | None = None
    headline: str
    first: dict[str, float | None] = {}
    last: dict[str, float | None] = {}
    best: Best | None = None
    checkpoint: str | None = None
    skipped_steps: int = 0
    bad_files: int = 0

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        self.updated = now()
        text = msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
        with replacing(path) as temporary:
            temporary.write_bytes(text)


def load_record(path: Path) -> Record | None:
    """The record in a file; None if there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None


def next_sequence(runs: Path) -> int:
    """The number of the next run in a folder of runs."""
    found = [load_record(path) for path in runs.glob("*/summary.json")]
    return 1 + max((record.sequence for record in found if record), default=0)


def finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures as JSON can hold them."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def now() -> str:
    """The time, to the microsecond."""
    return datetime.now(UTC).isoformat()
