"""What every dataset has in common: items that follow from seed, epoch and index alone."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from sat_models.data.batch import AudioBatch, BadItem, LatentBatch, Sample

# Keeps the draws of items apart from those of the order (sampler.py), which start from the same
# seed.
_ITEM_STREAM = 1


@dataclass(frozen=True, slots=True)
class Draw:
    """Which item is wanted.

    The epoch travels with the index because worker processes hold copies of the dataset: an epoch
    set on the original would never reach them.

    Attributes:
        epoch: How often the dataset has been gone through before; decides crop and sign, with the
            seed.
        index: Position in the dataset.
    """

    epoch: int
    index: int


class ItemDataset(ABC, Dataset[Sample | BadItem]):
    """A dataset whose items are the same whichever process reads them, in whatever order."""

    @property
    def draws_crops(self) -> bool:
        """Whether an item is another part of its file in another epoch."""
        return False

    @abstractmethod
    def __len__(self) -> int:
        """Items per epoch."""

    @abstractmethod
    def __getitem__(self, index: int | Draw) -> Sample | BadItem:
        """One item; a plain index means epoch 0. What cannot be read comes as a BadItem."""

    @abstractmethod
    def stack(self, samples: Sequence[Sample]) -> AudioBatch | LatentBatch:
        """The batch of some items."""


def item_draws(seed: int, draw: Draw, *, count: int) -> tuple[float, ...]:
    """Numbers in [0, 1) that belong to one item of one epoch."""
    numbers = np.random.default_rng((_ITEM_STREAM, seed, draw.epoch, draw.index)).random(count)
    return tuple(float(number) for number in numbers)


def as_draw(index: int | Draw, *, length: int) -> Draw:
    """The draw that an index into a dataset of `length` items means.

    Raises:
        IndexError: There is no such item.
    """
    draw = index if isinstance(index, Draw) else Draw(0, index)
    if not 0 <= draw.index < length:
        raise IndexError(f"item {draw.index} of a dataset with {length} items")
    return draw
