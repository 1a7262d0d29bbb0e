"""The decoder of the Descript audio codec (Kumar et al. 2023, 2306.06546)."""

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.decoder import DACDecoderNode
from sat_models.decoders.base import Decoder, build_decoder
from sat_models.layers.dac import DACStage, dac_residual_units
from sat_models.layers.residual import strided_conv_transpose
from sat_models.layers.snake import LinearSnake
from sat_models.layers.tiles import in_pieces
from sat_models.layers.weight_norm import same_length_conv

OUTER_TAPS = 7


class DACDecoder(Decoder):
    """Per stage, a transposed convolution that lengthens and narrows by two, and residual units.

    Names and numbers are those of descript-audio-codec 1.0.0 (MIT licence) inside SAT's wrapper.

    Deviation from SAT: an odd stride leaves its transposed convolution one sample short. All
    samples that SAT computes are the same here, and zeros fill the signal up to `hop_length` per
    frame.
    """

    def __init__(
        self, latent_dim: int, *, width: int, strides: Sequence[int], out_channels: int
    ) -> None:
        """Create the layers.

        Args:
            latent_dim: Channels of the latents.
            width: Channels before the first stage; each stage halves them, rounding down.
            strides: Factor by which each stage lengthens, the one next to the latents first.
            out_channels: Channels of the signal, which is limited to (-1, 1).
        """
        super().__init__()
        self.latent_dim, self.out_channels = latent_dim, out_channels
        self.hop_length = math.prod(strides)
        widths = [width // 2**stage for stage in range(len(strides) + 1)]
        stages = [
            DACStage(
                LinearSnake(before),
                strided_conv_transpose(before, after, stride=stride),
                *dac_residual_units(after),
                width=after,
                up=stride,
            )
            for (before, after), stride in zip(pairwise(widths), strides, strict=True)
        ]
        self.decoder = _Model(
            same_length_conv(latent_dim, width, kernel_size=OUTER_TAPS, dilation=1, bias=True),
            *stages,
            LinearSnake(widths[-1]),
            same_length_conv(
                widths[-1], out_channels, kernel_size=OUTER_TAPS, dilation=1, bias=True
            ),
            nn.Tanh(),
            last_width=widths[-1],
        )

    def forward(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Decode latents."""
        samples = latents.shape[-1] * self.hop_length
        signal: Tensor = self.decoder(latents)
        return functional.pad(signal, (0, samples - signal.shape[-1])).contiguous()


class _Model(nn.Module):
    def __init__(self, *layers: nn.Module, last_width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.last_width = last_width

    def forward(self, x: Tensor) -> Tensor:
        stages, last = self.model[:-3], self.model[-3:]
        return in_pieces(last, stages(x), width=self.last_width, reach=OUTER_TAPS // 2)


@build_decoder.register
def _(node: DACDecoderNode) -> DACDecoder:
    config = node.config
    return DACDecoder(
        config.latent_dim,
        width=config.channels,
        strides=config.rates,
        out_channels=config.out_channels,
    )
