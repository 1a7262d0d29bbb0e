"""What the convolutional encoder and decoder share: activations and residual units."""

import math

from jaxtyping import Float
from torch import Tensor, nn

from sat_models.layers.antialias import REACH as ANTIALIAS_REACH
from sat_models.layers.antialias import AntiAliased
from sat_models.layers.snake import Snake
from sat_models.layers.weight_norm import (
    WeightNormConv1d,
    WeightNormConvTranspose1d,
    same_length_conv,
)

DILATIONS = (1, 3, 9)
"""Dilations of the residual units of one stage."""

REACH = 3 * sum(DILATIONS)
"""Samples to each side that the residual units of one stage see, with kernels of 7 taps."""


def activation_reach(*, antialias: bool) -> int:
    """Samples to each side that what `make_activation` makes sees."""
    return ANTIALIAS_REACH if antialias else 0


def make_activation(channels: int, *, snake: bool, antialias: bool) -> nn.Module:
    """Snake or ELU, wrapped in an alias-free resampler on demand."""
    act = Snake(channels) if snake else nn.ELU()
    return AntiAliased(act) if antialias else act


def strided_conv(in_channels: int, out_channels: int, *, stride: int) -> WeightNormConv1d:
    """A convolution that shortens by `stride`, with a kernel of twice that."""
    return WeightNormConv1d(
        in_channels,
        out_channels,
        kernel_size=2 * stride,
        stride=stride,
        padding=math.ceil(stride / 2),
        dilation=1,
        bias=True,
    )


def strided_conv_transpose(
    in_channels: int, out_channels: int, *, stride: int
) -> WeightNormConvTranspose1d:
    """The counterpart of `strided_conv`; for odd strides its result is one sample short."""
    return WeightNormConvTranspose1d(
        in_channels,
        out_channels,
        kernel_size=2 * stride,
        stride=stride,
        padding=math.ceil(stride / 2),
    )


class ResidualUnit(nn.Module):
    """Activation, dilated convolution of 7 taps, activation, convolution of 1 tap, plus the input.

    SAT recomputes the unit in the backward pass while it trains; here its activations are kept,
    which costs memory and saves a second forward pass.
    """

    def __init__(self, channels: int, *, dilation: int, snake: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            make_activation(channels, snake=snake, antialias=False),
            same_length_conv(channels, channels, kernel_size=7, dilation=dilation, bias=True),
            make_activation(channels, snake=snake, antialias=False),
            same_length_conv(channels, channels, kernel_size=1, dilation=1, bias=True),
        )

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Add the unit's output to `x`."""
        branch: Tensor = self.layers(x)
        return branch.add_(x)  # the convolution's own result is not needed again


def residual_units(channels: int, *, snake: bool) -> list[ResidualUnit]:
    """The residual units of one stage, in order of their dilations."""
    return [ResidualUnit(channels, dilation=dilation, snake=snake) for dilation in DILATIONS]
