"""Encoders: waveform to latents."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

from sat_config.node import Node, Positive
from sat_config.registry import family, member

Multipliers = Annotated[tuple[Positive, ...], Meta(min_length=1)]
Strides = Annotated[tuple[Positive, ...], Meta(min_length=1)]


@family("encoder")
class EncoderNode(Node, kw_only=True, tag_field="type"):
    """An encoder of an autoencoder.

    Attributes:
        requires_grad: Whether its weights are trained.
    """

    requires_grad: bool = True

    @property
    def factors(self) -> tuple[int, ...]:
        """Downsampling factor of each stage."""
        raise NotImplementedError

    @property
    def in_channels(self) -> int:
        """Channels of the signal that comes in."""
        raise NotImplementedError

    @property
    def out_channels(self) -> int:
        """Channels that go out, to the bottleneck."""
        raise NotImplementedError

    @property
    def hop_length(self) -> int:
        """Samples per latent frame."""
        return math.prod(self.factors)


class OobleckEncoderConfig(Node, kw_only=True):
    """Convolutional encoder: a strided convolution and three dilated residual units per stage.

    Attributes:
        in_channels: Channels of the signal that comes in.
        channels: Base width; stage i is `c_mults[i]` times as wide.
        latent_dim: Channels that go out; twice the latent width before a VAE bottleneck.
        c_mults: Width multiplier of each stage.
        strides: Downsampling factor of each stage; their product is the hop length.
        use_snake: Snake activations in place of ELU; better on periodic signals, slower.
        antialias_activation: Wrap the last activation in an alias-free resampler.
    """

    in_channels: Positive = 2
    channels: Positive = 128
    latent_dim: Positive = 32
    c_mults: Multipliers = (1, 2, 4, 8)
    strides: Strides = (2, 4, 8, 8)
    use_snake: bool = False
    antialias_activation: bool = False


@member
class OobleckEncoderNode(EncoderNode, kw_only=True, tag="oobleck"):
    """The encoder of stable-audio-tools' own autoencoders.

    Attributes:
        config: Its sizes.
    """

    config: OobleckEncoderConfig

    @property
    def factors(self) -> tuple[int, ...]:
        """The strides that have a width multiplier."""
        return self.config.strides[: len(self.config.c_mults)]

    @property
    def in_channels(self) -> int:
        """Channels of the signal that comes in."""
        return self.config.in_channels

    @property
    def out_channels(self) -> int:
        """Channels that go out, to the bottleneck."""
        return self.config.latent_dim
