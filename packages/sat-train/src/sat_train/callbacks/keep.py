"""The record of a run, kept up to date while it goes."""

import logging
import time
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from sat_train.callbacks.base import StepCallback
from sat_train.callbacks.checkpoint import Checkpoints
from sat_train.callbacks.guard import Guard
from sat_train.callbacks.metrics import TrainingMetrics
from sat_train.callbacks.signals import StopOnSignal
from sat_train.callbacks.validation import Validation
from sat_train.family import Method
from sat_train.ledger import RunLedger
from sat_train.page.run import write_page
from sat_train.record import Best, Record, finite
from sat_train.run_folder import RunFolder

log = logging.getLogger(__name__)

RECORD_SECONDS = 30.0
PAGE_SECONDS = 60.0
PAGE_SHARE = 0.02
"""Of the time of a run, at most so much goes into writing its page."""


class MeetInFolder(Callback):
    """Tells all processes, once they know each other, where the first one's run folder is.

    Args:
        run: The folder.
        ledger: Has to know.
    """

    def __init__(self, run: RunFolder, *, ledger: RunLedger) -> None:
        self.run = run
        self.ledger = ledger

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Ask the first process."""
        if trainer.world_size > 1:
            self.run.path = trainer.strategy.broadcast(self.run.path)
        self.ledger.open(self.run.bad_files)


class KeepRecord(StepCallback):
    """Writes `summary.json`: at the start, every half minute, after validations and at the end.

    `report.html` comes with it, at most once a minute.

    Args:
        run: Where it goes.
        record: What was known before.
        stop: Whether someone stopped the run.
        metrics: Knows the loss.
        guard: Knows what was skipped.
        checkpoints: Knows the newest and the best.
        validation: Knows the figures, if there are any.
    """

    def __init__(
        self,
        run: RunFolder,
        *,
        record: Record,
        stop: StopOnSignal,
        metrics: TrainingMetrics,
        guard: Guard,
        checkpoints: Checkpoints,
        validation: Validation | None,
    ) -> None:
        super().__init__()
        self.run = run
        self.record = record
        self.stop = stop
        self.metrics = metrics
        self.guard = guard
        self.checkpoints = checkpoints
        self.validation = validation
        self._seconds = record.seconds
        self._started = self._written = self._next_page = 0.0
        self._validated: dict[str, float] = {}
        if record.best is not None and run.checkpoint(record.best.step).exists():
            checkpoints.best = record.best.step, record.best.value

    def on_start(self, trainer: pl.Trainer, method: Method) -> None:
        """Write that it runs."""
        self._started = time.monotonic()
        self._write(trainer)

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Write when it is time."""
        last = self.validation.last if self.validation else {}
        if last is not self._validated or time.monotonic() - self._written > RECORD_SECONDS:
            self._validated = last
            self._write(trainer)

    def on_end(self, trainer: pl.Trainer, method: Method) -> None:
        """Write how it ended."""
        self.record.status = "stopped" if self.stop.received else "finished"
        self.record.reason = self.stop.received.name if self.stop.received else None
        self._write(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Write why it ended."""
        if not self._started:
            self._started = time.monotonic()
        failed = isinstance(exception, Exception)
        self.record.status = "failed" if failed else "stopped"
        self.record.reason = f"{type(exception).__name__}: {exception}".removesuffix(": ")
        if self.checkpoints.writer is not None:
            self.checkpoints.writer.wait()
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        if not trainer.is_global_zero:
            return
        self._written = time.monotonic()
        record, checkpoints = self.record, self.checkpoints
        record.step = trainer.global_step
        record.seconds = self._seconds + self._written - self._started
        record.loss = finite({"": self.metrics.loss})[""]
        record.skipped_steps = _lines(self.run.bad_steps)
        record.bad_files = _lines(self.run.bad_files)
        if self.validation is not None:
            record.first = finite(self.validation.first)
            record.last = finite(self.validation.last) or record.last
        best = checkpoints.best
        record.best = None if best is None else Best(step=best[0], value=best[1])
        if checkpoints.newest is not None:
            record.checkpoint = checkpoints.newest.relative_to(self.run.path).as_posix()
        try:
            record.save(self.run.record)
            self._write_page()
        except OSError as error:
            log.warning("%s cannot be kept up to date: %s", self.run.path, error)

    def _write_page(self) -> None:
        """Write the page if it is time, or if there is no next time."""
        before = time.monotonic()
        if self.record.status == "running" and before < self._next_page:
            return
        try:
            write_page(self.run)
        except Exception:
            log.exception("%s cannot be written; training goes on", self.run.page)
        now = time.monotonic()
        self._next_page = now + max(PAGE_SECONDS, (now - before) / PAGE_SHARE)


def _lines(path: Path) -> int:
    """Lines of a ledger, which is there once it has one."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)
