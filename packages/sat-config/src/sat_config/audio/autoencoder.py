"""The autoencoder: pretransform, encoder, bottleneck, decoder; and the hyperencoder."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

import sat_config.audio.bottleneck as bottleneck
import sat_config.audio.decoder as decoder
import sat_config.audio.encoder as encoder
import sat_config.audio.pretransform as pretransform
from sat_config.node import Node, NonNegativeFloat, Positive
from sat_config.registry import Open


class LatentCodec(Node, kw_only=True):
    """What all models that encode audio into latents have in common.

    Attributes:
        encoder: Signal to latents.
        decoder: Latents to signal.
        latent_dim: Channels of the latents.
        downsampling_ratio: Samples per latent frame, a nested pretransform included.
        io_channels: Audio channels in and out; in a diffusion autoencoder those of the
            pretransform's latents, if it has one.
        bottleneck: What the latents must pass; nothing if left out.
        pretransform: Applied before the encoder and undone after the decoder.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("latent_dim",)
    latent_keys: ClassVar[tuple[str, ...] | None] = (
        "pretransform",
        "encoder",
        "bottleneck",
        "io_channels",
    )

    encoder: Open[encoder.EncoderNode] | None = None
    decoder: Open[decoder.DecoderNode] | None = None
    latent_dim: Positive
    downsampling_ratio: Positive
    io_channels: Positive
    bottleneck: Open[bottleneck.BottleneckNode] | None = None
    pretransform: Open[pretransform.PretransformNode] | None = None

    @property
    def signal_channels(self) -> int | None:
        """Channels that the encoder gets; None if only a pretransform's weights tell."""
        raise NotImplementedError

    @property
    def audio_channels(self) -> int | None:
        """Channels of the audio that it is trained on; None if only weights tell."""
        raise NotImplementedError

    @property
    def encoder_factors(self) -> tuple[int, ...]:
        """Everything that divides the length on the way to the latents, as far as is known."""
        nested = self.pretransform.hop_length if self.pretransform else None
        return (*((nested,) if nested else ()), *(self.encoder.factors if self.encoder else ()))

    @property
    def hop_length(self) -> int | None:
        """Samples per latent frame, by what the networks do; None if only weights tell."""
        if self.pretransform is not None and self.pretransform.hop_length is None:
            return None
        return math.prod(self.encoder_factors)


class AutoencoderConfig(LatentCodec, kw_only=True):
    """An autoencoder, as it stands under `model`.

    Attributes:
        encoder: Signal to latents.
        decoder: Latents to signal.
        in_channels: Audio channels in, where they differ.
        out_channels: Audio channels out, where they differ.
    """

    latent_keys: ClassVar[tuple[str, ...] | None] = ("in_channels",)

    encoder: Open[encoder.EncoderNode]
    decoder: Open[decoder.DecoderNode]
    in_channels: Positive | None = None
    out_channels: Positive | None = None

    @property
    def signal_channels(self) -> int | None:
        """Channels that the encoder gets; None if only a pretransform's weights tell."""
        if self.pretransform is not None:
            return self.pretransform.latent_dim
        return self.in_channels or self.io_channels

    @property
    def audio_channels(self) -> int:
        """Channels of the audio that comes out."""
        return self.out_channels or self.io_channels


LayerPattern = Annotated[str, Meta(min_length=1)]


class HypernetworkConfig(Node, kw_only=True):
    """A small network that writes a part of a decoder's weights (Ha et al. 2016, arXiv 1609.09106).

    A summary of the latents (a 1x1 map to `summary_dim` channels, pooled over all frames) and a
    learned embedding of the layer in question pass an MLP that all layers share. From its output,
    one linear map per layer makes two sets of vectors, u over the layer's output channels and v
    over its input channels, `rank` of each. The layer's own weight W then becomes
    W * (1 + sum_r u_r v_r), the same for all taps of a kernel; its bias stays. This is the
    weight scaling of section 3.2 of the paper, of rank `rank` in place of rows alone. Nobody needs
    to form W per item: y = W x + sum_r u_r * (W (v_r * x)).

    Summary and embeddings see the latents alone, after the bottleneck, so that whoever has latents
    can decode them. The summary is of the whole item: cut latents are summarised before the cut.

    Attributes:
        layers: Which layers of the decoder: those that change the length, one per stage; all
            convolutions and linear layers; or those whose name in the decoder's state dict, without
            the final part, fits one of these glob patterns ("layers.4.layers.*").
        summary: How frames are pooled: their mean, or a mean weighted by attention with one
            learned query.
        summary_dim: Width of the summary; wider tells more about the item.
        embedding_dim: Width of a layer's embedding.
        hidden_sizes: Widths of the MLP's hidden layers, each with a SiLU; empty for none.
        rank: Pairs of vectors per layer; each costs one more pass through the layer.
        init_scale: Standard deviation of the change of a weight, relative to the weight, at the
            start of training: v starts at unit variance, u at this over the root of `rank`; 0
            starts as a plain autoencoder.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "layers",
        "summary",
        "summary_dim",
        "embedding_dim",
        "hidden_sizes",
        "rank",
    )
    training_keys: ClassVar[tuple[str, ...]] = ("init_scale",)

    layers: (
        Literal["upsampling", "all"] | Annotated[tuple[LayerPattern, ...], Meta(min_length=1)]
    ) = "upsampling"
    summary: Literal["mean", "attention"] = "mean"
    summary_dim: Positive = 128
    embedding_dim: Positive = 32
    hidden_sizes: tuple[Positive, ...] = (128,)
    rank: Positive = 4
    init_scale: NonNegativeFloat = 0.01


class HyperencoderConfig(AutoencoderConfig, kw_only=True):
    """An autoencoder whose decoder adapts to each item, as it stands under `model`.

    SAT names this model type and has none. Here it is an autoencoder with a hypernetwork: a global
    summary of the latents changes the weights of some of the decoder's layers, so that what is the
    same throughout an item, such as its timbre, need not be in every frame.

    Attributes:
        hypernetwork: What writes the weights, and which.
    """

    hypernetwork: HypernetworkConfig = HypernetworkConfig()
