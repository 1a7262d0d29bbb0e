"""Steps without finite numbers are counted and written down; too many in a row end training."""

import logging
import math
from typing import Any

import pytorch_lightning as pl

from sat_models.files import append_line
from sat_train.callbacks.base import StepCallback
from sat_train.errors import DivergedError
from sat_train.family import DataModule, Method
from sat_train.run_folder import RunFolder
from sat_train.steps import Step

log = logging.getLogger(__name__)


class Guard(StepCallback):
    """Watches for steps that the method skipped because loss or gradients were not finite.

    Each gets a line in the run's ledger, with the batches' ids and the terms of the loss. With
    `16-mixed` the loss scaler makes gradients overflow on purpose: steps whose loss is finite count
    towards the end of training then, but are not worth a line.

    Args:
        run: Has the ledger, and the checkpoints.
        data: Knows what batches are called.
        most: Steps in a row after which training stops.

    Attributes:
        skipped: Steps that are in the ledger, those of earlier starts included.
    """

    def __init__(self, run: RunFolder, *, data: DataModule, most: int) -> None:
        super().__init__()
        self.run = run
        self.data = data
        self.most = most
        self.skipped = 0
        self._batches: list[dict[str, Any]] = []
        self._good = -1
        self._in_a_row = 0

    def on_start(self, trainer: pl.Trainer, method: Method) -> None:
        """What a checkpoint held is good."""
        self._good = trainer.global_step

    def on_batch(self, method: Method, batch: object, step: Step) -> None:
        """Remember what the step is made of; nothing is taken from the device yet."""
        terms = {"loss": step.loss, **step.terms}
        self._batches.append({"ids": self.data.ids_of(batch), "terms": terms})

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Look at the step.

        Raises:
            DivergedError: There were too many bad ones in a row.
        """
        batches, self._batches = self._batches, []
        assert method.last is not None
        if not method.last.skipped:
            self._in_a_row, self._good = 0, trainer.global_step
            return
        self._in_a_row += 1
        if not method.settings.scaled or any(not _is_finite(each) for each in batches):
            self.skipped += 1
            self._write_down(trainer, method.last, batches)
        if self._in_a_row >= self.most:
            raise DivergedError(self._end(trainer.global_step))

    def _write_down(self, trainer: pl.Trainer, step: Step, batches: list[dict[str, Any]]) -> None:
        append_line(
            self.run.bad_steps,
            {
                "step": trainer.global_step,
                "rank": trainer.global_rank,
                "gradient_norm": str(step.gradient_norm),
                "batches": [
                    {
                        "ids": list(each["ids"]),
                        "terms": {name: str(float(term)) for name, term in each["terms"].items()},
                    }
                    for each in batches
                ],
            },
        )
        log.warning(
            "step %d was skipped, its loss or gradients are not finite; the batch is in %s",
            trainer.global_step,
            self.run.bad_steps,
        )

    def _end(self, step: int) -> str:
        good = [path for path in self.run.checkpoints() if self.run.step_of(path) <= self._good]
        last = f"the last good checkpoint is {good[0]}" if good else "there is no checkpoint yet"
        return (
            f"training stopped at step {step}: loss or gradients were not finite for"
            f" {self._in_a_row} steps in a row; {last}\n"
            f"Batches and terms of the loss are in {self.run.bad_steps}. Lower the learning rate,"
            " set gradient_clip_val, or take a precision with more range"
        )


def _is_finite(batch: dict[str, Any]) -> bool:
    return math.isfinite(float(batch["terms"]["loss"]))
