"""A filter with the ear's sensitivity, put before a loss (Wright and Välimäki 2019, 1911.08922)."""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

TAPS = 101
GRID = 512
CORNERS_HZ = (20.598997, 107.65265, 737.86223, 12194.217)
GAIN_DB = 1.9997
"""Brings the curve to 0 dB at 1 kHz."""

Array = npt.NDArray[np.float64]


class AWeighting(nn.Module):
    """A-weighting of IEC 61672 as a linear-phase filter of 101 taps; the length stays.

    Args:
        sample_rate: Hz of the signals.
    """

    taps: Tensor

    def __init__(self, *, sample_rate: int) -> None:
        super().__init__()
        self.register_buffer("taps", a_weighting_taps(sample_rate), persistent=False)

    def forward(self, signals: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Filter every channel for itself, with zeros beyond the ends."""
        filtered = functional.conv1d(
            signals.flatten(0, 1)[:, None], self.taps.to(signals.dtype)[None, None], padding="same"
        )
        return filtered.view_as(signals)


def a_weighting_taps(sample_rate: int) -> Float[Tensor, " k"]:
    """The filter whose response comes nearest to A-weighting, in the sense of least squares.

    The standard's analogue curve is warped by the bilinear transform and sampled at 512
    frequencies. Samples are taken in pairs, with a straight line between the two; between pairs the
    response is free. That is how auraloss uses `scipy.signal.firls`, whose taps these equal.
    """
    shares = np.arange(GRID) / GRID  # of the Nyquist frequency
    warped = 2j * sample_rate * np.tan(np.pi / 2 * shares)
    f1, f2, f3, f4 = (2 * np.pi * corner for corner in CORNERS_HZ)
    curve = f4**2 * 10 ** (GAIN_DB / 20) * warped**4
    curve = curve / (warped + f4) ** 2 / (warped + f1) ** 2 / (warped + f3) / (warped + f2)
    taps = _least_squares_fir(shares.reshape(-1, 2), np.abs(curve).reshape(-1, 2))
    return torch.from_numpy(taps).float()


def _least_squares_fir(bands: Array, wanted: Array) -> Array:
    """Taps of the symmetric filter nearest to straight lines over bands.

    The response is a sum of cosines, a(0) + a(1) cos(pi f) + ..., and the normal equations of its
    weights have integrals over the bands on both sides.

    Args:
        bands: First and last frequency of each band, in shares of the Nyquist frequency.
        wanted: The response there.
    """
    order = np.arange(TAPS // 2 + 1)
    cosines = np.diff(bands * np.sinc(np.arange(TAPS)[:, None, None] * bands)).sum((1, 2))
    matrix = cosines[abs(order[:, None] - order)] + cosines[order[:, None] + order]
    slope = np.diff(wanted) / np.diff(bands)
    n = order[1:, None, None]
    waves = wanted * np.sin(np.pi * n * bands) / (np.pi * n)
    waves += slope * np.cos(np.pi * n * bands) / (np.pi * n) ** 2
    area = np.mean(wanted, axis=1, keepdims=True) * np.diff(bands)
    target = np.concatenate([[area.sum()], np.diff(waves).sum((1, 2))])
    weights = np.linalg.solve(matrix, target)  # halves of a, and a(0) / 2
    return np.concatenate([weights[:0:-1], 2 * weights[:1], weights[1:]])
