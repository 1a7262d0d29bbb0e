"""DPM-Solver with single steps of order one to three (Lu et al. 2022, 2206.00927).

In `t = -log(sigma)` and the noise prediction `eps(x, t) = (x - denoised) / sigma`, the probability
flow is `dx/dt = -exp(-t) eps`; each step integrates the exponential exactly.

Both samplers stop at the smallest sigma above 0, as SAT's do: as much noise stays in the result.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sat_models.sampling.steps import Callback, DenoiseFn, ignore

TOLERANCE = 0.01
FIRST_WIDTH = 0.05
ACCEPTED = 0.81
LEAST_ERROR = 1e-8
CLOSE_TO_THE_END = 1e-5


@torch.no_grad()
def sample_dpm_fast(
    denoise: DenoiseFn,
    x: Tensor,
    *,
    evaluations: int,
    sigma_min: float,
    sigma_max: float,
    callback: Callback = ignore,
) -> Tensor:
    """DPM-Solver-fast: even steps in log sigma, of order three but for the last one or two.

    Args:
        denoise: The network as a denoiser (see `v_denoiser`).
        x: A signal with noise of `sigma_max`.
        evaluations: Calls of `denoise`.
        sigma_min: Noise of the result.
        sigma_max: Noise of `x`.
        callback: Called after each step.
    """
    orders = _orders(evaluations)
    start = -math.log(sigma_max)
    width = math.log(sigma_max / sigma_min) / len(orders)
    for index, order in enumerate(orders):
        step = _Step(denoise, x, t=start + index * width, width=width)
        x = step.of_order(order)
        callback(index, x, step.denoised)
    return x


@torch.no_grad()
def sample_dpm_adaptive(
    denoise: DenoiseFn,
    x: Tensor,
    *,
    sigma_min: float,
    sigma_max: float,
    callback: Callback = ignore,
) -> Tensor:
    """DPM-Solver-23: steps of order three, as wide as their difference from order two allows.

    Relative and absolute error per step stay below 0.01, on average over all items, which therefore
    have an influence on each other.

    Args:
        denoise: The network as a denoiser (see `v_denoiser`).
        x: A signal with noise of `sigma_max`.
        sigma_min: Noise of the result.
        sigma_max: Noise of `x`.
        callback: Called after each step that was not rejected.
    """
    t, end = -math.log(sigma_max), -math.log(sigma_min)
    previous, width, index = x, FIRST_WIDTH, 0
    while t < end - CLOSE_TO_THE_END:
        step = _Step(denoise, x, t=t, width=min(width, end - t))
        low, high = step.second(1 / 3, step.eps_at_third), step.third()
        allowed = TOLERANCE * torch.maximum(low.abs(), previous.abs()).clamp(min=1.0)
        error = ((low - high) / allowed).square().mean().sqrt().item()
        factor = 1 + math.atan((error + LEAST_ERROR) ** (-1 / 3) - 1)
        if factor >= ACCEPTED:
            previous, x, t = low, high, t + step.width
            callback(index, x, step.denoised)
            index += 1
        width *= factor
    return x


@dataclass(frozen=True)
class _Step:
    """One step from `t` to `t + width`; what it evaluates, it keeps."""

    denoise: DenoiseFn
    x: Tensor
    t: float
    width: float

    @cached_property
    def denoised(self) -> Tensor:
        return self.denoise(self.x, math.exp(-self.t))

    @cached_property
    def eps(self) -> Tensor:
        return (self.x - self.denoised) / math.exp(-self.t)

    @cached_property
    def eps_at_third(self) -> Tensor:
        return self.eps_at(1 / 3, self.first(1 / 3))

    def eps_at(self, part: float, x: Tensor) -> Tensor:
        sigma = math.exp(-self.t - part * self.width)
        return (x - self.denoise(x, sigma)) / sigma

    def first(self, part: float) -> Tensor:
        """`part` of the step, of order one."""
        width = part * self.width
        return self.x - math.exp(-self.t - width) * math.expm1(width) * self.eps

    def second(self, part: float, eps_at_part: Tensor) -> Tensor:
        """The step, of order two, with one more noise prediction `part` of the way."""
        scale = math.exp(-self.t - self.width) * math.expm1(self.width) / (2 * part)
        return self.first(1.0) - scale * (eps_at_part - self.eps)

    def third(self) -> Tensor:
        """The step, of order three, with evaluations at one and two thirds of the way."""
        change = self.eps_at_third - self.eps
        inner = self.first(2 / 3) - 2 * self._bend(2 / 3) * change
        change = self.eps_at(2 / 3, inner) - self.eps
        return self.first(1.0) - self._bend(1.0) / (2 / 3) * change

    def of_order(self, order: int) -> Tensor:
        """The step, of order one, two (midpoint) or three."""
        methods: dict[int, Callable[[], Tensor]] = {
            1: lambda: self.first(1.0),
            2: lambda: self.second(1 / 2, self.eps_at(1 / 2, self.first(1 / 2))),
            3: self.third,
        }
        return methods[order]()

    def _bend(self, part: float) -> float:
        width = part * self.width
        return math.exp(-self.t - width) * (math.expm1(width) / width - 1)


def _orders(evaluations: int) -> list[int]:
    """Orders that add up to the number of evaluations."""
    threes, rest = divmod(evaluations, 3)
    if rest:
        return [3] * threes + [rest]
    return [3] * (threes - 1) + [2, 1]
