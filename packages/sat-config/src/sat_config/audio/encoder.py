"""Encoders: waveform to latents."""

from __future__ import annotations

import math
from typing import ClassVar

from sat_config.audio.seanet import SEANetConfig
from sat_config.audio.stages import (
    LocalAttentionConfig,
    Multipliers,
    StagedConfig,
    Strides,
    TAAEConfig,
    Widths,
)
from sat_config.node import Node, Positive
from sat_config.registry import family, member


@family("encoder")
class EncoderNode(Node, kw_only=True, tag_field="type"):
    """An encoder of an autoencoder.

    Attributes:
        requires_grad: Whether its weights are trained.
    """

    training_keys: ClassVar[tuple[str, ...]] = ("requires_grad",)

    in_key: ClassVar[str] = "in_channels"
    """The key of `config` that sets `in_channels`."""

    out_key: ClassVar[str] = "latent_dim"
    """The key of `config` that sets `out_channels`."""

    factors_key: ClassVar[str] = "strides"
    """The key of `config` that sets `factors`."""

    requires_grad: bool = True

    @property
    def factors(self) -> tuple[int, ...]:
        """Downsampling factor of each stage, the one next to the signal first."""
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


class OobleckEncoderConfig(StagedConfig, kw_only=True):
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

    weight_keys: ClassVar[tuple[str, ...]] = (
        "in_channels",
        "channels",
        "latent_dim",
        "c_mults",
        "strides",
        "use_snake",
        "antialias_activation",
    )

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
        return self.config.per_stage("strides")

    @property
    def in_channels(self) -> int:
        """Channels of the signal that comes in."""
        return self.config.in_channels

    @property
    def out_channels(self) -> int:
        """Channels that go out, to the bottleneck."""
        return self.config.latent_dim


class SEANetEncoderConfig(SEANetConfig, kw_only=True):
    """EnCodec's encoder.

    Attributes:
        ratios: Downsampling factor of each stage, the one next to the signal first. SAT turns
            the list around at every second model that it builds from the same file.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("ratios",)

    ratios: Strides = (2, 2, 2, 2, 2)


@member
class SEANetEncoderNode(EncoderNode, kw_only=True, tag="seanet"):
    """The encoder of EnCodec (Défossez et al. 2022, arXiv 2210.13438).

    Attributes:
        config: Its sizes.
    """

    in_key: ClassVar[str] = "channels"
    out_key: ClassVar[str] = "dimension"
    factors_key: ClassVar[str] = "ratios"

    config: SEANetEncoderConfig

    @property
    def factors(self) -> tuple[int, ...]:
        """The ratios, in the order written."""
        return self.config.ratios

    @property
    def in_channels(self) -> int:
        """Channels of the signal that comes in."""
        return self.config.channels

    @property
    def out_channels(self) -> int:
        """Channels that go out, to the bottleneck."""
        return self.config.dimension


class DACEncoderConfig(Node, kw_only=True):
    """The encoder of the Descript audio codec.

    Attributes:
        in_channels: Channels of the signal that comes in.
        d_model: Base width; it doubles with every stage.
        strides: Downsampling factor of each stage; their product is the hop length.
        latent_dim: Channels that go out, by a 1x1 convolution; left out, what the last stage has
            goes out as it is.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("in_channels", "d_model", "strides", "latent_dim")

    in_channels: Positive = 1
    d_model: Positive
    strides: Strides
    latent_dim: Positive | None = None


@member
class DACEncoderNode(EncoderNode, kw_only=True, tag="dac"):
    """The encoder of the Descript audio codec (Kumar et al. 2023, arXiv 2306.06546).

    Attributes:
        config: Its sizes.
    """

    config: DACEncoderConfig

    @property
    def factors(self) -> tuple[int, ...]:
        """The strides."""
        return self.config.strides

    @property
    def in_channels(self) -> int:
        """Channels of the signal that comes in."""
        return self.config.in_channels

    @property
    def out_channels(self) -> int:
        """`latent_dim`, or without it the width of the last stage."""
        return self.config.latent_dim or self.config.d_model * 2 ** len(self.config.strides)


class LocalAttnEncoderConfig(LocalAttentionConfig, kw_only=True):
    """An encoder of transformers with windowed attention.

    Attributes:
        embed_dims: Width of each stage, the one next to the signal first.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("embed_dims",)

    embed_dims: Widths = (96, 192, 384, 768)


@member
class LocalAttnEncoderNode(EncoderNode, kw_only=True, tag="local_attn"):
    """An encoder of transformers with windowed attention.

    Attributes:
        config: Its sizes.
    """

    out_key: ClassVar[str] = "out_channels"
    factors_key: ClassVar[str] = "ratios"

    config: LocalAttnEncoderConfig

    @property
    def factors(self) -> tuple[int, ...]:
        """The ratios that have a depth."""
        return self.config.per_stage("ratios")

    @property
    def in_channels(self) -> int:
        """Channels of the signal that comes in."""
        return self.config.in_channels

    @property
    def out_channels(self) -> int:
        """Channels that go out, to the bottleneck."""
        return self.config.out_channels


class TAAEEncoderConfig(TAAEConfig, kw_only=True):
    """The encoder of a transformer autoencoder.

    Attributes:
        in_channels: Channels of the signal that comes in.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("in_channels",)

    in_channels: Positive = 2


@member
class TAAEEncoderNode(EncoderNode, kw_only=True, tag="taae"):
    """The encoder of a transformer autoencoder (Parker et al. 2024, arXiv 2411.19842).

    Attributes:
        config: Its sizes.
    """

    config: TAAEEncoderConfig

    @property
    def factors(self) -> tuple[int, ...]:
        """The strides that have a width multiplier."""
        return self.config.per_stage("strides")

    @property
    def in_channels(self) -> int:
        """Channels of the signal that comes in."""
        return self.config.in_channels

    @property
    def out_channels(self) -> int:
        """Channels that go out, to the bottleneck."""
        return self.config.latent_dim
