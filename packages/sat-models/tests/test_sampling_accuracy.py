"""Samplers against a model that is known exactly: a mixture of two normal distributions."""

import math
from functools import partial

import pytest
import torch

from sat_models.models.objectives import RectifiedFlow, VObjective
from sat_models.sampling.denoiser import v_denoiser
from sat_models.sampling.dpm_solver import sample_dpm_adaptive, sample_dpm_fast
from sat_models.sampling.samplers import (
    sample_euler,
    sample_flow_dpmpp,
    sample_rk4,
    sample_v_ddim,
)
from sat_models.sampling.sigma_samplers import (
    sample_dpm_2,
    sample_dpmpp_2m,
    sample_heun,
    sample_lms,
)
from sat_models.sampling.table import SERVES, Solver, Start, sample

WEIGHTS, MEANS, SPREADS = (0.3, 0.7), (-1.5, 0.8), (0.3, 0.5)
NOISY = {"v-ddpm", "pingpong", "k-dpmpp-2s-ancestral", "dpmpp-2m-sde", "dpmpp-3m-sde"}
ITEMS = 20_000


def posterior(x, *, signal, noise):
    """The means of signal and noise, given their sum."""
    variances = [signal**2 * s**2 + noise**2 for s in SPREADS]
    off = [x - signal * mean for mean in MEANS]
    logs = [
        -(o**2) / (2 * v) + math.log(w / math.sqrt(v))
        for w, o, v in zip(WEIGHTS, off, variances, strict=True)
    ]
    shares = torch.softmax(torch.stack(logs), dim=0)
    clean = [
        m + signal * s**2 * o / v for m, s, o, v in zip(MEANS, SPREADS, off, variances, strict=True)
    ]
    noises = [noise * o / v for o, v in zip(off, variances, strict=True)]
    return (shares * torch.stack(clean)).sum(0), (shares * torch.stack(noises)).sum(0)


def exact_velocity(x, t):
    signal, noise = math.cos(t[0] * math.pi / 2), math.sin(t[0] * math.pi / 2)
    x0, eps = posterior(x, signal=signal, noise=noise)
    return signal * eps - noise * x0


def exact_direction(x, t):
    x0, eps = posterior(x, signal=1 - t[0].item(), noise=t[0].item())
    return eps - x0


def distribution(x, *, signal=1.0, noise=0.0):
    """The share of the mixture, scaled and with noise, below `x`."""
    return sum(
        w * torch.special.ndtr((x - signal * m) / math.hypot(signal * s, noise))
        for w, m, s in zip(WEIGHTS, MEANS, SPREADS, strict=True)
    )


def straight_to_the_end(x, t):
    """What a perfectly distilled network says: where the flow through `x` ends."""
    places = torch.linspace(-6, 6, 4001, dtype=x.dtype)
    rank = distribution(x, signal=1 - t[0].item(), noise=t[0].item()).clamp(1e-12, 1 - 1e-12)
    above = torch.searchsorted(distribution(places), rank).clamp(1, 4000)
    return (x - places[above]) / t[0]


def distance(samples):
    """The greatest distance between distribution functions (Kolmogorov and Smirnov)."""
    ordered = samples.flatten().sort().values
    count = len(ordered)
    below = distribution(ordered)
    ranks = torch.arange(count + 1, dtype=ordered.dtype) / count
    return torch.maximum((below - ranks[:-1]).abs(), (below - ranks[1:]).abs()).max().item()


def run(name, noise, *, steps):
    flow = SERVES[name][0] is RectifiedFlow
    direction = straight_to_the_end if name == "pingpong" else exact_direction
    return sample(
        Solver(name, steps=steps, sigma_min=0.01, sigma_max=50.0, rho=1.0),
        direction if flow else exact_velocity,
        Start(noise, init=None, init_noise_level=1.0),
        objective=RectifiedFlow() if flow else VObjective(),
        generator=torch.Generator().manual_seed(1),
    )


@pytest.mark.parametrize("name", sorted(set(SERVES) - NOISY))
def test_solver_turns_normal_quantiles_into_those_of_the_mixture(name):
    grid = (torch.arange(ITEMS, dtype=torch.double) + 0.5) / ITEMS
    noise = torch.special.ndtri(grid)[None, None]
    assert distance(run(name, noise, steps=60)) < 0.02


@pytest.mark.parametrize("name", sorted(NOISY))
def test_noisy_sampler_recovers_the_mixture(name):
    """Of perfect samples of this size, 999 in 1000 stay within 0.014; the rest is for the steps."""
    noise = torch.randn(1, 1, ITEMS, dtype=torch.double)
    assert distance(run(name, noise, steps=60)) < 0.02


def sigmas(steps):
    return [math.exp(math.log(8.0) - index / steps * math.log(80)) for index in range(steps + 1)]


def in_sigma(sampler, *, steps, x):
    return sampler(v_denoiser(exact_velocity), 8 * x, sigmas=sigmas(steps))


def fast(*, steps, x):
    return sample_dpm_fast(
        v_denoiser(exact_velocity), 8 * x, evaluations=3 * steps + 2, sigma_min=0.1, sigma_max=8.0
    )


def even(steps, *, t_max):
    return [0.95 - 0.9 * index / steps for index in range(steps + 1)]


def in_time(sampler, *, steps, x):
    return sampler(exact_direction, x, steps=steps, schedule=even)


def ddim(*, steps, x):
    return sample_v_ddim(exact_velocity, x, steps=steps)


ORDERS = {
    "ddim": (ddim, 1),
    "euler": (partial(in_time, sample_euler), 1),
    "rk4": (partial(in_time, sample_rk4), 4),
    "dpmpp": (partial(in_time, sample_flow_dpmpp), 2),
    "heun": (partial(in_sigma, sample_heun), 2),
    "dpm-2": (partial(in_sigma, sample_dpm_2), 2),
    "dpmpp-2m": (partial(in_sigma, sample_dpmpp_2m), 2),
    "lms": (partial(in_sigma, sample_lms), 2),  # its first step is Euler's
    "dpm-fast": (fast, 3),
}


@pytest.mark.parametrize(("solve", "order"), ORDERS.values(), ids=ORDERS.keys())
def test_error_falls_with_the_order_of_the_method(solve, order):
    x = torch.linspace(-2, 2, 41, dtype=torch.double)[None, None]
    coarse, fine, exact = (solve(steps=steps, x=x) for steps in (64, 128, 1024))
    measured = math.log2(((coarse - exact).norm() / (fine - exact).norm()).item())
    assert order - 0.25 < measured


def test_adaptive_solver_keeps_within_its_tolerance():
    x = 8 * torch.linspace(-2, 2, 41, dtype=torch.double)[None, None]
    denoise = v_denoiser(exact_velocity)
    steps = []
    found = sample_dpm_adaptive(
        denoise, x, sigma_min=0.1, sigma_max=8.0, callback=lambda step, *_: steps.append(step)
    )
    exact = sample_dpm_fast(denoise, x, evaluations=300, sigma_min=0.1, sigma_max=8.0)
    assert (found - exact).abs().max() < 0.01 * len(steps)
    assert steps == list(range(len(steps)))
