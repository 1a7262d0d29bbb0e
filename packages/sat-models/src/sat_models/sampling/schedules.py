"""Where a sampler stops on its way from noise to a clean signal.

Two ways to count noise: times in [0, 1], 1 for noise alone, which is what networks are told; and
standard deviations of the noise beside a signal of full strength ("sigmas", Karras et al. 2022,
2206.00364), which the solvers of that family use.
"""

import math
from typing import Protocol, runtime_checkable

from sat_models.models.timesteps import DistributionShift

MAX_LOG_SNR = 2.0
MIN_LOG_SNR = -6.0


@runtime_checkable
class Schedule(Protocol):
    """A rule for the times of a sampler."""

    def __call__(self, steps: int, *, t_max: float) -> list[float]:
        """`steps + 1` times that fall from `t_max` to 0."""


def linear_times(steps: int, *, t_max: float) -> list[float]:
    """`steps + 1` times from `t_max` to 0 at even distances."""
    return [t_max * (1 - index / steps) for index in range(steps + 1)]


def log_snr_times(steps: int, *, t_max: float) -> list[float]:
    """`steps + 1` times from `t_max` to 0, evenly spaced in log((1 - t) / t).

    The even grid runs from the ratio at `t_max` (-6 where that is 1) to 2; its first and last time
    are then replaced by `t_max` and 0, as SAT does. Deviation from SAT: a `t_max` below 0.12 has a
    ratio above 2 to begin with, from where SAT's times rise; here they fall at even distances.
    """
    start = MIN_LOG_SNR if t_max >= 1 else math.log((1 - t_max) / t_max + 1e-6)
    if start >= MAX_LOG_SNR:
        return linear_times(steps, t_max=t_max)
    step = (MAX_LOG_SNR - start) / steps
    inner = [1 / (1 + math.exp(start + step * index)) for index in range(1, steps)]
    return [t_max, *inner, 0.0]


def shifted_times(shift: DistributionShift, *, frames: int) -> Schedule:
    """A schedule of even distances before the shift that a model was trained with.

    Deviations from SAT: there, only demos shift, `sample_rf` does not; and a start below 1 is
    shifted too, so that it no longer fits the noise that is in the signal. Here `t_max` is the time
    after the shift. From 1 on, the times are those of SAT's demos.

    Args:
        shift: The model's shift.
        frames: Length of the signal.
    """

    def times(steps: int, *, t_max: float) -> list[float]:
        start = shift.inverse(t_max, frames=frames)
        inner = linear_times(steps, t_max=start)[1:]
        return [t_max, *(shift.at(t, frames=frames) for t in inner)]

    return times


def polyexponential_sigmas(
    steps: int, *, sigma_min: float, sigma_max: float, rho: float
) -> list[float]:
    """`steps` standard deviations from `sigma_max` to `sigma_min`, then 0.

    Args:
        steps: How many.
        sigma_min: The last before 0.
        sigma_max: The first. With one step, the only one.
        rho: Power of the even grid that spaces their logarithms; 1 spaces them evenly, more spends
            more steps on little noise.
    """
    low, high = math.log(sigma_min), math.log(sigma_max)
    ramp = [1 - index / max(steps - 1, 1) for index in range(steps)]
    return [*(math.exp(low + place**rho * (high - low)) for place in ramp), 0.0]
