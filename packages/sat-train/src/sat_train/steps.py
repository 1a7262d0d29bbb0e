"""The parts of a training step: what is trained, what is minimised, and what became of it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sat_config import Experiment

Figures = Mapping[str, Float[Tensor, ""]]
"""Scalars by the names under which loggers show them."""

SCHEDULED = ("lr", "momentum", "betas")
"""Settings that a schedule moves; momentum (or betas) only where a cycle asks for it."""

PLACE = (
    "last_epoch",
    "T_cur",
    "T_i",
    "_step_count",
    "_last_lr",
    "_is_initial",
    "_get_lr_called_within_step",
)
"""What torch's schedulers know of the steps taken; all else that they hold is settings."""


@dataclass(frozen=True)
class StepSettings:
    """How steps are taken, whatever the method.

    Attributes:
        seed: Seeds what the steps draw.
        accumulate: Batches whose gradients are averaged before an optimizer step.
        max_norm: Norm to which the gradients of a step are scaled down; 0 leaves them alone.
        scaled: Whether gradients are scaled for float16, which no optimizer may see in one kernel.
    """

    seed: int
    accumulate: int
    max_norm: float
    scaled: bool

    @classmethod
    def of(cls, experiment: Experiment, *, max_norm: float = 0.0) -> "StepSettings":
        """The settings of an experiment; `max_norm` is its training block's, if that has one."""
        return cls(
            seed=experiment.seed,
            accumulate=experiment.accum_batches,
            max_norm=experiment.gradient_clip_val or max_norm,
            scaled=experiment.precision in ("16", "16-mixed"),
        )


@dataclass(frozen=True)
class Part:
    """Weights with an optimizer of their own.

    Attributes:
        name: What it is called: "discriminator".
        modules: Their weights, as far as they are not frozen.
    """

    name: str
    modules: tuple[nn.Module, ...]

    def weights(self) -> list[nn.Parameter]:
        """What the optimizer changes."""
        return [w for module in self.modules for w in module.parameters() if w.requires_grad]


@dataclass(frozen=True)
class Losses:
    """What is minimised in a step.

    Attributes:
        terms: Weighted, with gradients; the loss is their sum.
        figures: Others to record, without gradients.
    """

    terms: Figures
    figures: Figures = field(default_factory=dict)

    @property
    def total(self) -> Float[Tensor, ""]:
        """The loss."""
        return torch.stack(list(self.terms.values())).sum()


@dataclass(frozen=True)
class Step:
    """What became of a batch; for the record.

    Attributes:
        prefix: Of the names of its figures: nothing for the model, "discriminator_" for that.
        loss: What was minimised.
        terms: What it is the sum of.
        figures: Others.
        gradient_norm: Norm of the gradients before clipping; None where the batch ended no step.
            A step whose norm is not finite leaves the weights as they were, and counts.
        learning_rate: Of that step; None as well.
    """

    prefix: str
    loss: Float[Tensor, ""]
    terms: Figures
    figures: Figures
    gradient_norm: float | None
    learning_rate: float | None

    @property
    def skipped(self) -> bool:
        """Whether a step was due and its gradients could not be used."""
        return self.gradient_norm is not None and not math.isfinite(self.gradient_norm)


class Updater:
    """What changes the weights of a part.

    Attributes:
        optimizer: Makes steps of gradients.
        scheduler: Changes the learning rate after each step; None leaves it constant.
    """

    def __init__(self, optimizer: Optimizer, scheduler: LRScheduler | None = None) -> None:
        self.optimizer = optimizer
        self.scheduler = scheduler
        self._configured = [_settings(group) for group in optimizer.param_groups]
        schedule = vars(scheduler) if scheduler is not None else {}
        self._schedule = {name: value for name, value in schedule.items() if name not in PLACE}

    def restore_settings(self) -> None:
        """Apply the configured settings after a state has been loaded that brought its own along.

        A learning rate that is scheduled keeps its place in the schedule, which is the configured
        one from the next step on.
        """
        for group, configured in zip(self.optimizer.param_groups, self._configured, strict=True):
            group.update(configured | self._moved(group, configured))
        if self.scheduler is not None:
            vars(self.scheduler).update(self._schedule)

    def _moved(self, group: dict[str, Any], configured: dict[str, Any]) -> dict[str, Any]:
        """What the schedule has made of the settings so far."""
        if self.scheduler is None:
            return {}
        cycles = "max_momentum" in configured
        names = SCHEDULED if cycles else SCHEDULED[:1]
        moved = {name: group[name] for name in names if name in group}
        moved["lr"] *= configured["initial_lr"] / group["initial_lr"]
        return moved


def gradient_norm(weights: Iterable[nn.Parameter]) -> Float[Tensor, ""]:
    """Euclidean norm of all gradients together; 0 if there are none."""
    return torch.nn.utils.get_total_norm([w.grad for w in weights if w.grad is not None])


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}
