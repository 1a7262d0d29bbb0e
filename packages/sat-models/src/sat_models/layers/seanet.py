"""What SEANet encoders and decoders share (Tagliasacchi et al. 2020, 2009.02095).

Padding, residual blocks and LSTM are those of EnCodec (Défossez et al. 2022, 2210.13438), with the
names of the package encodec 0.1.1 (MIT licence).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_models.layers.spectral_norm import SpectralNormConv1d, SpectralNormConvTranspose1d
from sat_models.layers.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d

SEANetNorm = Literal[
    "none", "weight_norm", "spectral_norm", "time_layer_norm", "layer_norm", "time_group_norm"
]
"""Of weights: weight_norm, spectral_norm. Of results: layer_norm, over the channels at each time,
and time_group_norm, over channels and time. The others do nothing."""

PadMode = Literal["reflect", "constant", "replicate", "circular"]


@dataclass(frozen=True)
class SEANetStyle:
    """What all parts of a network have in common.

    Attributes:
        norm: What is normalised.
        norm_epsilon: Added to the variance by the norms of results.
        norm_affine: Whether the norms of results learn a gain and an offset.
        causal: Let convolutions see the past only.
        trim_right_ratio: Share of a transposed convolution's overhang that is cut at the right end;
            1 unless causal.
        pad_mode: What convolutions find beyond the ends. A reflection lets the first results of a
            causal network see a little of the future.
        make_activation: Makes an activation.
        num_residual: Residual blocks per stage.
        residual_kernel_size: Width of their dilated convolutions.
        dilation_base: Block `j` of a stage is dilated by the `j`-th power of this.
        compress: Residual blocks narrow their inner channels by this factor.
        true_skip: Join residual blocks by the identity in place of a convolution of 1 tap.
    """

    norm: SEANetNorm
    norm_epsilon: float
    norm_affine: bool
    causal: bool
    trim_right_ratio: float
    pad_mode: PadMode
    make_activation: Callable[[], nn.Module]
    num_residual: int
    residual_kernel_size: int
    dilation_base: int
    compress: int
    true_skip: bool

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ValueError: A causal network normalises over time, or another trims one end more.
        """
        if self.causal and self.norm == "time_group_norm":
            raise ValueError("time_group_norm looks at all times, so it cannot be causal")
        if not self.causal and self.trim_right_ratio != 1:
            raise ValueError(
                f"trim_right_ratio is {self.trim_right_ratio}, but without causal it must be 1"
            )

    def make_norm(self, channels: int) -> nn.Module:
        """The norm of a convolution's result, if there is one."""
        if self.norm == "layer_norm":
            return _ChannelNorm(channels, self.norm_epsilon, self.norm_affine)
        if self.norm == "time_group_norm":
            return nn.GroupNorm(1, channels, eps=self.norm_epsilon, affine=self.norm_affine)
        return nn.Identity()

    def residual_blocks(self, channels: int) -> list["SEANetResidualBlock"]:
        """The residual blocks of one stage."""
        return [
            SEANetResidualBlock(channels, dilation=self.dilation_base**index, style=self)
            for index in range(self.num_residual)
        ]


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels at each time; in encodec 0.1.1 it returns nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mT).mT


class SEANetConv(nn.Module):
    """A convolution that pads for itself, so that `t` samples become `t / stride`, rounded up."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int,
        dilation: int,
        style: SEANetStyle,
    ) -> None:
        super().__init__()
        conv = _make_conv(in_channels, out_channels, kernel_size, stride, dilation, style.norm)
        self.conv = nn.ModuleDict({"conv": conv, "norm": style.make_norm(out_channels)})
        self.stride = stride
        total = (kernel_size - 1) * dilation + 1 - stride
        self.pad_right = 0 if style.causal else total // 2
        self.pad_left = total - self.pad_right
        self.pad_mode = style.pad_mode

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Pad, convolve and normalise."""
        fill = -x.shape[-1] % self.stride
        padded = _pad(x, self.pad_left, self.pad_right + fill, self.pad_mode)
        result: Tensor = self.conv["norm"](self.conv["conv"](padded))
        return result


class SEANetConvTranspose(nn.Module):
    """A transposed convolution with a kernel of twice the stride: `t` samples become `t stride`."""

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, style: SEANetStyle
    ) -> None:
        super().__init__()
        conv = _make_conv_transpose(in_channels, out_channels, stride, style.norm)
        self.convtr = nn.ModuleDict({"convtr": conv, "norm": style.make_norm(out_channels)})
        self.stride = stride
        trim_right = stride // 2
        if style.causal:
            trim_right = math.ceil(stride * style.trim_right_ratio)
        self.trim_left = stride - trim_right

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Upsample, normalise and cut the overhang."""
        longer: Tensor = self.convtr["norm"](self.convtr["convtr"](x))
        return longer[..., self.trim_left : self.trim_left + x.shape[-1] * self.stride]


class SEANetResidualBlock(nn.Module):
    """Activation, dilated convolution, activation, convolution of 1 tap, plus a shortcut."""

    def __init__(self, channels: int, *, dilation: int, style: SEANetStyle) -> None:
        super().__init__()
        hidden = channels // style.compress

        def conv(before: int, after: int, kernel_size: int, dilation: int) -> SEANetConv:
            return SEANetConv(
                before, after, kernel_size=kernel_size, stride=1, dilation=dilation, style=style
            )

        self.block = nn.Sequential(
            style.make_activation(),
            conv(channels, hidden, style.residual_kernel_size, dilation),
            style.make_activation(),
            conv(hidden, channels, 1, 1),
        )
        self.shortcut = nn.Identity() if style.true_skip else conv(channels, channels, 1, 1)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Add the block's output to the shortcut's."""
        result: Tensor = self.shortcut(x) + self.block(x)
        return result


class SEANetLSTM(nn.Module):
    """A stack of LSTMs (Hochreiter and Schmidhuber 1997) over time, plus the input.

    `torch.compile` leaves it as it is: a graph cannot hold it.
    """

    def __init__(self, channels: int, *, num_layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, num_layers)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Run over the whole signal from a state of zeros."""
        steps = x.permute(2, 0, 1)
        result: Tensor = self.lstm(steps)[0] + steps
        return result.permute(1, 2, 0)


def _make_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int,
    dilation: int,
    norm: SEANetNorm,
) -> nn.Module:
    if norm == "weight_norm":
        return WeightNormConv1d(
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=0,
            dilation=dilation,
            bias=True,
        )
    if norm == "spectral_norm":
        return SpectralNormConv1d(
            in_channels, out_channels, kernel_size=kernel_size, stride=stride, dilation=dilation
        )
    return nn.Conv1d(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation)


def _make_conv_transpose(
    in_channels: int, out_channels: int, stride: int, norm: SEANetNorm
) -> nn.Module:
    if norm == "weight_norm":
        return WeightNormConvTranspose1d(
            in_channels, out_channels, kernel_size=2 * stride, stride=stride, padding=0
        )
    if norm == "spectral_norm":
        return SpectralNormConvTranspose1d(
            in_channels, out_channels, kernel_size=2 * stride, stride=stride
        )
    return nn.ConvTranspose1d(in_channels, out_channels, 2 * stride, stride=stride)


def _pad(x: Tensor, left: int, right: int, mode: PadMode) -> Tensor:
    """Pad in time; zeros stand in where a signal is too short for its reflection."""
    missing = max(left, right) - x.shape[-1] + 1
    if mode != "reflect" or missing <= 0:
        return functional.pad(x, (left, right), mode=mode)
    padded = functional.pad(functional.pad(x, (0, missing)), (left, right), mode=mode)
    return padded[..., :-missing]
