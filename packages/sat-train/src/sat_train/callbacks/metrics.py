"""Training figures for the loggers."""

from collections import defaultdict
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from sat_train.callbacks.base import StepCallback, log_metrics
from sat_train.family import Method


class TrainingMetrics(StepCallback):
    """Logs the loss and its terms at every step, averaged over the batches that made the step.

    Attributes:
        loss: The newest loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loss = float("nan")
        self._terms: defaultdict[str, list[Tensor]] = defaultdict(list)

    def on_terms(self, terms: dict[str, Any]) -> None:
        """Collect the terms of a batch."""
        for name, value in terms.items():
            self._terms[name].append(value)

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Log what has been collected since the last step."""
        names = [f"train/{name}" for name in self._terms]
        # One stack, so that a GPU is waited for once.
        means = torch.stack([torch.stack(values).float().mean() for values in self._terms.values()])
        metrics = dict(zip(names, means.tolist(), strict=True))
        self._terms.clear()
        self.loss = metrics["train/loss"]
        log_metrics(trainer, metrics)
