from collections import Counter
from itertools import chain, islice

import pytest

from sat_models.data.dataset import Draw
from sat_models.data.order import Shuffled
from sat_models.data.sampler import EpochStream, OnePass


def stream(num_items, count, **options):
    options = {"batch_size": 4, "seed": 1, "carry_over": True, **options}
    return list(islice(EpochStream(Shuffled(num_items), num_items=num_items, **options), count))


@pytest.mark.parametrize(("num_items", "batch_size"), [(11, 4), (11, 8), (3, 8), (1, 5), (8, 8)])
def test_stream_has_full_batches_and_every_item_once_an_epoch(num_items, batch_size):
    batches = stream(num_items, 3 * num_items, batch_size=batch_size)
    assert {len(batch) for batch in batches} == {batch_size}
    drawn = list(chain.from_iterable(batches))
    assert [draw.epoch for draw in drawn] == [n // num_items for n in range(len(drawn))]
    whole = len(drawn) // num_items
    counts = Counter(draw.index for draw in drawn if draw.epoch < whole)
    assert counts == dict.fromkeys(range(num_items), whole)


def test_stream_without_carrying_over_ends_each_epoch_with_a_smaller_batch():
    batches = stream(11, 6, carry_over=False)
    assert [len(batch) for batch in batches] == [4, 4, 3, 4, 4, 3]
    assert [{draw.epoch for draw in batch} for batch in batches] == [{0}] * 3 + [{1}] * 3


def test_order_changes_with_epoch_and_seed_only():
    first, second = stream(50, 2, batch_size=50)
    assert [draw.index for draw in first] != [draw.index for draw in second]
    assert stream(50, 2, batch_size=50, seed=2)[0] != first
    assert stream(50, 2, batch_size=50) == [first, second]


@pytest.mark.parametrize("carry_over", [True, False])
def test_stream_goes_on_where_a_run_was_stopped(carry_over):
    whole = stream(11, 20, carry_over=carry_over)
    assert stream(11, 13, carry_over=carry_over, first_batch=7) == whole[7:]


def test_processes_share_the_stream():
    whole = stream(11, 12)
    for rank in range(3):
        assert stream(11, 4, rank=rank, world_size=3) == whole[rank::3]
    assert stream(11, 2, rank=1, world_size=3, first_batch=2) == whole[1::3][2:]


def test_one_pass_has_every_item_once_in_order():
    batches = OnePass(5, batch_size=2)
    assert len(batches) == 3
    assert list(chain.from_iterable(batches)) == [Draw(0, index) for index in range(5)]
    halves = [list(OnePass(5, batch_size=2, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [len(half) for half in halves] == [2, 1]
