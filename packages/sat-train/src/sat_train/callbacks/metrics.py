"""Training figures for the loggers."""

from collections import defaultdict

import pytorch_lightning as pl
import torch
from torch import Tensor

from sat_train.callbacks.base import StepCallback, log_metrics
from sat_train.family import Method
from sat_train.steps import Step


class TrainingMetrics(StepCallback):
    """Logs the losses and their terms at every step, averaged over the batches that made the step.

    On several devices, over all their batches.

    Attributes:
        loss: The newest loss of the model.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loss = float("nan")
        self._values: defaultdict[str, list[Tensor]] = defaultdict(list)

    def on_batch(self, method: Method, batch: object, step: Step) -> None:
        """Collect the figures of a batch."""
        self._values[f"{step.prefix}loss"].append(step.loss)
        for name, value in (*step.terms.items(), *step.figures.items()):
            self._values[name].append(value)

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Log what has been collected since the last step."""
        step = method.last
        assert step is not None
        names = [f"train/{name}" for name in self._values]
        # One stack, so that a GPU is waited for once.
        means = [torch.stack(values).float().mean() for values in self._values.values()]
        values = torch.stack(means)
        if trainer.world_size > 1:
            values = trainer.strategy.reduce(values, reduce_op="mean")
        metrics = dict(zip(names, values.tolist(), strict=True))
        self._values.clear()
        if step.learning_rate is not None and step.gradient_norm is not None:
            metrics[f"train/{step.prefix}lr"] = step.learning_rate
            metrics[f"train/{step.prefix}gradient_norm"] = step.gradient_norm
        self.loss = metrics.get("train/loss", self.loss)
        log_metrics(trainer, metrics)
