"""The autoencoder: pretransform, encoder, bottleneck, decoder."""

from __future__ import annotations

import sat_config.audio.bottleneck as bottleneck
import sat_config.audio.decoder as decoder
import sat_config.audio.encoder as encoder
import sat_config.audio.pretransform as pretransform
from sat_config.node import Node, Positive
from sat_config.registry import Open


class AutoencoderConfig(Node, kw_only=True):
    """An autoencoder, as it stands under `model`.

    Attributes:
        encoder: Signal to latents.
        decoder: Latents to signal.
        latent_dim: Channels of the latents.
        downsampling_ratio: Samples per latent frame, a nested pretransform included.
        io_channels: Audio channels in and out.
        in_channels: Audio channels in, where they differ.
        out_channels: Audio channels out, where they differ.
        bottleneck: What the latents must pass; nothing if left out.
        pretransform: Applied before the encoder and undone after the decoder.
    """

    encoder: Open[encoder.EncoderNode]
    decoder: Open[decoder.DecoderNode]
    latent_dim: Positive
    downsampling_ratio: Positive
    io_channels: Positive
    in_channels: Positive | None = None
    out_channels: Positive | None = None
    bottleneck: Open[bottleneck.BottleneckNode] | None = None
    pretransform: Open[pretransform.PretransformNode] | None = None
