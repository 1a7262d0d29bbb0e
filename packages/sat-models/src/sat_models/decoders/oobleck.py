"""The Oobleck decoder of stable-audio-tools (Evans et al. 2024, 2402.04825)."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.decoder import OobleckDecoderNode
from sat_models.decoders.base import Decoder, build_decoder
from sat_models.layers.residual import (
    REACH,
    activation_reach,
    make_activation,
    residual_units,
    strided_conv_transpose,
)
from sat_models.layers.tiles import in_pieces
from sat_models.layers.weight_norm import WeightNormConv1d, same_length_conv

OUTER_TAPS = 7


class OobleckDecoder(Decoder):
    """Per stage, a transposed convolution that lengthens the signal and three residual units.

    Where `antialias` is set, the activation that opens each stage and the last one are wrapped, as
    in SAT.

    Deviation from SAT: an odd stride leaves its transposed convolution one sample short, and SAT's
    result stays short by the product of the strides that follow. Here all samples that SAT computes
    are the same, and zeros fill the signal up to `hop_length` per frame. The other way, letting the
    convolution compute the missing sample (output padding), changes what later layers see at the
    end: with strides 3 and 4 the last 42 samples came out different from SAT's.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        widths: Sequence[int],
        strides: Sequence[int],
        out_channels: int,
        snake: bool,
        antialias: bool,
        nearest: bool,
        final_tanh: bool,
    ) -> None:
        """Create the layers.

        Args:
            latent_dim: Channels of the latents.
            widths: Channels before the first stage and after each stage.
            strides: Factor by which each stage lengthens; one fewer than `widths`.
            out_channels: Channels of the signal.
            snake: Snake activations in place of ELU.
            antialias: Alias-free activations between the stages.
            nearest: Repeat frames and convolve in place of a transposed convolution.
            final_tanh: Limit the signal to (-1, 1).
        """
        super().__init__()
        self.latent_dim, self.out_channels = latent_dim, out_channels
        self.hop_length = math.prod(strides)
        stages = [
            _Stage(before, after, stride=stride, snake=snake, antialias=antialias, nearest=nearest)
            for before, after, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        ]
        self.last_width = widths[-1]
        self.last_reach = OUTER_TAPS // 2 + activation_reach(antialias=antialias)
        self.layers = nn.Sequential(
            same_length_conv(latent_dim, widths[0], kernel_size=OUTER_TAPS, dilation=1, bias=True),
            *stages,
            make_activation(widths[-1], snake=snake, antialias=antialias),
            same_length_conv(
                widths[-1], out_channels, kernel_size=OUTER_TAPS, dilation=1, bias=False
            ),
            nn.Tanh() if final_tanh else nn.Identity(),
        )

    def forward(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Decode latents."""
        samples = latents.shape[-1] * self.hop_length
        stages, last = self.layers[:-3], self.layers[-3:]
        signal = in_pieces(last, stages(latents), width=self.last_width, reach=self.last_reach)
        return functional.pad(signal, (0, samples - signal.shape[-1])).contiguous()


class _Stage(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        snake: bool,
        antialias: bool,
        nearest: bool,
    ) -> None:
        super().__init__()
        self.out_channels, self.stride = out_channels, stride
        self.reach = REACH + stride * activation_reach(antialias=antialias)
        upsample = _nearest_conv if nearest else strided_conv_transpose
        self.layers = nn.Sequential(
            make_activation(in_channels, snake=snake, antialias=antialias),
            upsample(in_channels, out_channels, stride=stride),
            *residual_units(out_channels, snake=snake),
        )

    def forward(self, x: Tensor) -> Tensor:
        return in_pieces(self.layers, x, width=self.out_channels, reach=self.reach, up=self.stride)


class _Repeat(nn.Module):
    """Repeat each frame, and add what a kernel of twice the stride needs to keep that length."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        repeated = x.repeat_interleave(self.stride, dim=-1)
        return functional.pad(repeated, (self.stride - 1, self.stride))


def _nearest_conv(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    conv = WeightNormConv1d(
        in_channels,
        out_channels,
        kernel_size=2 * stride,
        stride=1,
        padding=0,
        dilation=1,
        bias=False,
    )
    return nn.Sequential(_Repeat(stride), conv)


@build_decoder.register
def _(node: OobleckDecoderNode) -> OobleckDecoder:
    config = node.config
    return OobleckDecoder(
        config.latent_dim,
        widths=[config.channels * mult for mult in (1, *config.c_mults)][::-1],
        strides=node.factors[::-1],
        out_channels=config.out_channels,
        snake=config.use_snake,
        antialias=config.antialias_activation,
        nearest=config.use_nearest_upsample,
        final_tanh=config.final_tanh,
    )
