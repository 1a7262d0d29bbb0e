"""What a training run leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RunResult:
    """The outcome of `fit`.

    Attributes:
        run_folder: Everything that the run wrote.
        checkpoint: The last checkpoint; None if training stopped before its first step.
        step: Optimizer steps taken, those before a resume included.
        metrics: The last validation figures by name; empty without validation data.
        objective: The smallest value that the method's headline figure had at a validation after
            the first step, for sweeps; None without validation data.
        interrupted: Number of the signal that ended training early, if one did.
        requeued: Whether SLURM will start the job again.
    """

    run_folder: Path
    checkpoint: Path | None
    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    objective: float | None = None
    interrupted: int | None = None
    requeued: bool = False

    @property
    def folder(self) -> Path:
        """Where everything is that the task made, under the name that every task's result has."""
        return self.run_folder
