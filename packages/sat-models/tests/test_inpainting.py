import random

import pytest
import torch

from sat_models.models.inpainting import random_masks, region_mask

LENGTHS = (40, 25, 1, 0)


def draw(probabilities, *, seed=0, lengths=LENGTHS, max_segments=4):
    padding = torch.arange(40) < torch.tensor(lengths)[:, None]
    masks = random_masks(
        padding,
        max_segments=max_segments,
        probabilities=probabilities,
        rng=random.Random(seed),
    )
    assert masks.shape == (len(lengths), 1, 40)
    assert set(masks.unique().tolist()) <= {0.0, 1.0}
    return masks[:, 0]


@pytest.mark.parametrize("seed", range(5))
def test_segments_are_made_anew_within_the_signal(seed):
    masks = draw((1, 0, 0), seed=seed)
    for mask, length in zip(masks, LENGTHS, strict=True):
        assert (mask[length:] == 1).all()
        assert (mask[:length] == 0).any() == (length > 0)


def test_few_segments_are_few_gaps():
    for seed in range(10):
        masks = draw((1, 0, 0), seed=seed, max_segments=2)
        starts = (masks.diff(dim=1) == -1).sum(1) + (masks[:, 0] == 0)
        assert starts.max() <= 2


def test_everything_includes_padding():
    assert (draw((0, 1, 0)) == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_continuation_keeps_a_beginning(seed):
    masks = draw((0, 0, 1), seed=seed)
    for mask, length in zip(masks, LENGTHS, strict=True):
        assert (mask[:length].diff() <= 0).all()
        assert (mask[length:] == 1).all()


def test_kinds_come_as_often_as_asked_for():
    masks = draw((0.0, 0.25, 0.75), lengths=(20,) * 2000)
    share = (masks == 0).all(dim=1).float().mean().item()
    assert share == pytest.approx(0.25, abs=0.03)


def test_seed_decides_the_masks():
    options = (0.4, 0.2, 0.4)
    assert torch.equal(draw(options, seed=3), draw(options, seed=3))
    assert not torch.equal(draw(options, seed=3), draw(options, seed=4))


def test_regions_cover_every_frame_they_touch():
    mask = region_mask([(0.5, 1.0), (1.6, 9.0)], frames=8, frame_rate=4.0)
    assert mask.shape == (1, 1, 8)
    assert mask.flatten().tolist() == [1, 1, 0, 0, 1, 1, 0, 0]
    assert region_mask([], frames=3, frame_rate=1.0).flatten().tolist() == [1, 1, 1]
