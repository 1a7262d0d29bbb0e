"""Alias-free activations (Karras et al. 2021, 2106.12423): activate at twice the sample rate."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

TAPS = 12
RATIO = 2
REACH = TAPS
"""Samples to each side that a result sees, at the most: half a filter up and half a filter down."""


class AntiAliased(nn.Module):
    """Upsample by two, activate, low-pass and downsample by two.

    The overtones that a nonlinearity adds above the Nyquist frequency are removed instead of folded
    back. Filters are windowed sincs of 12 taps; beyond its ends the signal is held. Their names in
    the state dict are those of the package alias-free-torch, which stable-audio-tools uses.
    """

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.act = act
        self.upsample = _Upsample()
        self.downsample = _Downsample()

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Apply the wrapped activation; the length stays."""
        result: Tensor = self.downsample(self.act(self.upsample(x)))
        return result


class _Upsample(nn.Module):
    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", lowpass_kernel())

    def forward(self, x: Tensor) -> Tensor:
        channels, edge = x.shape[1], TAPS // RATIO - 1
        held = functional.pad(x, (edge, edge), mode="replicate")
        kernel = (RATIO * self.filter).expand(channels, -1, -1)
        doubled = functional.conv_transpose1d(held, kernel, stride=RATIO, groups=channels)
        trim = edge * RATIO + (TAPS - RATIO) // 2
        return doubled[..., trim:-trim]


class _Downsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lowpass = _LowPass()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.lowpass(x)
        return result


class _LowPass(nn.Module):
    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", lowpass_kernel())

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        held = functional.pad(x, (TAPS // 2 - 1, TAPS // 2), mode="replicate")
        kernel = self.filter.expand(channels, -1, -1)
        return functional.conv1d(held, kernel, stride=RATIO, groups=channels)


def lowpass_kernel() -> Float[Tensor, "1 1 k"]:
    """The half-band filter: a sinc under a Kaiser window, with unit gain at 0 Hz.

    The window's shape follows Kaiser's formulas for the attenuation that 12 taps reach with a
    transition of 0.6 times the sample rate of the slower side.
    """
    cutoff, half_width = 0.5 / RATIO, 0.6 / RATIO
    attenuation_db = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * half_width + 7.95
    beta = 0.1102 * (attenuation_db - 8.7)  # the formula for more than 50 dB; here 51.0 dB
    window = torch.kaiser_window(TAPS, periodic=False, beta=beta)
    time = torch.arange(TAPS) - (TAPS - 1) / 2
    kernel = window * torch.sinc(2 * cutoff * time)
    return (kernel / kernel.sum()).view(1, 1, TAPS)
