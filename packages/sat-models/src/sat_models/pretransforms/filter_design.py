"""Design of the filters of a pseudo QMF bank.

The prototype is a low-pass of Kaiser's window whose cut-off makes it as good as possible at adding
up to one with its own copies (Lin and Vaidyanathan 1998). The search is Nelder and Mead's with
SciPy's constants and tolerances, because it ends before the exact optimum, and weights have been
trained with what it finds.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

_TOLERANCE = 1e-4
_ROUNDS = 200
_LEAST_ATTENUATION = 8.0


def prototype_filter(*, num_bands: int, attenuation: float) -> Float[Tensor, " k"]:
    """The low-pass that all bands' filters are made of; its length is odd.

    Args:
        num_bands: Bands.
        attenuation: Of other bands, in dB; above 8.

    Raises:
        ValueError: Kaiser's formulas do not hold for so little attenuation.
    """
    if attenuation <= _LEAST_ATTENUATION:
        raise ValueError(f"attenuation must be above {_LEAST_ATTENUATION} dB, got {attenuation}")

    def flaw(cutoff: float) -> float:
        return _flaw(_lowpass(cutoff, attenuation=attenuation), num_bands=num_bands)

    cutoff = _minimise(flaw, start=1 / num_bands)
    return torch.from_numpy(_lowpass(cutoff, attenuation=attenuation)).float()


def modulate(prototype: Float[Tensor, " k"], *, num_bands: int) -> Float[Tensor, "d k"]:
    """Copies of a low-pass, shifted to the middle of each band."""
    bands = torch.arange(num_bands)[:, None]
    times = torch.arange(len(prototype)) - len(prototype) // 2
    phases = (1 - 2 * (bands % 2)) * (math.pi / 4)
    angles = (2 * bands + 1) * (math.pi / (2 * num_bands)) * times + phases
    return 2 * prototype * angles.cos()


def _lowpass(cutoff: float, *, attenuation: float) -> NDArray[np.float64]:
    """Kaiser's low-pass of a cut-off in radians per sample, whose transition is as wide."""
    width = cutoff / math.pi
    length = math.ceil((attenuation - 7.95) / (2.285 * math.pi * width) + 1)
    length = 2 * (length // 2) + 1
    times = np.arange(length) - length // 2
    lowpass: NDArray[np.float64] = width * np.sinc(width * times)
    return lowpass * np.kaiser(length, _kaiser_beta(attenuation))


def _kaiser_beta(attenuation: float) -> float:
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * math.pow(attenuation - 21, 0.4) + 0.07886 * (attenuation - 21)
    return 0.0


def _flaw(lowpass: NDArray[np.float64], *, num_bands: int) -> float:
    """The greatest correlation of a filter with itself, shifted by multiples of two frames."""
    shifts = range(2 * num_bands, len(lowpass), 2 * num_bands)
    return max((abs(float(lowpass[s:] @ lowpass[:-s])) for s in shifts), default=math.inf)


def _minimise(function: Callable[[float], float], *, start: float) -> float:
    """Nelder and Mead's search in one dimension, from `start` and a point a twentieth above."""
    points = [(function(x), x) for x in (start, 1.05 * start)]
    for _ in range(_ROUNDS):
        points.sort(key=lambda point: point[0])
        (best_value, best), (worst_value, worst) = points
        if abs(worst - best) <= _TOLERANCE and abs(worst_value - best_value) <= _TOLERANCE:
            break
        points[1] = _step(function, points[0], points[1])
    return min(points)[1]


def _step(
    function: Callable[[float], float], best: tuple[float, float], worst: tuple[float, float]
) -> tuple[float, float]:
    """The point that takes the place of the worse one."""

    def at(share: float) -> tuple[float, float]:
        """A point on the line from the best one to the worse one."""
        x = best[1] + share * (worst[1] - best[1])
        return function(x), x

    mirrored = at(-1.0)
    if mirrored[0] < best[0]:
        beyond = at(-2.0)
        return beyond if beyond[0] < mirrored[0] else mirrored
    nearer = at(-0.5) if mirrored[0] < worst[0] else at(0.5)
    limit = mirrored[0] if mirrored[0] < worst[0] else worst[0]
    return nearer if nearer[0] <= limit else at(0.5)
