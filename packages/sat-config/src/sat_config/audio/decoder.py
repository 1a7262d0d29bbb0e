"""Decoders: latents to waveform."""

from __future__ import annotations

import math
from typing import ClassVar

from sat_config.audio.seanet import Activation, ActivationParams, SEANetConfig
from sat_config.audio.stages import (
    LocalAttentionConfig,
    Multipliers,
    StagedConfig,
    Strides,
    TAAEConfig,
    Widths,
)
from sat_config.node import Node, Positive, Probability
from sat_config.registry import family, member


@family("decoder")
class DecoderNode(Node, kw_only=True, tag_field="type"):
    """A decoder of an autoencoder.

    Attributes:
        requires_grad: Whether its weights are trained.
        soft_clip: Pass the finished signal through tanh, after the inverse pretransform.
    """

    training_keys: ClassVar[tuple[str, ...]] = ("requires_grad",)

    in_key: ClassVar[str] = "latent_dim"
    """The key of `config` that sets `in_channels`."""

    out_key: ClassVar[str] = "out_channels"
    """The key of `config` that sets `out_channels`."""

    factors_key: ClassVar[str] = "strides"
    """The key of `config` that sets `factors`."""

    latents_first: ClassVar[bool] = False
    """Whether files list the factors from the latents to the signal."""

    requires_grad: bool = True
    soft_clip: bool = False

    @property
    def factors(self) -> tuple[int, ...]:
        """Upsampling factor of each stage in the encoder's order: next to the signal first."""
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

    @property
    def short_stages(self) -> tuple[int, ...]:
        """Factors of the stages whose output is a sample short in stable-audio-tools."""
        return ()

    def written(self, factors: tuple[int, ...]) -> str:
        """Factors of the encoder as a file lists them for this decoder."""
        return str([*(reversed(factors) if self.latents_first else factors)])


def _odd(factors: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(factor for factor in factors if factor % 2 and factor > 1)


class OobleckDecoderConfig(StagedConfig, kw_only=True):
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

    weight_keys: ClassVar[tuple[str, ...]] = (
        "out_channels",
        "channels",
        "latent_dim",
        "c_mults",
        "strides",
        "use_snake",
        "antialias_activation",
        "use_nearest_upsample",
    )

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
        return self.config.per_stage("strides")

    @property
    def in_channels(self) -> int:
        """Channels of the latents that come in."""
        return self.config.latent_dim

    @property
    def out_channels(self) -> int:
        """Channels of the signal that goes out."""
        return self.config.out_channels

    @property
    def short_stages(self) -> tuple[int, ...]:
        """The odd strides, unless frames are repeated."""
        return () if self.config.use_nearest_upsample else _odd(self.factors)


class SEANetDecoderConfig(SEANetConfig, kw_only=True):
    """EnCodec's decoder.

    Attributes:
        ratios: Upsampling factor of each stage, the one next to the latents first: the encoder's
            list turned around.
        final_activation: Class of an activation at the very end; none if left out.
        final_activation_params: Its parameters.
        trim_right_ratio: Share of a transposed convolution's overhang that is cut at the right
            end; anything but 1 needs `causal`.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("ratios", "final_activation")

    ratios: Strides = (8, 5, 4, 2)
    final_activation: Activation | None = None
    final_activation_params: ActivationParams | None = None
    trim_right_ratio: Probability = 1.0


@member
class SEANetDecoderNode(DecoderNode, kw_only=True, tag="seanet"):
    """The decoder of EnCodec (Défossez et al. 2022, arXiv 2210.13438).

    Attributes:
        config: Its sizes.
    """

    in_key: ClassVar[str] = "dimension"
    out_key: ClassVar[str] = "channels"
    factors_key: ClassVar[str] = "ratios"
    latents_first: ClassVar[bool] = True

    config: SEANetDecoderConfig

    @property
    def factors(self) -> tuple[int, ...]:
        """The ratios, turned around."""
        return self.config.ratios[::-1]

    @property
    def in_channels(self) -> int:
        """Channels of the latents that come in."""
        return self.config.dimension

    @property
    def out_channels(self) -> int:
        """Channels of the signal that goes out."""
        return self.config.channels


class DACDecoderConfig(Node, kw_only=True):
    """The decoder of the Descript audio codec.

    Attributes:
        latent_dim: Channels that come in.
        out_channels: Channels of the signal that goes out, limited to (-1, 1) by tanh.
        channels: Width next to the latents; it halves with every stage.
        rates: Upsampling factor of each stage, the one next to the latents first: the encoder's
            strides turned around.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("latent_dim", "out_channels", "channels", "rates")

    latent_dim: Positive
    out_channels: Positive = 1
    channels: Positive
    rates: Strides


@member
class DACDecoderNode(DecoderNode, kw_only=True, tag="dac"):
    """The decoder of the Descript audio codec (Kumar et al. 2023, arXiv 2306.06546).

    Attributes:
        config: Its sizes.
    """

    factors_key: ClassVar[str] = "rates"
    latents_first: ClassVar[bool] = True

    config: DACDecoderConfig

    @property
    def factors(self) -> tuple[int, ...]:
        """The rates, turned around."""
        return self.config.rates[::-1]

    @property
    def in_channels(self) -> int:
        """Channels of the latents that come in."""
        return self.config.latent_dim

    @property
    def out_channels(self) -> int:
        """Channels of the signal that goes out."""
        return self.config.out_channels

    @property
    def short_stages(self) -> tuple[int, ...]:
        """The odd rates."""
        return _odd(self.factors)


class LocalAttnDecoderConfig(LocalAttentionConfig, kw_only=True):
    """A decoder of transformers with windowed attention.

    Attributes:
        embed_dims: Width of each stage, the one next to the latents first.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("embed_dims",)

    embed_dims: Widths = (768, 384, 192, 96)


@member
class LocalAttnDecoderNode(DecoderNode, kw_only=True, tag="local_attn"):
    """A decoder of transformers with windowed attention.

    Attributes:
        config: Its sizes.
    """

    in_key: ClassVar[str] = "in_channels"
    factors_key: ClassVar[str] = "ratios"
    latents_first: ClassVar[bool] = True

    config: LocalAttnDecoderConfig

    @property
    def factors(self) -> tuple[int, ...]:
        """The ratios that have a depth, turned around."""
        return self.config.per_stage("ratios")[::-1]

    @property
    def in_channels(self) -> int:
        """Channels of the latents that come in."""
        return self.config.in_channels

    @property
    def out_channels(self) -> int:
        """Channels of the signal that goes out."""
        return self.config.out_channels


class TAAEDecoderConfig(TAAEConfig, kw_only=True):
    """The decoder of a transformer autoencoder.

    Attributes:
        out_channels: Channels of the signal that goes out.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("out_channels",)

    out_channels: Positive = 2


@member
class TAAEDecoderNode(DecoderNode, kw_only=True, tag="taae"):
    """The decoder of a transformer autoencoder (Parker et al. 2024, arXiv 2411.19842).

    Attributes:
        config: Its sizes.
    """

    config: TAAEDecoderConfig

    @property
    def factors(self) -> tuple[int, ...]:
        """The strides that have a width multiplier."""
        return self.config.per_stage("strides")

    @property
    def in_channels(self) -> int:
        """Channels of the latents that come in."""
        return self.config.latent_dim

    @property
    def out_channels(self) -> int:
        """Channels of the signal that goes out."""
        return self.config.out_channels

    @property
    def short_stages(self) -> tuple[int, ...]:
        """The odd strides."""
        return _odd(self.factors)
