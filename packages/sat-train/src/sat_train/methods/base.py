"""What every training method offers to the recipe, and how one is built from its training block."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.experiment import AudioExperiment
from sat_config.node import Node
from sat_models.data.batch import Batch as Batch
from sat_models.data.dataset import ItemDataset
from sat_models.errors import MissingBuilderError
from sat_train.report import format_count


@dataclass(frozen=True)
class Demo:
    """One clip to listen to.

    Attributes:
        name: What its files are called.
        audio: Versions of the clip by what they are ("original", "reconstruction"), on the CPU.
    """

    name: str
    audio: Mapping[str, Float[Tensor, "c t"]]


class Method(pl.LightningModule, ABC):
    """A training method: the model under SAT's name, its losses, validation and demos.

    Every batch seeds torch's generators by its number, so what a step draws does not depend on
    what ran before it: a run that was stopped and resumed takes the steps it would have taken.

    Attributes:
        headline: The validation figure that a report shows; lower is better.
        demo_every: Steps between demos.
        batches_seen: Batches taken from the data so far, resumed runs included.
        callbacks: What the trainer is to call around its steps, in this order.
    """

    headline: str

    def __init__(self, *, seed: int, learning_rate: float, demo_every: int) -> None:
        super().__init__()
        self.seed = seed
        self.learning_rate = learning_rate
        self.demo_every = demo_every
        self.batches_seen = 0
        self.callbacks: list[pl.Callback] = []

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """The weighted terms whose sum is minimised, by name."""

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

    def check_data(self, dataset: ItemDataset) -> None:
        """Compare the data with the model, whose weights are loaded.

        Raises:
            UserError: They do not fit.
        """

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The loss of a batch, and its terms for the record."""
        terms = self.losses(batch)
        loss = torch.stack(list(terms.values())).sum()
        return {"loss": loss, "terms": {"loss": loss.detach(), **terms}}

    def configure_callbacks(self) -> list[pl.Callback]:
        """Lightning's hook: the callbacks of the run."""
        return self.callbacks

    def on_train_start(self) -> None:
        """Apply the configured learning rate: a resumed optimizer brings its old one along."""
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed what the step will draw, differently on every process."""
        number = self.batches_seen * self.trainer.world_size + self.global_rank
        torch.manual_seed((self.seed * 2**40 + number) % 2**63)
        self.batches_seen += 1

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
