"""Maximum mean discrepancy between two sets of signals (Gretton et al. 2012)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

TIME_BANDWIDTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Those with which SAT compares waveforms."""


def discrepancy(
    input: Float[Tensor, "n t"], target: Float[Tensor, "m t"], *, bandwidths: Sequence[float]
) -> Float[Tensor, ""]:
    """How far two sets of points are from having been drawn alike; 0 for the same set.

    Biased estimate with the mean of inverse multiquadratic kernels, `1 / (1 + d / (2 w))`, where
    `d` is the mean squared difference over the last axis and `w` a bandwidth.

    Args:
        input: Points.
        target: Other points; their numbers may differ.
        bandwidths: Squared distances at which points begin to count as unlike.
    """
    input, target = input.float(), target.float()
    return (
        _affinity(input, input, bandwidths)
        + _affinity(target, target, bandwidths)
        - 2 * _affinity(input, target, bandwidths)
    )


def _affinity(x: Tensor, y: Tensor, bandwidths: Sequence[float]) -> Tensor:
    energies = x.square().mean(1)[:, None] + y.square().mean(1)
    distances = (energies - 2 * (x @ y.mT) / x.shape[1]).clamp(min=0)  # n m
    kernels = [(1 / (1 + distances / (2 * width))).mean() for width in bandwidths]
    return torch.stack(kernels).mean()
