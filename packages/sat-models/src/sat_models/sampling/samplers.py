"""Samplers: from noise to a signal, one network evaluation per step.

All take a function of `(x, t)` that predicts as a diffusion network does, and run without
gradients. `t_max` below 1 continues from a signal that has noise of that time in it already (see
`training_pair` of the objectives), which gives variations of it.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.layers.noise import randn_like
from sat_models.sampling.schedules import linear_times, log_snr_times

ModelFn = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def sample_v_ddim(
    model_fn: ModelFn,
    noise: Float[Tensor, "b d l"],
    *,
    steps: int,
    eta: float = 0.0,
    t_max: float = 1.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b d l"]:
    """Sample from a v-prediction model (DDIM, Song et al. 2020, 2010.02502).

    Args:
        model_fn: Predicts the velocity.
        noise: Where to start from: standard normal, or a signal with noise of time `t_max`.
        steps: Evaluations of the network, at even distances in time.
        eta: Share of fresh noise per step: 0 is deterministic, 1 is as random as DDPM.
        t_max: Time of `noise`, in (0, 1].
        generator: Source of fresh noise; torch's global one if left out.

    Returns:
        The denoised signal that the last step predicts.
    """
    times = linear_times(steps, t_max=t_max)
    x = denoised = noise
    for index in range(steps):
        alpha, sigma = _alpha_sigma(times[index])
        velocity = model_fn(x, x.new_full((x.shape[0],), times[index]))
        denoised = x * alpha - velocity * sigma
        if index == steps - 1:
            break
        predicted_noise = x * sigma + velocity * alpha
        next_alpha, next_sigma = _alpha_sigma(times[index + 1])
        fresh = eta * next_sigma / sigma * math.sqrt(1 - (alpha / next_alpha) ** 2)
        x = denoised * next_alpha + predicted_noise * math.sqrt(next_sigma**2 - fresh**2)
        if eta:
            x = x + fresh * randn_like(x, generator=generator)
    return denoised


@torch.no_grad()
def sample_euler(
    model_fn: ModelFn, noise: Float[Tensor, "b d l"], *, steps: int, t_max: float = 1.0
) -> Float[Tensor, "b d l"]:
    """Follow a rectified flow from noise to a signal by Euler's method.

    Args:
        model_fn: Predicts the direction towards noise.
        noise: Where to start from: standard normal, or a signal with noise of time `t_max`.
        steps: Evaluations of the network, evenly spaced in the logarithm of the
            signal-to-noise ratio.
        t_max: Time of `noise`, in (0, 1].
    """
    times = log_snr_times(steps, t_max=t_max)
    x = noise
    for now, after in pairwise(times):
        direction = model_fn(x, x.new_full((x.shape[0],), now))
        x = x + direction * (after - now)
    return x


def _alpha_sigma(t: float) -> tuple[float, float]:
    """Shares of signal and noise at time `t` of a v-prediction model."""
    angle = t * math.pi / 2
    return math.cos(angle), math.sin(angle)
