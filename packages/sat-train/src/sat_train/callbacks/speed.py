"""How fast training goes, and what memory it takes."""

import time

import pytorch_lightning as pl
import torch

from sat_train.callbacks.base import StepCallback, log_metrics
from sat_train.family import Method
from sat_train.runtime import process_memory

EVERY = 10
GIGABYTE = 1e9


class Speed(StepCallback):
    """Logs throughput and memory every ten steps.

    Time is the clock's: validations, demos and checkpoints count, so a run's figures say when it
    will end.

    Args:
        items_per_step: What all devices together take for one step.
    """

    def __init__(self, *, items_per_step: int) -> None:
        super().__init__()
        self.items_per_step = items_per_step
        self._began = self._left = 0.0
        self._waited = 0.0
        self._first = 0

    def on_start(self, trainer: pl.Trainer, method: Method) -> None:
        """Start the clock."""
        self._restart(trainer.global_step)
        self._left = self._began

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """The batch is there: how long did it take to come?"""
        self._waited += time.monotonic() - self._left

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """From here on the next batch is waited for."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._left = time.monotonic()

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Log what the last steps took."""
        if not self.is_due(EVERY):
            return
        seconds = max(time.monotonic() - self._began, 1e-9)
        speed = (trainer.global_step - self._first) / seconds
        figures = {
            "speed/steps_per_second": speed,
            "speed/items_per_second": speed * self.items_per_step,
            "speed/waiting_for_data": self._waited / seconds,
            "memory/process_gb": process_memory() / GIGABYTE,
        }
        if method.device.type == "cuda":
            figures["memory/device_gb"] = torch.cuda.max_memory_allocated(method.device) / GIGABYTE
        log_metrics(trainer, figures)
        self._restart(trainer.global_step)

    def _restart(self, step: int) -> None:
        self._first = step
        self._began = time.monotonic()
        self._waited = 0.0
