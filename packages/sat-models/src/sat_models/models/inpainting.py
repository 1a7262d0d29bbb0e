"""Masks of what a model is to fill in: 1 keeps a frame, 0 has it generated."""

import random
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SEGMENTS, EVERYTHING, CONTINUATION = range(3)


def random_masks(
    padding_mask: Bool[Tensor, "b l"],
    *,
    max_segments: int,
    probabilities: Sequence[float],
    rng: random.Random,
) -> Float[Tensor, "b 1 l"]:
    """Masks to train with, one per item.

    There are three kinds: random segments, which may overlap; everything, padding included; and all
    from some frame on. The first and the last leave padding alone. Drawn in SAT's order, so a seed
    gives SAT's masks.

    Args:
        padding_mask: True where a frame is no padding, which is at the end.
        max_segments: Most random segments; they are the shorter, the more there are.
        probabilities: Of the three kinds.
        rng: Source of the draws.
    """
    masks = torch.ones(padding_mask.shape)
    for mask, length in zip(masks, padding_mask.sum(dim=1).tolist(), strict=True):
        kind = rng.choices((SEGMENTS, EVERYTHING, CONTINUATION), weights=probabilities)[0]
        if kind == EVERYTHING:
            mask.zero_()
        elif length and kind == SEGMENTS:
            for start, end in _segments(length, max_segments=max_segments, rng=rng):
                mask[start:end] = 0
        elif length:
            mask[rng.randint(0, length) : length] = 0
    return masks[:, None].to(padding_mask.device)


def region_mask(
    regions: Sequence[tuple[float, float]], *, frames: int, frame_rate: float
) -> Float[Tensor, "1 1 l"]:
    """The mask of regions to generate: every frame that one of them touches.

    Args:
        regions: Start and end of each, in seconds; what lies beyond the end does not count.
        frames: Length of the mask.
        frame_rate: Frames per second: sample rate over hop length.
    """
    starts = torch.arange(frames) / frame_rate
    ends = torch.arange(1, frames + 1) / frame_rate
    mask = torch.ones(frames)
    for start, end in regions:
        mask[(starts < end) & (ends > start)] = 0
    return mask[None, None]


def _segments(length: int, *, max_segments: int, rng: random.Random) -> list[tuple[int, int]]:
    count = rng.randint(1, max_segments)
    longest = max(1, length // count)
    segments = []
    for _ in range(count):
        width = rng.randint(1, longest)
        start = rng.randint(0, length - width)
        segments.append((start, start + width))
    return segments
