"""Samplers that count noise in standard deviations, step by step (Karras et al. 2022, 2206.00364).

All take a denoiser (see `v_denoiser`), a signal with noise of `sigmas[0]` in it, and standard
deviations that fall to 0; without gradients. With `lambda = -log(sigma)`, DPM-Solver++ steps are of
the form `x' = sigma'/sigma x + (1 - exp(lambda - lambda')) denoised`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from sat_models.layers.noise import randn_like
from sat_models.sampling.steps import Callback, DenoiseFn, Level, ignore, multistep_2m


@torch.no_grad()
def sample_heun(
    denoise: DenoiseFn, x: Tensor, *, sigmas: Sequence[float], callback: Callback = ignore
) -> Tensor:
    """Heun's method, of order two (Karras et al. 2022, algorithm 1).

    Two evaluations per step, one in the last.
    """
    for step, (now, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, now)
        slope = (x - denoised) / now
        trial = x + (after - now) * slope
        if after > 0:
            slope = (slope + (trial - denoise(trial, after)) / after) / 2
            trial = x + (after - now) * slope
        x = trial
        callback(step, x, denoised)
    return x


@torch.no_grad()
def sample_dpm_2(
    denoise: DenoiseFn, x: Tensor, *, sigmas: Sequence[float], callback: Callback = ignore
) -> Tensor:
    """The midpoint method with its midpoint at the geometric mean, of order two.

    After DPM-Solver-2 (Lu et al. 2022, 2206.00927), but in sigma. Two evaluations per step, one in
    the last.
    """
    for step, (now, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, now)
        slope = (x - denoised) / now
        if after > 0:
            middle = math.sqrt(now * after)
            inner = x + (middle - now) * slope
            slope = (inner - denoise(inner, middle)) / middle
        x = x + (after - now) * slope
        callback(step, x, denoised)
    return x


@torch.no_grad()
def sample_dpmpp_2s_ancestral(
    denoise: DenoiseFn,
    x: Tensor,
    *,
    sigmas: Sequence[float],
    callback: Callback = ignore,
    generator: torch.Generator | None = None,
) -> Tensor:
    """DPM-Solver++(2S) (Lu et al. 2022, 2211.01095) to below the next sigma, then fresh noise.

    The share of fresh noise is that of ancestral sampling in DDPM (Ho et al. 2020, 2006.11239). Two
    evaluations per step, one in the last.
    """
    for step, (now, after) in enumerate(pairwise(sigmas)):
        denoised = target = denoise(x, now)
        fresh = after * math.sqrt(now**2 - after**2) / now
        down = after**2 / now
        if down > 0:
            middle = math.sqrt(now * down)
            inner = denoised + (middle / now) * (x - denoised)
            target = denoise(inner, middle)
        x = target + (down / now) * (x - target)
        if after > 0:
            x = x + fresh * randn_like(x, generator=generator)
        callback(step, x, denoised)
    return x


@torch.no_grad()
def sample_lms(
    denoise: DenoiseFn, x: Tensor, *, sigmas: Sequence[float], callback: Callback = ignore
) -> Tensor:
    """Linear multistep of order four in sigma (Bashforth and Adams 1883), for uneven steps.

    The first three steps are of order one to three. One evaluation per step.
    """
    slopes: list[Tensor] = []
    for step, (now, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, now)
        slopes = [(x - denoised) / now, *slopes[:3]]
        nodes = [sigmas[step - back] for back in range(len(slopes))]
        weights = adams_weights(nodes, after)
        x = x + sum(weight * slope for weight, slope in zip(weights, slopes, strict=True))
        callback(step, x, denoised)
    return x


@torch.no_grad()
def sample_dpmpp_2m(
    denoise: DenoiseFn, x: Tensor, *, sigmas: Sequence[float], callback: Callback = ignore
) -> Tensor:
    """DPM-Solver++(2M), of order two (Lu et al. 2022, 2211.01095). One evaluation per step."""
    levels = [Level(signal=1.0, noise=sigma) for sigma in sigmas]
    return multistep_2m(denoise, x, levels=levels, callback=callback)


@torch.no_grad()
def sample_dpmpp_2m_sde(
    denoise: DenoiseFn,
    x: Tensor,
    *,
    sigmas: Sequence[float],
    callback: Callback = ignore,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The stochastic DPM-Solver++(2M) (Lu et al. 2022, 2211.01095). One evaluation per step.

    The result is scattered like that of the reverse diffusion, whatever the steps before. Deviation
    from SAT: the noise of each step is drawn from the generator rather than read from one Brownian
    path; steps do not overlap, so the distribution is the same. The path would give the same noise
    to runs with other steps, which SAT makes no use of.
    """
    return _multistep_sde(
        denoise, x, sigmas=sigmas, order=2, callback=callback, generator=generator
    )


@torch.no_grad()
def sample_dpmpp_3m_sde(
    denoise: DenoiseFn,
    x: Tensor,
    *,
    sigmas: Sequence[float],
    callback: Callback = ignore,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The stochastic DPM-Solver++ with one more past step, as k-diffusion has it.

    In all else like `sample_dpmpp_2m_sde`.
    """
    return _multistep_sde(
        denoise, x, sigmas=sigmas, order=3, callback=callback, generator=generator
    )


def adams_weights(nodes: Sequence[float], end: float) -> list[float]:
    """Weights of slopes at `nodes` in the integral from `nodes[0]` to `end`.

    Those of the polynomial through the slopes. It is integrated by Gauss's rule of two points,
    which is exact up to the third degree; so there may be four nodes at most.
    """
    half, middle = (end - nodes[0]) / 2, (end + nodes[0]) / 2
    places = (middle - half / math.sqrt(3), middle + half / math.sqrt(3))

    def lagrange(which: int, place: float) -> float:
        others = [node for node in nodes if node != nodes[which]]
        return math.prod((place - node) / (nodes[which] - node) for node in others)

    return [half * sum(lagrange(which, place) for place in places) for which in range(len(nodes))]


def _multistep_sde(
    denoise: DenoiseFn,
    x: Tensor,
    *,
    sigmas: Sequence[float],
    order: int,
    callback: Callback,
    generator: torch.Generator | None,
) -> Tensor:
    past: list[tuple[Tensor, float]] = []
    for step, (now, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, now)
        if after == 0:
            callback(step, denoised, denoised)
            return denoised
        width = math.log(now / after)
        keep = math.exp(-2 * width)
        x = keep * x + (1 - keep) * denoised
        if past:
            x = x + _correction(denoised, width, past=past, order=order)
        x = x + after * math.sqrt(1 - keep) * randn_like(x, generator=generator)
        callback(step, x, denoised)
        past = [(denoised, width), *past[: order - 2]]
    return x


def _correction(
    denoised: Tensor, width: float, *, past: list[tuple[Tensor, float]], order: int
) -> Tensor:
    """What the change of the denoised signal over past steps adds to a step of order one.

    The change is extrapolated over a step of `2 * width`, noise counted in, either at its midpoint
    (order two) or by the exponential integrals phi_2 and phi_3.
    """
    (before, width_before), *older = past
    ratio = width_before / width
    first = (denoised - before) / ratio
    reach = 2 * width
    if order == 2:
        return -math.expm1(-reach) / 2 * first
    phi_2 = 1 + math.expm1(-reach) / reach
    if not older:
        return phi_2 * first
    (oldest, width_oldest) = older[0]
    ratio_oldest = width_oldest / width
    difference = (first - (before - oldest) / ratio_oldest) / (ratio + ratio_oldest)
    return phi_2 * (first + ratio * difference) - (phi_2 / reach - 0.5) * difference
