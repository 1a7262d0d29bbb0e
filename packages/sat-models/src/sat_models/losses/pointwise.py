"""Differences sample by sample, or frame by frame, with parts left out on request."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

Mask = Bool[Tensor, "b t"] | Bool[Tensor, "b c t"]


def masked_mean(values: Float[Tensor, "b c t"], mask: Mask | None) -> Float[Tensor, ""]:
    """The mean of the values where `mask` is true, of all without a mask.

    What is left out may be infinite. Deviation from SAT: the mean of nothing is 0, not NaN.

    Args:
        values: Anything with channels and time.
        mask: One truth per value, or per frame for all channels.
    """
    if mask is None:
        return values.mean()
    mask = (mask[:, None] if mask.ndim == 2 else mask).expand_as(values)
    return torch.where(mask, values, 0).sum() / mask.sum().clamp(min=1)


def l1_distance(
    input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"], *, mask: Mask | None = None
) -> Float[Tensor, ""]:
    """Mean absolute difference."""
    return masked_mean((input - target).abs(), mask)


def l2_distance(
    input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"], *, mask: Mask | None = None
) -> Float[Tensor, ""]:
    """Mean squared difference."""
    return masked_mean((input - target).square(), mask)


def stereo_image_distance(
    input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"]
) -> Float[Tensor, ""]:
    """Mean of half of one minus the cosine between the channels of two frames.

    0 where the balance of channels is right, 1 where it is turned to its opposite; levels do not
    matter.
    """
    return 0.5 * (1 - functional.cosine_similarity(input, target, dim=1)).mean()
