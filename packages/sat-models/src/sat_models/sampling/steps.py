"""What samplers share: progress, and the multistep solver that serves both ways to count noise."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

Callback = Callable[[int, Tensor, Tensor], None]
"""Called after each step, with its number from 0, the new state and the step's denoised signal."""

DenoiseFn = Callable[[Tensor, float], Tensor]
"""A noisy signal, and how noisy it is, to the network's idea of the clean one."""


def ignore(step: int, x: Tensor, denoised: Tensor) -> None:
    """The callback of nobody."""


def times_of(x: Tensor, t: float) -> Tensor:
    """One time per item, in float32 at least: half precision cannot tell neighbouring steps."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return torch.full((x.shape[0],), t, dtype=dtype, device=x.device)


@dataclass(frozen=True)
class Level:
    """A state on the way: this much of the signal, and this much noise.

    Attributes:
        signal: Factor of the clean signal.
        noise: Standard deviation of the noise.
    """

    signal: float
    noise: float

    @property
    def log_ratio(self) -> float:
        """The logarithm of signal over noise; infinite where one of them is missing."""
        if self.noise == 0:
            return math.inf
        return -math.inf if self.signal == 0 else math.log(self.signal / self.noise)


def multistep_2m(
    denoise: DenoiseFn, x: Tensor, *, levels: Sequence[Level], callback: Callback
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, 2211.01095, algorithm 2).

    Of order two in the log ratio of signal to noise; the first step, the last one to no noise, and
    one after a start without any signal are of order one.

    Args:
        denoise: The network as a denoiser; it is given the level's noise.
        x: The state at the first level.
        levels: From much noise to little.
        callback: Called after each step.
    """
    denoised_before, width_before = None, math.inf
    for step, (now, after) in enumerate(pairwise(levels)):
        denoised = target = denoise(x, now.noise)
        width = after.log_ratio - now.log_ratio
        if denoised_before is not None and after.noise > 0:
            target = denoised + width / (2 * width_before) * (denoised - denoised_before)
        x = (after.noise / now.noise) * x - (after.signal * math.expm1(-width)) * target
        callback(step, x, denoised)
        denoised_before, width_before = denoised, width
    return x
