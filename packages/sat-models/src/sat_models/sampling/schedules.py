"""The times at which a sampler visits a signal on its way from noise (1) to clean (0)."""

import math

MAX_LOG_SNR = 2.0
MIN_LOG_SNR = -6.0


def linear_times(steps: int, *, t_max: float) -> list[float]:
    """`steps + 1` times from `t_max` to 0 at even distances."""
    return [t_max * (1 - index / steps) for index in range(steps + 1)]


def log_snr_times(steps: int, *, t_max: float) -> list[float]:
    """`steps + 1` times from `t_max` to 0, evenly spaced in log((1 - t) / t).

    The even grid runs from the ratio at `t_max` (-6 where that is 1) to 2; its first and last time
    are then replaced by `t_max` and 0, as SAT does.
    """
    start = MIN_LOG_SNR if t_max >= 1 else math.log((1 - t_max) / t_max + 1e-6)
    step = (MAX_LOG_SNR - start) / steps
    inner = [1 / (1 + math.exp(start + step * index)) for index in range(1, steps)]
    return [t_max, *inner, 0.0]
