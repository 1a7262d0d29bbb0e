"""What every audio method offers, and how one is built from its training block."""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import torch
from torch import nn

from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.optimizer import OptimizerGroup
from sat_config.node import Node
from sat_models.build import load_builtin, missing_builder
from sat_models.data.batch import AudioBatch, Batch
from sat_models.data.dataset import ItemDataset
from sat_models.pretransforms.base import Pretransform
from sat_train.audio.data import AudioData
from sat_train.audio.round_trip import describe_round_trip
from sat_train.family import GROUP, DataModule, Method
from sat_train.optim import build_updater
from sat_train.steps import Part, StepSettings, Updater


class AudioMethod(Method):
    """A method whose model is stored under SAT's name.

    Attributes:
        optimizer_groups: Optimizer and scheduler of each part, by its name.
        model_config: The experiment's model keys as plain data, which SAT's checkpoints hold too.
    """

    def __init__(
        self,
        *,
        settings: StepSettings,
        demo_every: int,
        optimizers: Mapping[str, OptimizerGroup],
    ) -> None:
        super().__init__(settings=settings, demo_every=demo_every)
        self.optimizer_groups = optimizers
        self.model_config: dict[str, Any] = {}

    @property
    def number_format(self) -> torch.dtype:
        """In which the model computes, autocast aside."""
        assert isinstance(self.dtype, torch.dtype)
        return self.dtype

    def build_updater(self, part: Part) -> Updater:
        """What the configuration says about the optimizer of a part."""
        group = self.optimizer_groups[part.name]
        return build_updater(group, part.weights(), allow_fused=not self.settings.scaled)

    def check_data(self, data: DataModule) -> None:
        """Compare the data with the model, whose weights are loaded.

        Raises:
            UserError: They do not fit.
        """
        assert isinstance(data, AudioData)
        self.check_dataset(data.dataset)

    def check_model(self, batch: Batch) -> dict[str, str]:
        """The round trip of a pretransform, if there is one and the batch is audio."""
        found = [module for module in self.modules() if isinstance(module, Pretransform)]
        if not found or not isinstance(batch, AudioBatch):
            return {}
        return {"pretransform": describe_round_trip(found[0], batch.audio.to(self.dtype))}

    def check_dataset(self, dataset: ItemDataset) -> None:
        """Compare the training data with the model, whose weights are loaded.

        Raises:
            UserError: They do not fit.
        """

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
