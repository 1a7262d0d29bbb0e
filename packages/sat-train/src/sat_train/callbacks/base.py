"""The hook that all callbacks of this package are built on."""

from collections.abc import Mapping

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from sat_train.family import Method
from sat_train.steps import Step


class StepCallback(Callback):
    """A callback that counts optimizer steps, where Lightning's own hooks count batches."""

    def __init__(self) -> None:
        self._step = self._before = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note where training starts, which a resumed run does not do at 0."""
        assert isinstance(pl_module, Method)
        self._step = self._before = trainer.global_step
        self.on_start(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Pass on the batch, and the step if this batch ended one."""
        assert isinstance(pl_module, Method)
        assert pl_module.last is not None
        self.on_batch(pl_module, batch, pl_module.last)
        if trainer.global_step != self._step:
            self._before, self._step = self._step, trainer.global_step
            self.on_step(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training has ended: at `max_steps`, or early if `trainer.should_stop`."""
        assert isinstance(pl_module, Method)
        self.on_end(trainer, pl_module)

    def is_due(self, every: int) -> bool:
        """Whether this step reached a multiple of `every`; a batch may make several steps."""
        return every > 0 and self._step // every > self._before // every

    def on_start(self, trainer: pl.Trainer, method: Method) -> None:
        """Before the first step."""

    def on_batch(self, method: Method, batch: object, step: Step) -> None:
        """After a batch, whether or not it ended a step."""

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """After an optimizer step; `trainer.global_step` counts it."""

    def on_end(self, trainer: pl.Trainer, method: Method) -> None:
        """After the last step."""


def log_metrics(trainer: pl.Trainer, metrics: Mapping[str, float]) -> None:
    """Hand figures to every logger, under the number of steps taken."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(metrics), step=trainer.global_step)
