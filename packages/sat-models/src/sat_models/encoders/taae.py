"""The encoder of a transformer autoencoder (TAAE; Parker et al. 2024, 2411.19842)."""

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.encoder import TAAEEncoderNode
from sat_config.audio.stages import TAAEConfig
from sat_models.encoders.base import Encoder, build_encoder
from sat_models.layers.residual import strided_conv
from sat_models.layers.taae import TAAEStage, TAAEStyle, has_conv
from sat_models.layers.weight_norm import same_length_conv
from sat_models.layers.window import Window


class TAAEEncoder(Encoder):
    """Per stage, a convolution that shortens the signal and transformer layers.

    Deviation from SAT: attention is within the window everywhere, there only where flash-attn is
    installed.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        widths: Sequence[int],
        strides: Sequence[int],
        depths: Sequence[int],
        latent_dim: int,
        style: TAAEStyle,
    ) -> None:
        """Create the layers.

        Args:
            in_channels: Channels of the signal.
            widths: Channels before the first stage and after each stage; multiples of 128 above it.
            strides: Factor by which each stage shortens; one fewer than `widths`.
            depths: Transformer layers of each stage.
            latent_dim: Channels that go out.
            style: What all stages have in common.

        Raises:
            ValueError: A width does not divide into heads, or a stage of stride 1 changes it.
        """
        super().__init__()
        self.in_channels, self.latent_dim = in_channels, latent_dim
        self.hop_length = math.prod(strides)
        stages = [
            _stage(before, after, stride=stride, depth=depth, style=style)
            for (before, after), stride, depth in zip(
                pairwise(widths), strides, depths, strict=True
            )
        ]
        self.layers = nn.Sequential(
            same_length_conv(in_channels, widths[0], kernel_size=7, dilation=1, bias=True),
            *stages,
            style.activation(widths[-1]),
            same_length_conv(widths[-1], latent_dim, kernel_size=3, dilation=1, bias=True),
        )

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d l"]:
        """Encode a signal."""
        encoded: Tensor = self.layers(x)
        return encoded


def _stage(before: int, after: int, *, stride: int, depth: int, style: TAAEStyle) -> TAAEStage:
    conv = has_conv(before, after, stride=stride)
    return style.stage(
        *style.units(before),
        style.activation(before),
        strided_conv(before, after, stride=stride) if conv else nn.Identity(),
        style.transformer(after, depth=depth),
    )


def taae_style(config: TAAEConfig) -> TAAEStyle:
    """What an encoder's or decoder's configuration says about all its stages."""
    before, after = (None if reach < 0 else reach for reach in config.sliding_window)
    return TAAEStyle(
        snake=config.use_snake,
        dilated_units=config.use_dilated_conv,
        conformer=config.conformer,
        layer_scale=config.layer_scale,
        window=Window(before, after),
        recompute=config.checkpointing,
    )


@build_encoder.register
def _(node: TAAEEncoderNode) -> TAAEEncoder:
    config = node.config
    return TAAEEncoder(
        config.in_channels,
        widths=(config.widths[0], *config.widths),
        strides=config.per_stage("strides"),
        depths=config.per_stage("transformer_depths"),
        latent_dim=config.latent_dim,
        style=taae_style(config),
    )
