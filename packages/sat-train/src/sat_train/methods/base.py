"""What every training method offers to the recipe, and how one is built from its training block.

A method says what it trains (`parts`), whose turn a step is (`turn`) and what is minimised in it
(`losses`). This module takes the steps: gradients, accumulation, clipping, schedules and what
follows a step are the same for all methods, with one optimizer or with two that alternate.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import singledispatch
from pathlib import Path

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.optimizer import OptimizerGroup
from sat_config.node import Node
from sat_config.run import Experiment
from sat_models.data.batch import Batch
from sat_models.data.dataset import ItemDataset
from sat_models.errors import MissingBuilderError
from sat_train.ema import WeightAverage
from sat_train.optim import Updater, build_updater, gradient_norm
from sat_train.report import format_count

Figures = Mapping[str, Float[Tensor, ""]]
"""Scalars by the names under which loggers show them."""


@dataclass(frozen=True)
class Demo:
    """One clip to listen to.

    Attributes:
        name: What its files are called.
        audio: Versions of the clip by what they are ("original", "reconstruction"), on the CPU.
    """

    name: str
    audio: Mapping[str, Float[Tensor, "c t"]]


@dataclass(frozen=True)
class StepSettings:
    """How steps are taken, whatever the method.

    Attributes:
        seed: Seeds what the steps draw.
        accumulate: Batches whose gradients are averaged before an optimizer step.
        max_norm: Norm to which the gradients of a step are scaled down; 0 leaves them alone.
        allow_fused: Whether an optimizer may take a step in one kernel.
    """

    seed: int
    accumulate: int
    max_norm: float
    allow_fused: bool

    @classmethod
    def of(cls, experiment: Experiment, *, max_norm: float = 0.0) -> "StepSettings":
        """The settings of an experiment; `max_norm` is that of its training block, if it has one.

        Scaled gradients of float16 have to be looked at before a step, which fused kernels do not
        allow.
        """
        return cls(
            seed=experiment.seed,
            accumulate=experiment.accum_batches,
            max_norm=experiment.gradient_clip_val or max_norm,
            allow_fused=experiment.precision not in ("16", "16-mixed"),
        )


@dataclass(frozen=True)
class Part:
    """Weights with an optimizer of their own.

    Attributes:
        name: Of its table under `training.optimizer_configs`.
        modules: Their weights, as far as they are not frozen.
        group: Optimizer and scheduler.
    """

    name: str
    modules: tuple[nn.Module, ...]
    group: OptimizerGroup

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
    gradient_norm: float | None = None
    learning_rate: float | None = None

    @property
    def skipped(self) -> bool:
        """Whether a step was due and its gradients could not be used."""
        return self.gradient_norm is not None and not math.isfinite(self.gradient_norm)


class Method(pl.LightningModule, ABC):
    """A training method: the model under SAT's name, its losses, validation and demos.

    Every batch seeds torch's generators by its number, so what a step draws does not depend on
    what ran before it: a run that was stopped and resumed takes the steps it would have taken.

    Attributes:
        headline: The validation figure that a report shows; lower is better.
        demo_every: Steps between demos.
        batches_seen: Batches taken from the data so far, resumed runs included.
        callbacks: What the trainer is to call around its steps, in this order.
        last: What became of the last batch.
    """

    headline: str

    def __init__(self, *, settings: StepSettings, demo_every: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.settings = settings
        self.demo_every = demo_every
        self.batches_seen = 0
        self.callbacks: list[pl.Callback] = []
        self.last: Step | None = None
        self._accumulated = 0
        self._updaters: list[Updater] = []
        self._gradient_norm = 0.0

    # ------------------------------------------------------------------ what a method must say

    @property
    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """What is trained; the model comes first."""

    @abstractmethod
    def losses(self, batch: Batch, part: Part) -> Losses:
        """What is minimised when it is the turn of a part."""

    @abstractmethod
    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Means over the validation set, by full name ("val/..."); called without gradients."""

    @abstractmethod
    def demos(self, batches: Iterable[Batch]) -> Iterator[Demo]:
        """Clips that show what the model can do; called without gradients."""

    @abstractmethod
    def next_words(
        self, experiment: AudioExperiment, *, config: Path, latest: Path
    ) -> Sequence[str]:
        """A command to run after training.

        Args:
            experiment: The experiment.
            config: Its resolved configuration in the run folder.
            latest: The pointer to the newest checkpoint.
        """

    # --------------------------------------------------------------------- what it may say

    def turn(self, step: int) -> int:
        """Which of the parts step number `step`, from 0, trains; the others stay as they are."""
        return 0

    def after_step(self, part: Part) -> None:
        """The weights of a part have changed."""

    def check_data(self, dataset: ItemDataset) -> None:
        """Compare the data with the model, whose weights are loaded.

        Raises:
            UserError: They do not fit.
        """

    # -------------------------------------------------------------------------------- steps

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the gradients of a batch; take a step when enough have been added up."""
        index = self.turn(self.global_step)
        part = self.parts[index]
        with self._only(part):
            losses = self.losses(batch, part)
            total = losses.total
            self.manual_backward(total / self.settings.accumulate)
        self._accumulated += 1
        norm = rate = None
        if self._accumulated == self.settings.accumulate:
            self._accumulated = 0
            rate = self._updaters[index].optimizer.param_groups[0]["lr"]
            norm = self._update(index)
            self.after_step(part)
        terms = {name: term.detach() for name, term in losses.terms.items()}
        prefix = f"{part.name}_" if index else ""
        self.last = Step(prefix, total.detach(), terms, losses.figures, norm, rate)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradients; drop them all if they are not finite."""
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        norm = gradient_norm(weights)
        self._gradient_norm = float(norm)
        limit = self.settings.max_norm
        if not math.isfinite(self._gradient_norm):
            optimizer.zero_grad()
        elif limit and self._gradient_norm > limit:
            torch.nn.utils.clip_grads_with_norm_(weights, limit, norm)

    def configure_optimizers(self) -> list[OptimizerLRSchedulerConfig]:
        """One optimizer per part; called when the weights are where they will stay."""
        self._updaters = [
            build_updater(part.group, part.weights(), allow_fused=self.settings.allow_fused)
            for part in self.parts
        ]
        return [
            {"optimizer": updater.optimizer}
            if updater.scheduler is None
            else {"optimizer": updater.optimizer, "lr_scheduler": updater.scheduler}
            for updater in self._updaters
        ]

    def configure_callbacks(self) -> list[pl.Callback]:
        """Lightning's hook: the callbacks of the run."""
        return self.callbacks

    def on_train_start(self) -> None:
        """Apply the configured settings: a resumed optimizer brings its old ones along."""
        for updater in self._updaters:
            updater.restore_settings()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed what the step will draw, differently on every process."""
        torch.manual_seed(self.batch_seed(self.batches_seen * self.world_size + self.global_rank))
        self.batches_seen += 1

    def batch_seed(self, number: int) -> int:
        """The seed of what batch `number` of all processes together draws."""
        return (self.settings.seed * 2**40 + number) % 2**63

    @property
    def world_size(self) -> int:
        """Processes that train together."""
        return self.trainer.world_size

    def describe(self) -> str:
        """How large the model is; averages of its weights do not count."""
        children = [m for m in self.children() if not isinstance(m, WeightAverage)]
        total = sum(weight.numel() for child in children for weight in child.parameters())
        trained = sum(weight.numel() for part in self.parts for weight in part.weights())
        frozen = f", {format_count(trained)} of them trained" if trained < total else ""
        return f"{format_count(total)} weights{frozen}"

    def _update(self, index: int) -> float:
        optimizers = self.optimizers()
        optimizer = optimizers[index] if isinstance(optimizers, list) else optimizers
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.step()  # type: ignore[no-untyped-call]
        optimizer.zero_grad()
        scheduler = self._updaters[index].scheduler
        if scheduler is not None:
            scheduler.step()
        return self._gradient_norm

    @contextmanager
    def _only(self, part: Part) -> Iterator[None]:
        """Weights of other parts need no gradients, which saves computing them."""
        others = [w for other in self.parts if other is not part for w in other.weights()]
        for weight in others:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in others:
                weight.requires_grad_(True)


@contextmanager
def evaluating(method: Method) -> Iterator[None]:
    """No gradients, every module in evaluation mode, the configured arithmetic; then as before."""
    modes = {module: module.training for module in method.modules()}
    method.eval()
    try:
        with torch.no_grad(), method.trainer.precision_plugin.forward_context():
            torch.manual_seed(method.batch_seed(0))
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@singledispatch
def build_method(training: Node, *, model: nn.Module, experiment: AudioExperiment) -> Method:
    """Build the method that a training block describes; dispatch is on the block's class.

    Args:
        training: The experiment's training block.
        model: What `build_model` made of the experiment.
        experiment: The whole experiment.

    Raises:
        MissingBuilderError: Nothing installed trains by such a block.
        UserError: The block does not fit the model or the data.
    """
    cls = type(training)
    raise MissingBuilderError(
        f"nothing installed trains by a {cls.__module__}.{cls.__qualname__}; a method must be"
        " registered with sat_train.methods.base.build_method"
    )
