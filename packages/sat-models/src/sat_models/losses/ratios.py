"""Ratios of energies in dB between a signal and its reference; higher is nearer.

Le Roux et al. 2019 (1811.02508); as a loss take the negative. The last axis is time; every signal
has a value of its own. A constant `epsilon` is added to energies that are divided by and to ratios,
so that copies and silence stay finite; it is what limits the value from above.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def si_sdr_db(
    input: Float[Tensor, "*s t"], target: Float[Tensor, "*s t"], *, zero_mean: bool, epsilon: float
) -> Float[Tensor, "*s"]:
    """Scale-invariant signal-to-distortion ratio: the target is scaled to fit `input` best.

    Args:
        input: A signal.
        target: Its reference.
        zero_mean: Remove the mean of both first.
        epsilon: Added to energies.
    """
    input, target = _prepared(input, target, zero_mean=zero_mean)
    fitted = _fit(input, target, epsilon=epsilon)
    return _ratio_db(fitted, fitted - input, epsilon=epsilon)


def sd_sdr_db(
    input: Float[Tensor, "*s t"], target: Float[Tensor, "*s t"], *, zero_mean: bool, epsilon: float
) -> Float[Tensor, "*s"]:
    """Scale-dependent ratio: the energy of the fitted target over that of the whole difference.

    Takes what `si_sdr_db` takes; unlike there a wrong level counts as distortion.
    """
    input, target = _prepared(input, target, zero_mean=zero_mean)
    fitted = _fit(input, target, epsilon=epsilon)
    return _ratio_db(fitted, target - input, epsilon=epsilon)


def snr_db(
    input: Float[Tensor, "*s t"], target: Float[Tensor, "*s t"], *, zero_mean: bool, epsilon: float
) -> Float[Tensor, "*s"]:
    """Signal-to-noise ratio: the energy of the target over that of the difference.

    Takes what `si_sdr_db` takes.
    """
    input, target = _prepared(input, target, zero_mean=zero_mean)
    return _ratio_db(target, target - input, epsilon=epsilon)


def _prepared(input: Tensor, target: Tensor, *, zero_mean: bool) -> tuple[Tensor, Tensor]:
    input, target = input.float(), target.float()
    if zero_mean:
        input = input - input.mean(-1, keepdim=True)
        target = target - target.mean(-1, keepdim=True)
    return input, target


def _fit(input: Tensor, target: Tensor, *, epsilon: float) -> Tensor:
    energy = target.square().sum(-1, keepdim=True) + epsilon
    return (input * target).sum(-1, keepdim=True) / energy * target


def _ratio_db(signal: Tensor, noise: Tensor, *, epsilon: float) -> Tensor:
    ratio = signal.square().sum(-1) / (noise.square().sum(-1) + epsilon)
    return 10 * torch.log10(ratio + epsilon)
