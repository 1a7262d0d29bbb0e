"""From a dataset's node to the dataset."""

from functools import singledispatch
from typing import Any

from torch.utils.data import Dataset

from sat_config.audio.dataset import DatasetNode
from sat_models.build import load_builtin, missing_builder
from sat_models.data.ledger import Ledger


@singledispatch
def build_dataset(
    node: DatasetNode,
    *,
    sample_rate: int,
    sample_size: int,
    channels: int,
    seed: int,
    training: bool,
    ledger: Ledger,
) -> Dataset[Any]:
    """Build the dataset of a node.

    Args:
        node: A dataset node.
        sample_rate: Hz of every waveform that comes out.
        sample_size: Samples per item, at that rate.
        channels: Channels per item.
        seed: Decides crops and phase flips, together with epoch and index.
        training: Whether items may be random crops and flipped.
        ledger: Where files that cannot be read are written down.

    Raises:
        MissingBuilderError: Nothing installed builds this class of dataset.
    """
    if load_builtin():
        return build_dataset(
            node,
            sample_rate=sample_rate,
            sample_size=sample_size,
            channels=channels,
            seed=seed,
            training=training,
            ledger=ledger,
        )
    raise missing_builder(node)
