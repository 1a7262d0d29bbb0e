"""Decoders: latents to waveform."""

from __future__ import annotations

import math

from sat_config.audio.encoder import Multipliers, Strides
from sat_config.node import Node, Positive
from sat_config.registry import family, member


@family("decoder")
class DecoderNode(Node, kw_only=True, tag_field="type"):
    """A decoder of an autoencoder.

    Attributes:
        requires_grad: Whether its weights are trained.
        soft_clip: Pass the finished signal through tanh, after the inverse pretransform.
    """

    requires_grad: bool = True
    soft_clip: bool = False

    @property
    def factors(self) -> tuple[int, ...]:
        """Upsampling factor of each stage."""
        raise NotImplementedError

    @property
    def in_channels(self) -> int:
        """Channels of the latents that come in."""
        raise NotImplementedError

    @property
    def out_channels(self) -> int:
        """Channels of the signal that goes out."""
        raise NotImplementedError

    @property
    def hop_length(self) -> int:
        """Samples per latent frame."""
        return math.prod(self.factors)


class OobleckDecoderConfig(Node, kw_only=True):
    """Convolutional decoder, the mirror image of the Oobleck encoder.

    Attributes:
        out_channels: Channels of the signal that goes out.
        channels: Base width; stage i is `c_mults[i]` times as wide.
        latent_dim: Channels that come in.
        c_mults: Width multiplier of each stage, in the encoder's order.
        strides: Upsampling factor of each stage, in the encoder's order.
        use_snake: Snake activations in place of ELU.
        antialias_activation: Wrap the activation of each stage in an alias-free resampler.
        use_nearest_upsample: Repeat frames and convolve in place of a transposed convolution;
            avoids its checkerboard tones.
        final_tanh: Limit the output to (-1, 1).
    """

    out_channels: Positive = 2
    channels: Positive = 128
    latent_dim: Positive = 32
    c_mults: Multipliers = (1, 2, 4, 8)
    strides: Strides = (2, 4, 8, 8)
    use_snake: bool = False
    antialias_activation: bool = False
    use_nearest_upsample: bool = False
    final_tanh: bool = True


@member
class OobleckDecoderNode(DecoderNode, kw_only=True, tag="oobleck"):
    """The decoder of stable-audio-tools' own autoencoders.

    Attributes:
        config: Its sizes.
    """

    config: OobleckDecoderConfig

    @property
    def factors(self) -> tuple[int, ...]:
        """The strides that have a width multiplier."""
        return self.config.strides[: len(self.config.c_mults)]

    @property
    def in_channels(self) -> int:
        """Channels of the latents that come in."""
        return self.config.latent_dim

    @property
    def out_channels(self) -> int:
        """Channels of the signal that goes out."""
        return self.config.out_channels
