"""Validation before, during and after training."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl

from sat_train.callbacks.base import StepCallback, log_metrics
from sat_train.callbacks.checkpoint import Checkpoints
from sat_train.callbacks.signals import StopOnSignal, StopRequest
from sat_train.family import Method, evaluating
from sat_train.report import Report, format_metrics


class Validation(StepCallback):
    """Runs the method's validation at step 0, every so many steps, and at the end.

    Whoever stops a run does not want to wait, and gets none.

    Every process validates on the whole set: it is small, and the figure is then the same whatever
    the number of devices.

    Args:
        batches: The validation set, in the same order every time.
        every: Steps between validations; 0 or less leaves only the first and the last.
        report: Where the figures are said.
        stop: Whether someone stops the run.
        checkpoints: Keep the best.

    Attributes:
        first: The figures before training, kept across resumed runs.
        last: The newest figures.
        best: The smallest headline figure of the model in training, resumed runs included; what it
            was before training does not count.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        *,
        every: int,
        report: Report,
        stop: StopOnSignal,
        checkpoints: Checkpoints,
    ) -> None:
        super().__init__()
        self.batches = batches
        self.every = every
        self.report = report
        self.stop = stop
        self.checkpoints = checkpoints
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.best: float | None = None
        self._validated = -1

    def on_start(self, trainer: pl.Trainer, method: Method) -> None:
        """Validate the untrained model; a resumed run has done so already."""
        if trainer.global_step == 0:
            self.validate(trainer, method)
            self.first = self.last

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Validate at multiples of `every`."""
        if self.is_due(self.every) and not trainer.should_stop:
            self.validate(trainer, method)

    def on_end(self, trainer: pl.Trainer, method: Method) -> None:
        """Validate the last step."""
        if trainer.global_step != self._validated and not trainer.should_stop:
            self.validate(trainer, method)

    def validate(self, trainer: pl.Trainer, method: Method) -> None:
        """Compute, log and say the figures of this moment."""
        try:
            with evaluating(method):
                self.last = method.validate(method.on_device(self.stop.watch(self.batches)))
        except StopRequest:
            return
        self._validated = trainer.global_step
        figure = self.last[method.headline]
        if trainer.global_step > 0:
            self.best = figure if self.best is None else min(self.best, figure)
        self.checkpoints.judge(trainer.global_step, figure)
        log_metrics(trainer, self.last)
        self.report.line(f"step {trainer.global_step}  {format_metrics(self.last)}")

    def state_dict(self) -> dict[str, Any]:
        """The first and the best figures, to compare with after a resumed run too."""
        return {"first": self.first, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the first and the best figures from a checkpoint."""
        self.first = state_dict["first"]
        self.best = state_dict["best"]
