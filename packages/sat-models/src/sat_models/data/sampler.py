"""Which items make up which batch."""

from collections.abc import Iterator
from itertools import count

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from sat_models.data.dataset import Draw
from sat_models.data.order import Order

_ORDER_STREAM = 2


class EpochStream(Sampler[list[Draw]]):
    """Training batches without end; batch `k` follows from the seed and `k` alone.

    Epoch after epoch goes through the items, each time in a new order. The batches are cut from
    this stream of draws, so that all are full: where SAT leaves out the rest of an epoch (or stops,
    if a whole epoch does not fill one batch), here the rest opens the next batch. With
    `carry_over=False` the last batch of an epoch is smaller instead, and no batch mixes epochs.
    """

    def __init__(
        self,
        order: Order,
        *,
        num_items: int,
        batch_size: int,
        seed: int,
        carry_over: bool,
        first_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Describe the stream.

        Args:
            order: Draws the order of each epoch.
            num_items: Items of the dataset.
            batch_size: Items per batch and process.
            seed: Decides the order.
            carry_over: Whether the rest of an epoch opens the next batch.
            first_batch: Batches of each process to leave out, for a run that goes on.
            rank: Which of the processes this is; they take turns.
            world_size: How many processes train.
        """
        self._draw_order = order.draw
        self._num_items = num_items
        self._batch_size = batch_size
        self._seed = seed
        self._carry_over = carry_over
        self._first = first_batch * world_size + rank
        self._step = world_size
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def __iter__(self) -> Iterator[list[Draw]]:
        for number in count(self._first, self._step):
            yield self._batch(number)

    def _batch(self, number: int) -> list[Draw]:
        if self._carry_over:
            positions = range(number * self._batch_size, (number + 1) * self._batch_size)
        else:
            epoch, part = divmod(number, -(-self._num_items // self._batch_size))
            begin = part * self._batch_size
            end = min(begin + self._batch_size, self._num_items)
            positions = range(epoch * self._num_items + begin, epoch * self._num_items + end)
        return [self._draw(*divmod(position, self._num_items)) for position in positions]

    def _draw(self, epoch: int, place: int) -> Draw:
        if self._order is None or self._order[0] != epoch:
            generator = np.random.default_rng((_ORDER_STREAM, self._seed, epoch))
            self._order = epoch, self._draw_order(generator)
        return Draw(epoch, int(self._order[1][place]))


class OnePass(Sampler[list[Draw]]):
    """Validation batches: every item in order, always in the same few epochs."""

    def __init__(
        self,
        num_items: int,
        *,
        batch_size: int,
        epochs: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Describe the pass.

        Args:
            num_items: Items of the dataset.
            batch_size: Items per batch; the last one may have fewer.
            epochs: How often each item comes; with other crops each time, if crops are drawn.
            rank: Which of the processes this is; they take turns.
            world_size: How many processes share the pass.
        """
        draws = [Draw(epoch, index) for epoch in range(epochs) for index in range(num_items)]
        starts = range(0, len(draws), batch_size)[rank::world_size]
        self._batches = [draws[at : at + batch_size] for at in starts]

    def __iter__(self) -> Iterator[list[Draw]]:
        yield from self._batches

    def __len__(self) -> int:
        return len(self._batches)
