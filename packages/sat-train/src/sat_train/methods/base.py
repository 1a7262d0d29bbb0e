"""What every audio method offers, and how one is built from its training block."""

from abc import abstractmethod
from functools import singledispatch
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.experiment import AudioExperiment
from sat_config.node import Node
from sat_models.build import load_builtin, missing_builder
from sat_models.data.batch import AudioBatch, LatentBatch
from sat_models.data.dataset import ItemDataset
from sat_train.audio.data import AudioData
from sat_train.family import GROUP, DataModule, Method

Batch = AudioBatch | LatentBatch


class AudioMethod(Method):
    """A method whose model is stored under SAT's name, and whose loss is a sum of terms.

    Attributes:
        model_config: The experiment's model keys as plain data, which SAT's checkpoints hold too.
    """

    def __init__(self, *, seed: int, learning_rate: float, demo_every: int) -> None:
        super().__init__(seed=seed, demo_every=demo_every)
        self.learning_rate = learning_rate
        self.model_config: dict[str, Any] = {}

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """The weighted terms whose sum is minimised, by name."""

    def check_data(self, data: DataModule) -> None:
        """Compare the data with the model, whose weights are loaded.

        Raises:
            UserError: They do not fit.
        """
        assert isinstance(data, AudioData)
        self.check_dataset(data.dataset)

    def check_dataset(self, dataset: ItemDataset) -> None:
        """Compare the training data with the model, whose weights are loaded.

        Raises:
            UserError: They do not fit.
        """

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The loss of a batch, and its terms for the record."""
        terms = self.losses(batch)
        loss = torch.stack(list(terms.values())).sum()
        return {"loss": loss, "terms": {"loss": loss.detach(), **terms}}

    def on_train_start(self) -> None:
        """Apply the configured learning rate: a resumed optimizer brings its old one along."""
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what SAT's checkpoints have beside the weights."""
        checkpoint["model_config"] = self.model_config


@singledispatch
def build_method(training: Node, *, model: nn.Module, experiment: AudioExperiment) -> AudioMethod:
    """Build the method that a training block describes; dispatch is on the block's class.

    Args:
        training: The experiment's training block.
        model: What `build_model` made of the experiment.
        experiment: The whole experiment.

    Raises:
        MissingBuilderError: Nothing installed trains by such a block.
        UserError: The block does not fit the model or the data.
    """
    if load_builtin(GROUP):
        return build_method(training, model=model, experiment=experiment)
    raise missing_builder(training, group=GROUP)
