"""What a model family supplies to the recipe: its data, and how it trains.

The recipe knows nothing else of a family. A package registers builders for its own class of
experiment with `sat_models.build.build_model`, `build_datamodule` and `build_training`, in modules
named under the entry-point groups `sat_models.builders` and `sat_train.builders`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from sat_config import Experiment
from sat_models.build import load_builtin, missing_builder
from sat_models.data.ledger import Ledger
from sat_train.demo import Demo
from sat_train.report import format_count

GROUP = "sat_train.builders"


class DataModule(ABC):
    """The data of a run.

    Batches are what the family's methods take: a tensor, or anything with a method `to`, or
    collections of them.

    Attributes:
        train: Batches without end, from the run's position on.
        validation: One pass over the validation set; None without one.
        demos: What demos may be made from: validation data, or else training data.
    """

    train: Iterable[Any]
    validation: Iterable[Any] | None
    demos: Iterable[Any]

    @abstractmethod
    def describe(self) -> Mapping[str, str]:
        """What there is, in words, by what it is for: "data", "validation"."""


class Method(pl.LightningModule, ABC):
    """A training method: the model under its name, its training step, validation and demos.

    `training_step` returns the loss and, for the record, all terms: `{"loss": ..., "terms": ...}`.

    Every batch seeds torch's generators by its number, so what a step draws does not depend on
    what ran before it: a run that was stopped and resumed takes the steps it would have taken.

    Attributes:
        headline: The validation figure that a report shows; lower is better.
        demo_every: Steps between demos.
        batches_seen: Batches taken from the data so far, resumed runs included.
        callbacks: What the trainer is to call around its steps, in this order.
    """

    headline: str

    def __init__(self, *, seed: int, demo_every: int) -> None:
        super().__init__()
        self.seed = seed
        self.demo_every = demo_every
        self.batches_seen = 0
        self.callbacks: list[pl.Callback] = []

    @abstractmethod
    def validate(self, batches: Iterable[Any]) -> dict[str, float]:
        """Means over the validation set, by full name ("val/..."); called without gradients."""

    @abstractmethod
    def demos(self, batches: Iterable[Any]) -> Iterator[Demo]:
        """What shows people how far the model has come; called without gradients."""

    def check_data(self, data: DataModule) -> None:
        """Compare the data with the model, whose weights are loaded.

        Raises:
            UserError: They do not fit.
        """

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

    def configure_callbacks(self) -> list[pl.Callback]:
        """Lightning's hook: the callbacks of the run."""
        return self.callbacks

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        """Seed what the step will draw, differently on every process."""
        number = self.batches_seen * self.trainer.world_size + self.global_rank
        torch.manual_seed((self.seed * 2**40 + number) % 2**63)
        self.batches_seen += 1

    def on_device(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches, moved to where the model is."""
        for batch in batches:
            yield self.transfer_batch_to_device(batch, self.device, 0)

    def describe(self) -> str:
        """How large the model is."""
        total = sum(parameter.numel() for parameter in self.parameters())
        trained = sum(parameter.numel() for parameter in self.trained_parameters())
        frozen = f", {format_count(trained)} of them trained" if trained < total else ""
        return f"{format_count(total)} weights{frozen}"

    def trained_parameters(self) -> list[nn.Parameter]:
        """What the optimizer changes: everything that is not frozen."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


@contextmanager
def evaluating(method: Method) -> Iterator[None]:
    """No gradients, every module in evaluation mode, the configured arithmetic; then as before."""
    modes = {module: module.training for module in method.modules()}
    method.eval()
    try:
        with torch.no_grad(), method.trainer.precision_plugin.forward_context():
            torch.manual_seed(method.seed % 2**63)
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
