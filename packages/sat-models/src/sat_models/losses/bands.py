"""Filter banks that sum the bins of a spectrum into bands."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

LINEAR_HZ_PER_MEL = 200 / 3
LOG_FROM_HZ = 1000.0
LOG_STEP = math.log(6.4) / 27


def mel_bands(*, sample_rate: int, fft_size: int, num_bands: int) -> Float[Tensor, "m f"]:
    """Triangles that overlap by half, evenly spaced on the mel scale from 0 Hz to Nyquist.

    The scale is that of Slaney's Auditory Toolbox (1998): linear below 1 kHz, logarithmic above;
    every triangle has the same area. These are the defaults of librosa's `filters.mel`.

    Args:
        sample_rate: Hz.
        fft_size: Samples per transform; there are `fft_size // 2 + 1` bins.
        num_bands: How many bands; a band narrower than a bin may be empty.
    """
    bins = torch.linspace(0, sample_rate / 2, fft_size // 2 + 1, dtype=torch.float64)
    top = _mel(sample_rate / 2)
    edges = torch.tensor([_hertz(top * i / (num_bands + 1)) for i in range(num_bands + 2)])
    edges = edges.double()[:, None]  # m 1
    low, center, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (center - low), (high - bins) / (high - center)
    triangles = torch.minimum(rising, falling).clamp(min=0) * 2 / (high - low)
    return triangles.float()


def _mel(hertz: float) -> float:
    if hertz < LOG_FROM_HZ:
        return hertz / LINEAR_HZ_PER_MEL
    return LOG_FROM_HZ / LINEAR_HZ_PER_MEL + math.log(hertz / LOG_FROM_HZ) / LOG_STEP


def _hertz(mel: float) -> float:
    turn = LOG_FROM_HZ / LINEAR_HZ_PER_MEL
    if mel < turn:
        return mel * LINEAR_HZ_PER_MEL
    return LOG_FROM_HZ * math.exp(LOG_STEP * (mel - turn))
