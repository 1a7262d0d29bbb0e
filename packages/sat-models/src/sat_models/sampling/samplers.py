"""Samplers that count noise in times: those of v-prediction models and of rectified flows.

All take a function of `(x, t)` that predicts as a diffusion network does, and run without
gradients. `t_max` below 1 continues from a signal that has noise of that time in it already (see
`training_pair` of the objectives), which gives variations of it. Guidance is the function's
business. Those that draw noise take it from `generator`, so that a seed gives the same result on
one device.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.layers.noise import randn_like
from sat_models.sampling.schedules import Schedule, linear_times, log_snr_times
from sat_models.sampling.steps import Callback, Level, ignore, multistep_2m, times_of

ModelFn = Callable[[Tensor, Tensor], Tensor]
"""Noisy signal and time per item to the network's prediction, guided if it is to be."""

GuidedFn = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""The same to two predictions: the guided one, and the one without condition."""


@torch.no_grad()
def sample_v_ddim(
    model_fn: ModelFn,
    noise: Float[Tensor, "b d l"],
    *,
    steps: int,
    eta: float = 0.0,
    t_max: float = 1.0,
    generator: torch.Generator | None = None,
    schedule: Schedule = linear_times,
    callback: Callback = ignore,
) -> Float[Tensor, "b d l"]:
    """Sample from a v-prediction model (DDIM, Song et al. 2020, 2010.02502).

    Args:
        model_fn: Predicts the velocity.
        noise: Where to start from: standard normal, or a signal with noise of time `t_max`.
        steps: Evaluations of the network.
        eta: Share of fresh noise per step: 0 is deterministic, 1 is as random as DDPM.
        t_max: Time of `noise`, in (0, 1].
        generator: Source of fresh noise; torch's global one if left out.
        schedule: The times.
        callback: Called after each step.

    Returns:
        The denoised signal that the last step predicts.
    """

    def twice(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        velocity = model_fn(x, t)
        return velocity, velocity

    times = schedule(steps, t_max=t_max)
    return _ddim(twice, noise, times=times, eta=eta, generator=generator, callback=callback)


@torch.no_grad()
def sample_v_ddim_cfgpp(
    model_fn: GuidedFn,
    noise: Float[Tensor, "b d l"],
    *,
    steps: int,
    t_max: float = 1.0,
    schedule: Schedule = linear_times,
    callback: Callback = ignore,
) -> Float[Tensor, "b d l"]:
    """DDIM that guides the signal but not the noise (CFG++, Chung et al. 2024, 2406.08070).

    The guided prediction says what the signal is, the one without condition which noise goes back
    onto it; that keeps samples near the data where strong guidance would leave it. Deviation from
    the paper, as in SAT: the guidance scale is the usual one, 1 and more.

    Args:
        model_fn: Predicts two velocities, guided and without condition.
        noise: As for `sample_v_ddim`.
        steps: Calls of `model_fn`.
        t_max: Time of `noise`, in (0, 1].
        schedule: The times.
        callback: Called after each step.
    """
    times = schedule(steps, t_max=t_max)
    return _ddim(model_fn, noise, times=times, eta=0.0, generator=None, callback=callback)


@torch.no_grad()
def sample_euler(
    model_fn: ModelFn,
    noise: Float[Tensor, "b d l"],
    *,
    steps: int,
    t_max: float = 1.0,
    schedule: Schedule = log_snr_times,
    callback: Callback = ignore,
) -> Float[Tensor, "b d l"]:
    """Follow a rectified flow from noise to a signal by Euler's method.

    Args:
        model_fn: Predicts the direction towards noise.
        noise: Where to start from: standard normal, or a signal with noise of time `t_max`.
        steps: Evaluations of the network.
        t_max: Time of `noise`, in (0, 1].
        schedule: The times.
        callback: Called after each step.
    """
    x = noise
    for step, (now, after) in enumerate(pairwise(schedule(steps, t_max=t_max))):
        direction = model_fn(x, times_of(x, now))
        denoised = x - now * direction
        x = x + (after - now) * direction
        callback(step, x, denoised)
    return x


@torch.no_grad()
def sample_rk4(
    model_fn: ModelFn,
    noise: Float[Tensor, "b d l"],
    *,
    steps: int,
    t_max: float = 1.0,
    schedule: Schedule = linear_times,
    callback: Callback = ignore,
) -> Float[Tensor, "b d l"]:
    """Follow a rectified flow by the classical Runge-Kutta method, of order four (Kutta 1901).

    Args:
        model_fn: Predicts the direction towards noise; called four times per step.
        noise: As for `sample_euler`.
        steps: Steps.
        t_max: Time of `noise`, in (0, 1].
        schedule: The times.
        callback: Called after each step.
    """
    x = noise
    for step, (now, after) in enumerate(pairwise(schedule(steps, t_max=t_max))):
        width, middle = after - now, (now + after) / 2
        first = model_fn(x, times_of(x, now))
        second = model_fn(x + width / 2 * first, times_of(x, middle))
        third = model_fn(x + width / 2 * second, times_of(x, middle))
        fourth = model_fn(x + width * third, times_of(x, after))
        denoised = x - now * first
        x = x + width / 6 * (first + 2 * (second + third) + fourth)
        callback(step, x, denoised)
    return x


@torch.no_grad()
def sample_flow_dpmpp(
    model_fn: ModelFn,
    noise: Float[Tensor, "b d l"],
    *,
    steps: int,
    t_max: float = 1.0,
    schedule: Schedule = log_snr_times,
    callback: Callback = ignore,
) -> Float[Tensor, "b d l"]:
    """Follow a rectified flow by DPM-Solver++(2M), of order two (Lu et al. 2022, 2211.01095).

    Args:
        model_fn: Predicts the direction towards noise.
        noise: As for `sample_euler`.
        steps: Evaluations of the network; the first and the last step are of order one.
        t_max: Time of `noise`, in (0, 1].
        schedule: The times.
        callback: Called after each step.
    """

    def denoise(x: Tensor, t: float) -> Tensor:
        return x - t * model_fn(x, times_of(x, t))

    levels = [Level(signal=1 - t, noise=t) for t in schedule(steps, t_max=t_max)]
    return multistep_2m(denoise, noise, levels=levels, callback=callback)


@torch.no_grad()
def sample_pingpong(
    model_fn: ModelFn,
    noise: Float[Tensor, "b d l"],
    *,
    steps: int,
    t_max: float = 1.0,
    generator: torch.Generator | None = None,
    schedule: Schedule = log_snr_times,
    callback: Callback = ignore,
) -> Float[Tensor, "b d l"]:
    """Denoise at once, lay less noise on, and again (Song et al. 2023, 2303.01469, algorithm 1).

    For models that are trained to denoise in one step (Novack et al. 2025, 2505.08175).

    Args:
        model_fn: Predicts the direction towards noise.
        noise: As for `sample_euler`.
        steps: Evaluations of the network.
        t_max: Time of `noise`, in (0, 1].
        generator: Source of fresh noise; torch's global one if left out.
        schedule: The times.
        callback: Called after each step.
    """
    x = noise
    for step, (now, after) in enumerate(pairwise(schedule(steps, t_max=t_max))):
        x = denoised = x - now * model_fn(x, times_of(x, now))
        if after > 0:
            x = (1 - after) * denoised + after * randn_like(x, generator=generator)
        callback(step, x, denoised)
    return x


def _ddim(
    model_fn: GuidedFn,
    noise: Tensor,
    *,
    times: list[float],
    eta: float,
    generator: torch.Generator | None,
    callback: Callback,
) -> Tensor:
    x = denoised = noise
    last = len(times) - 2
    for step, (now, after) in enumerate(pairwise(times)):
        alpha, sigma = _alpha_sigma(now)
        velocity, towards_noise = model_fn(x, times_of(x, now))
        denoised = x * alpha - velocity * sigma
        if step == last:
            callback(step, denoised, denoised)
            break
        predicted_noise = x * sigma + towards_noise * alpha
        next_alpha, next_sigma = _alpha_sigma(after)
        fresh = eta * next_sigma / sigma * math.sqrt(1 - (alpha / next_alpha) ** 2)
        x = denoised * next_alpha + predicted_noise * math.sqrt(next_sigma**2 - fresh**2)
        if eta:
            x = x + fresh * randn_like(x, generator=generator)
        callback(step, x, denoised)
    return denoised


def _alpha_sigma(t: float) -> tuple[float, float]:
    """Shares of signal and noise at time `t` of a v-prediction model."""
    angle = t * math.pi / 2
    return math.cos(angle), math.sin(angle)
