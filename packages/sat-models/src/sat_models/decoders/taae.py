"""The decoder of a transformer autoencoder (TAAE; Parker et al. 2024, 2411.19842)."""

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.decoder import TAAEDecoderNode
from sat_models.decoders.base import Decoder, build_decoder
from sat_models.encoders.taae import taae_style
from sat_models.layers.residual import strided_conv_transpose
from sat_models.layers.taae import TAAEStage, TAAEStyle, has_conv
from sat_models.layers.weight_norm import same_length_conv


class TAAEDecoder(Decoder):
    """Per stage, transformer layers and a transposed convolution that lengthens the signal.

    Deviations from SAT: attention is within the window everywhere, there only where flash-attn is
    installed. The snake in front of a transposed convolution has as many channels as it sees; in
    SAT it has those of the convolution's output, and the decoder fails where the two differ. An odd
    stride leaves its transposed convolution one sample short; all samples that SAT computes are the
    same here, and zeros fill the signal up to `hop_length` per frame.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        widths: Sequence[int],
        strides: Sequence[int],
        depths: Sequence[int],
        out_channels: int,
        style: TAAEStyle,
    ) -> None:
        """Create the layers.

        Args:
            latent_dim: Channels of the latents.
            widths: Channels before the first stage and after each stage; multiples of 128 above it.
            strides: Factor by which each stage lengthens; one fewer than `widths`.
            depths: Transformer layers of each stage.
            out_channels: Channels of the signal.
            style: What all stages have in common.

        Raises:
            ValueError: A width does not divide into heads, or a stage of stride 1 changes it.
        """
        super().__init__()
        self.latent_dim, self.out_channels = latent_dim, out_channels
        self.hop_length = math.prod(strides)
        stages = [
            _stage(before, after, stride=stride, depth=depth, style=style)
            for (before, after), stride, depth in zip(
                pairwise(widths), strides, depths, strict=True
            )
        ]
        self.layers = nn.Sequential(
            same_length_conv(latent_dim, widths[0], kernel_size=3, dilation=1, bias=True),
            *stages,
            style.activation(widths[-1]),
            same_length_conv(widths[-1], out_channels, kernel_size=7, dilation=1, bias=False),
        )

    def forward(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Decode latents."""
        samples = latents.shape[-1] * self.hop_length
        signal: Tensor = self.layers(latents)
        return functional.pad(signal, (0, samples - signal.shape[-1]))


def _stage(before: int, after: int, *, stride: int, depth: int, style: TAAEStyle) -> TAAEStage:
    conv = has_conv(before, after, stride=stride)
    return style.stage(
        style.transformer(before, depth=depth),
        style.activation(before),
        strided_conv_transpose(before, after, stride=stride) if conv else nn.Identity(),
        *style.units(after),
    )


@build_decoder.register
def _(node: TAAEDecoderNode) -> TAAEDecoder:
    config = node.config
    return TAAEDecoder(
        config.latent_dim,
        widths=(*config.widths[::-1], config.widths[0]),
        strides=config.per_stage("strides")[::-1],
        depths=config.per_stage("transformer_depths")[::-1],
        out_channels=config.out_channels,
        style=taae_style(config),
    )
