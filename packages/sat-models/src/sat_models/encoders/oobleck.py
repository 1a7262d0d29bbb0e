"""The Oobleck encoder of stable-audio-tools (Evans et al. 2024, 2402.04825)."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.encoder import OobleckEncoderNode
from sat_models.encoders.base import Encoder, build_encoder
from sat_models.layers.residual import REACH, make_activation, residual_units, strided_conv
from sat_models.layers.tiles import in_pieces
from sat_models.layers.weight_norm import same_length_conv

OUTER_TAPS = 7


class OobleckEncoder(Encoder):
    """Per stage, three dilated residual units and a convolution that shortens the signal.

    Where `antialias` is set, the activation after the last stage alone is wrapped, as in SAT.

    Deviation from SAT: a last stage of stride 1, which makes one frame too many there, has that
    frame cut off.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        widths: Sequence[int],
        strides: Sequence[int],
        latent_dim: int,
        snake: bool,
        antialias: bool,
    ) -> None:
        """Create the layers.

        Args:
            in_channels: Channels of the signal.
            widths: Channels before the first stage and after each stage.
            strides: Factor by which each stage shortens; one fewer than `widths`.
            latent_dim: Channels that go out.
            snake: Snake activations in place of ELU.
            antialias: Alias-free last activation.
        """
        super().__init__()
        self.in_channels, self.latent_dim = in_channels, latent_dim
        self.hop_length, self.width = math.prod(strides), widths[0]
        stages = [
            _Stage(before, after, stride=stride, snake=snake)
            for before, after, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        ]
        self.layers = nn.Sequential(
            same_length_conv(in_channels, widths[0], kernel_size=OUTER_TAPS, dilation=1, bias=True),
            *stages,
            make_activation(widths[-1], snake=snake, antialias=antialias),
            same_length_conv(widths[-1], latent_dim, kernel_size=3, dilation=1, bias=True),
        )

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d l"]:
        """Encode a signal."""
        frames = math.ceil(x.shape[-1] / self.hop_length)
        first = in_pieces(self.layers[:1], x, width=self.width, reach=OUTER_TAPS // 2)
        encoded: Tensor = self.layers[1:](first)
        return encoded[..., :frames].contiguous()


class _Stage(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *, stride: int, snake: bool) -> None:
        super().__init__()
        self.in_channels, self.stride = in_channels, stride
        self.layers = nn.Sequential(
            *residual_units(in_channels, snake=snake),
            make_activation(in_channels, snake=snake, antialias=False),
            strided_conv(in_channels, out_channels, stride=stride),
        )

    def forward(self, x: Tensor) -> Tensor:
        return in_pieces(self.layers, x, width=self.in_channels, reach=REACH, down=self.stride)


@build_encoder.register
def _(node: OobleckEncoderNode) -> OobleckEncoder:
    config = node.config
    return OobleckEncoder(
        config.in_channels,
        widths=[config.channels * mult for mult in (1, *config.c_mults)],
        strides=node.factors,
        latent_dim=config.latent_dim,
        snake=config.use_snake,
        antialias=config.antialias_activation,
    )
