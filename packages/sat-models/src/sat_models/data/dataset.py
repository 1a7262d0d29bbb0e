"""What every dataset has in common: items that follow from seed, epoch and index alone."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from torch.utils.data import Dataset

from sat_models.data.batch import BadItem, Batch, Sample
from sat_models.data.order import Order

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


class DatasetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a run notes of the data that it was given.

    Attributes:
        summary: How much there is and where, in words.
        items: Items per epoch.
        fingerprint: Of the items' names and contents as far as they are known without reading
            them, and of custom code; never of a path.
        custom_code: SHA-256 of each Python file that adds metadata, by its path.
    """

    summary: str
    items: int
    fingerprint: str
    custom_code: dict[str, str]


class ItemDataset(ABC, Dataset[Sample | BadItem]):
    """A dataset whose items are the same whichever process reads them, in whatever order.

    Attributes:
        order: In which order an epoch goes through the items.
    """

    def __init__(self, order: Order) -> None:
        """Have an order.

        Args:
            order: In which order an epoch goes through the items.
        """
        self.order = order

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
    def stack(self, samples: Sequence[Sample]) -> Batch:
        """The batch of some items."""

    @abstractmethod
    def record(self) -> DatasetRecord:
        """What a run notes of it."""


def fingerprint_of(facts: Iterable[Sequence[str | int | float]]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of some facts, in any order."""
    lines = sorted(msgspec.json.encode(list(fact)) for fact in facts)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]


def spoken_length(seconds: float) -> str:
    """A length of audio: `1.9 h`, `14:45`, `0:42`."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


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
