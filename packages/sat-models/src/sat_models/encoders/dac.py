"""The encoder of the Descript audio codec (Kumar et al. 2023, 2306.06546)."""

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.encoder import DACEncoderNode
from sat_models.encoders.base import Encoder, build_encoder
from sat_models.layers.dac import DACStage, dac_residual_units
from sat_models.layers.residual import strided_conv
from sat_models.layers.snake import LinearSnake
from sat_models.layers.tiles import in_pieces
from sat_models.layers.weight_norm import same_length_conv

OUTER_TAPS = 7


class DACEncoder(Encoder):
    """Per stage, three dilated residual units and a convolution that shortens and widens by two.

    Names and numbers are those of descript-audio-codec 1.0.0 (MIT licence) inside SAT's wrapper.

    Deviation from SAT: a last stage of stride 1, which makes one frame too many there, has that
    frame cut off.
    """

    def __init__(
        self, in_channels: int, *, width: int, strides: Sequence[int], latent_dim: int | None
    ) -> None:
        """Create the layers.

        Args:
            in_channels: Channels of the signal.
            width: Channels before the first stage; each stage doubles them.
            strides: Factor by which each stage shortens.
            latent_dim: Channels that go out, by one more convolution; None leaves those of the last
                stage.
        """
        super().__init__()
        self.hop_length = math.prod(strides)
        widths = [width * 2**stage for stage in range(len(strides) + 1)]
        stages = [
            DACStage(
                *dac_residual_units(before),
                LinearSnake(before),
                strided_conv(before, after, stride=stride),
                width=before,
                down=stride,
            )
            for (before, after), stride in zip(pairwise(widths), strides, strict=True)
        ]
        self.encoder = _Layers(
            same_length_conv(in_channels, width, kernel_size=OUTER_TAPS, dilation=1, bias=True),
            *stages,
            LinearSnake(widths[-1]),
            same_length_conv(widths[-1], widths[-1], kernel_size=3, dilation=1, bias=True),
            first_width=width,
        )
        self.in_channels, self.latent_dim = in_channels, latent_dim or widths[-1]
        self.proj_out = nn.Conv1d(widths[-1], latent_dim, 1) if latent_dim else nn.Identity()

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d l"]:
        """Encode a signal."""
        frames = math.ceil(x.shape[-1] / self.hop_length)
        encoded: Tensor = self.proj_out(self.encoder(x))
        return encoded[..., :frames].contiguous()


class _Layers(nn.Module):
    def __init__(self, *layers: nn.Module, first_width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*layers)
        self.first_width = first_width

    def forward(self, x: Tensor) -> Tensor:
        first, rest = self.block[:1], self.block[1:]
        result: Tensor = rest(in_pieces(first, x, width=self.first_width, reach=OUTER_TAPS // 2))
        return result


@build_encoder.register
def _(node: DACEncoderNode) -> DACEncoder:
    config = node.config
    return DACEncoder(
        config.in_channels,
        width=config.d_model,
        strides=config.strides,
        latent_dim=config.latent_dim,
    )
