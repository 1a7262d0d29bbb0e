"""How far training has come: a bar on a terminal, plain lines anywhere else."""

import time

import pytorch_lightning as pl
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from sat_train.callbacks.base import StepCallback
from sat_train.callbacks.metrics import TrainingMetrics
from sat_train.family import Method
from sat_train.report import Report, format_seconds

SHORTEST_PAUSE = 10.0
LONGEST_PAUSE = 300.0


class ShowProgress(StepCallback):
    """Shows step, loss, speed and the time left.

    Plain lines come less often the longer a run lasts: after a twentieth of the time so far, at
    least 10 seconds, at most 5 minutes.

    Args:
        metrics: Knows the loss.
        report: Where to write.
        max_steps: Where training ends, if anywhere.
    """

    def __init__(self, metrics: TrainingMetrics, *, report: Report, max_steps: int | None) -> None:
        super().__init__()
        self.metrics = metrics
        self.report = report
        self.max_steps = max_steps
        self._bar: tuple[Progress, TaskID] | None = None
        self._first_step = 0
        self._started = self._said = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Start the clock at the first batch, after a validation that may come before."""
        if not self._started:
            self._start(trainer.global_step)

    def _start(self, step: int) -> None:
        self._first_step = step
        self._started = self._said = time.monotonic()
        if self.report.console.is_terminal:
            progress = Progress(
                BarColumn(), TextColumn("{task.description}"), console=self.report.console
            )
            task = progress.add_task("", total=self.max_steps, completed=self._first_step)
            self._bar = progress, task
            progress.start()

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Move the bar, or write a line when it is time."""
        step, now = trainer.global_step, time.monotonic()
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, completed=step, description=self.text(step, now=now))
            return
        pause = min(max(SHORTEST_PAUSE, (now - self._started) / 20), LONGEST_PAUSE)
        if step == self._first_step + 1 or step == self.max_steps or now - self._said >= pause:
            self._said = now
            self.report.line(self.text(step, now=now))

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the bar as it is."""
        self._stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave the bar as it is, for the message below it."""
        self._stop()

    def text(self, step: int, *, now: float) -> str:
        """`step 120/400  loss 3.21  2.1 steps/s  1:23 left`."""
        seconds = max(now - self._started, 1e-9)
        speed = (step - self._first_step) / seconds
        shown = f"{speed:.1f} steps/s" if speed >= 1 else f"{1 / max(speed, 1e-9):.1f} s/step"
        if self.max_steps is None:
            return f"step {step}  loss {self.metrics.loss:.4g}  {shown}"
        left = format_seconds((self.max_steps - step) / max(speed, 1e-9))
        return f"step {step}/{self.max_steps}  loss {self.metrics.loss:.4g}  {shown}  {left} left"

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None
