"""What a model family supplies to the recipe: its data, and how it trains.

The recipe knows nothing else of a family. A package registers builders for its own class of
experiment with `sat_models.build.build_model`, `build_datamodule` and `build_training`, in modules
named under the entry-point groups `sat_models.builders` and `sat_train.builders`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from random import Random
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sat_config import Experiment, UserError
from sat_models.build import load_builtin, missing_builder
from sat_models.data.ledger import Ledger
from sat_train.demo import Demo
from sat_train.ema import WeightAverage
from sat_train.report import format_count
from sat_train.steps import Losses, Part, Step, StepSettings, Updater, gradient_norm

GROUP = "sat_train.builders"


class DataModule(ABC):
    """The data of a run.

    Batches are what the family's methods take: a tensor, or anything with a method `to`, or
    collections of them.

    Attributes:
        train: Batches without end, from the run's position on.
        validation: One pass over the validation set; None without one.
        demos: What demos may be made from: validation data, or else training data.
        batches: After how many training ends where the experiment has no `max_steps`; None for
            never.
    """

    batches: int | None = None

    train: Iterable[Any]
    validation: Iterable[Any] | None
    demos: Iterable[Any]

    @abstractmethod
    def describe(self) -> Mapping[str, str]:
        """What there is, in words, by what it is for: "data", "validation"."""

    def ids_of(self, batch: Any) -> Sequence[str]:  # noqa: ANN401 - a family's own batches
        """What the items of a training batch are called, for records of what went wrong."""
        return ()

    def try_out(self) -> tuple[Any, str]:
        """A training batch, made here and now, and in words how reading it went."""
        return next(iter(self.train)), "a batch read"

    def record(self) -> Mapping[str, object]:
        """What the run notes of it, as JSON knows it; empty for nothing."""
        return {}


@runtime_checkable
class Numbered(Protocol):
    """A batch that knows its place in the stream, since others may have been left out of it.

    Attributes:
        number: Its place, from 0, in the stream of its process.
    """

    number: int


class Method(pl.LightningModule, ABC):
    """A training method: the model under its name, what is minimised, validation and demos.

    A method says what it trains (`parts`), whose turn a step is (`turn`) and what is minimised in
    it (`losses`). Steps are taken here, by manual optimization: accumulation, clipping, schedules
    and the record are the same for all methods, with one optimizer or with two that alternate.

    Every batch seeds torch's generators, and `rng`, by its number, so what a step draws does not
    depend on what ran before it: a run that was stopped and resumed takes the steps it would have
    taken.

    Attributes:
        headline: The validation figure that a report shows; lower is better.
        settings: How steps are taken.
        demo_every: Steps between demos; 0 leaves only those at the end.
        batches_seen: Batches taken from the data so far, resumed runs included.
        batch_number: That of the current batch among those of all processes.
        rng: Source of what is drawn in Python.
        callbacks: What the trainer is to call around its steps, in this order.
        stored_optimizers: What kinds a checkpoint holds the state of, once one has been opened.
        last: What became of the last batch; None before the first.
    """

    headline: str

    def __init__(self, *, settings: StepSettings, demo_every: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.settings = settings
        self.demo_every = demo_every
        self.batches_seen = 0
        self.batch_number = 0
        self.rng = Random(settings.seed)
        self.callbacks: list[pl.Callback] = []
        self.stored_optimizers: Sequence[str] | None = None
        self.last: Step | None = None
        self._updaters: list[Updater] = []
        self._accumulated = 0
        self._gradient_norm = 0.0

    @property
    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """What is trained; the model comes first."""

    @abstractmethod
    def build_updater(self, part: Part) -> Updater:
        """What changes the weights of a part; called when these are where they will stay."""

    @abstractmethod
    def losses(self, batch: Any, part: Part) -> Losses:  # noqa: ANN401 - a family's own batches
        """What is minimised when it is the turn of a part."""

    @abstractmethod
    def validate(self, batches: Iterable[Any]) -> dict[str, float]:
        """Means over the validation set, by full name ("val/..."); called without gradients."""

    @abstractmethod
    def demos(self, batches: Iterable[Any]) -> Iterator[Demo]:
        """What shows people how far the model has come; called without gradients."""

    def turn(self, step: int) -> int:
        """Which of the parts step number `step`, from 0, trains; the others stay as they are."""
        return 0

    def after_step(self, part: Part) -> None:
        """The weights of a part have changed."""

    def check_data(self, data: DataModule) -> None:
        """Compare the data with the model, whose weights are loaded.

        Raises:
            UserError: They do not fit.
        """

    def check_model(self, batch: Any) -> Mapping[str, str]:  # noqa: ANN401 - as `losses`
        """Try what can be tried of the model without training; what was found, by label.

        Raises:
            UserError: It does not work.
        """
        return {}

    def next_words(self, experiment: Experiment, *, config: Path, latest: Path) -> Sequence[str]:
        """A command to run after training: training on, for twice as long.

        Args:
            experiment: The experiment.
            config: Its resolved configuration in the run folder.
            latest: The pointer to the newest checkpoint.
        """
        words = ["sat-train", str(config), "--override", "recover=true"]
        if experiment.max_steps is not None:
            words += ["--override", f"max_steps={2 * experiment.max_steps}"]
        return words

    def describe(self) -> str:
        """How large the model is; averages of its weights do not count."""
        children = [m for m in self.children() if not isinstance(m, WeightAverage)]
        total = sum(weight.numel() for child in children for weight in child.parameters())
        trained = sum(weight.numel() for part in self.parts for weight in part.weights())
        frozen = f", {format_count(trained)} of them trained" if trained < total else ""
        return f"{format_count(total)} weights{frozen}"

    @contextmanager
    def only(self, part: Part) -> Iterator[None]:
        """Weights of other parts need no gradients, which saves computing them."""
        others = [w for other in self.parts if other.name != part.name for w in other.weights()]
        for weight in others:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in others:
                weight.requires_grad_(True)

    def networks(self) -> Sequence[nn.Module]:
        """What `runtime.compile` compiles: modules that are called as such in every step."""
        return [module for part in self.parts for module in part.modules]

    # ------------------------------------------------------------------------ Lightning's hooks

    def training_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401 - as `losses`
        """Add the gradients of a batch; take a step when enough have been added up."""
        index = self.turn(self.global_step)
        part = self.parts[index]
        with self.only(part):
            losses = self.losses(batch, part)
            total = losses.total
            # A loss that is not finite spoils the gradients, on all devices, whatever they are.
            usable = torch.where(total.detach().isfinite(), 1.0, math.nan)
            self.manual_backward(total * usable / self.settings.accumulate)
        self._accumulated += 1
        norm = rate = None
        if self._accumulated == self.settings.accumulate:
            self._accumulated = 0
            rate = float(self._updaters[index].optimizer.param_groups[0]["lr"])
            norm = self._update(index)
            self.after_step(part)
        terms = {name: term.detach() for name, term in losses.terms.items()}
        prefix = f"{part.name}_" if index else ""
        self.last = Step(prefix, total.detach(), terms, losses.figures, norm, rate)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradients; drop them all if they are not finite."""
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        norm, limit = gradient_norm(weights), self.settings.max_norm
        self._gradient_norm = float(norm)
        if not math.isfinite(self._gradient_norm):
            optimizer.zero_grad()
        elif limit and self._gradient_norm > limit:
            torch.nn.utils.clip_grads_with_norm_(weights, limit, norm)

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """One optimizer per part, with or without a scheduler.

        Raises:
            UserError: The checkpoint that training is to continue from holds the state of others.
        """
        self._updaters = [self.build_updater(part) for part in self.parts]
        kinds = self.optimizer_kinds()
        if self.stored_optimizers not in (None, kinds):
            raise UserError(
                f"training cannot continue with {', '.join(kinds)}: the checkpoint holds the state"
                f" of {', '.join(self.stored_optimizers or ())}. Set optimizer and scheduler back,"
                " or start from the weights alone: recover = false, and pretrained_ckpt_path"
            )
        schedulers = [updater.scheduler for updater in self._updaters]
        return (
            [updater.optimizer for updater in self._updaters],
            [scheduler for scheduler in schedulers if scheduler is not None],
        )

    def optimizer_kinds(self) -> list[str]:
        """The kind of each optimizer, with its scheduler's."""
        return [
            type(each.optimizer).__name__
            + (f" with {type(each.scheduler).__name__}" if each.scheduler else "")
            for each in self._updaters
        ]

    def configure_callbacks(self) -> list[pl.Callback]:
        """The callbacks of the run."""
        return self.callbacks

    def on_train_start(self) -> None:
        """Apply the configured settings: a resumed optimizer brings its old ones along."""
        for updater in self._updaters:
            updater.restore_settings()

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        """Seed what the step will draw, differently on every process."""
        if isinstance(batch, Numbered):
            self.batches_seen = batch.number
        self.batch_number = self.batches_seen * self.trainer.world_size + self.global_rank
        seed = (self.settings.seed * 2**40 + self.batch_number) % 2**63
        torch.manual_seed(seed)
        self.rng.seed(seed)
        self.batches_seen += 1

    def on_device(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches, moved to where the model is."""
        for batch in batches:
            yield self.transfer_batch_to_device(batch, self.device, 0)

    # ------------------------------------------------------------------------------- inside

    def _update(self, index: int) -> float:
        """Take a step; returns the norm of its gradients."""
        optimizers = self.optimizers()
        optimizer = optimizers[index] if isinstance(optimizers, list) else optimizers
        optimizer.step()
        optimizer.zero_grad()
        scheduler = self._updaters[index].scheduler
        if scheduler is not None:
            scheduler.step()
        return self._gradient_norm


@contextmanager
def evaluating(method: Method) -> Iterator[None]:
    """No gradients, every module in evaluation mode, the configured arithmetic; then as before."""
    modes = {module: module.training for module in method.modules()}
    method.eval()
    try:
        with torch.no_grad(), method.trainer.precision_plugin.forward_context():
            torch.manual_seed(method.settings.seed % 2**63)
            method.rng.seed(method.settings.seed)
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@singledispatch
def build_datamodule(
    experiment: Experiment, *, ledger: Ledger, first_batch: int, rank: int, world_size: int
) -> DataModule:
    """Find the data of an experiment; dispatch is on the experiment's class.

    Args:
        experiment: The experiment.
        ledger: Where bad files go.
        first_batch: Batches that an earlier part of the run has consumed.
        rank: Which of the training processes this is.
        world_size: How many there are.

    Raises:
        MissingBuilderError: Nothing installed has data for such experiments.
        UserError: There is nothing to train on, or to validate with.
    """
    if load_builtin(GROUP):
        return build_datamodule(
            experiment, ledger=ledger, first_batch=first_batch, rank=rank, world_size=world_size
        )
    raise missing_builder(experiment, group=GROUP)


@singledispatch
def build_training(experiment: Experiment, *, model: nn.Module) -> Method:
    """Build the method by which an experiment trains; dispatch is on the experiment's class.

    Args:
        experiment: The experiment.
        model: What `build_model` made of it.

    Raises:
        MissingBuilderError: Nothing installed trains such experiments.
        UserError: It does not say how to train, or what it says does not fit the model.
    """
    if load_builtin(GROUP):
        return build_training(experiment, model=model)
    raise missing_builder(experiment, group=GROUP)
