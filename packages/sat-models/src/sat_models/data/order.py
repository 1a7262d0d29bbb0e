"""In which order an epoch goes through the items of a dataset."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Shards that are open at a time, their samples mixed.
_SHARDS_MIXED = 8


class Order(ABC):
    """Draws the order of each epoch."""

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """The items of an epoch: always as many as the dataset has."""


@dataclass(frozen=True)
class Shuffled(Order):
    """Every item once, in any order.

    Attributes:
        num_items: How many there are.
    """

    num_items: int

    def draw(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """A permutation."""
        return generator.permutation(self.num_items)


@dataclass(frozen=True, eq=False)
class Weighted(Order):
    """Items as often as their weights say, in any order.

    Expected counts are rounded up or down at random (systematic resampling), so that an item of
    weight 1 among items of weight 1 comes once, where SAT's later versions draw with replacement.

    Attributes:
        weights: One per item, in any unit.
    """

    weights: NDArray[np.float64]

    def draw(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """As many items as there are weights."""
        count = len(self.weights)
        ends = np.cumsum(self.weights) * (count / self.weights.sum())
        ticks = generator.random() + np.arange(count)
        chosen = np.searchsorted(ends, ticks, side="right").clip(max=count - 1)
        return generator.permutation(chosen)


@dataclass(frozen=True, eq=False)
class ByShard(Order):
    """Shard after shard, so that reading stays local; samples are mixed among a few shards.

    Attributes:
        sizes: Items of each shard; the dataset has them in this order.
        resampled: Whether shards are drawn with replacement, a new one each time.
    """

    sizes: tuple[int, ...]
    resampled: bool

    def draw(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """As many items as the shards hold; each once, unless shards are resampled."""
        groups = self._shards(generator)
        firsts = np.cumsum((0, *self.sizes))
        mixed = []
        for at in range(0, len(groups), _SHARDS_MIXED):
            parts = [
                np.arange(firsts[shard], firsts[shard + 1])
                for shard in groups[at : at + _SHARDS_MIXED]
            ]
            mixed.append(generator.permutation(np.concatenate(parts)))
        return np.concatenate(mixed)[: firsts[-1]]

    def _shards(self, generator: np.random.Generator) -> Sequence[int]:
        count, total = len(self.sizes), sum(self.sizes)
        if not self.resampled:
            return [int(shard) for shard in generator.permutation(count)]
        drawn: list[int] = []
        while total > 0:
            drawn.append(int(generator.integers(count)))
            total -= self.sizes[drawn[-1]]
        return drawn


def by_weight(weights: Sequence[float]) -> Order:
    """The order of items with these weights; plainly shuffled where all are equal."""
    if len(set(weights)) <= 1:
        return Shuffled(len(weights))
    return Weighted(np.array(weights, dtype=np.float64))
