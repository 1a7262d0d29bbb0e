"""Pretransforms: the frozen first stage of a latent model."""

from __future__ import annotations

import sat_config.audio.autoencoder as autoencoder
from sat_config.node import Node, PositiveFloat
from sat_config.registry import family, member


@family("pretransform")
class PretransformNode(Node, kw_only=True, tag_field="type"):
    """What turns audio into the signal that a model works on, and back.

    Attributes:
        enable_grad: Train its weights along with the model.
    """

    enable_grad: bool = False

    @property
    def hop_length(self) -> int:
        """Samples per frame of what comes out."""
        raise NotImplementedError

    @property
    def latent_dim(self) -> int:
        """Channels of what comes out."""
        raise NotImplementedError


@member
class AutoencoderPretransformNode(PretransformNode, kw_only=True, tag="autoencoder"):
    """An autoencoder's latents.

    Attributes:
        config: The autoencoder, as it stands under `model` in its own document.
        scale: Latents are divided by this on encoding and multiplied on decoding.
        iterate_batch: Encode and decode one item at a time; slower, needs less memory.
    """

    config: autoencoder.AutoencoderConfig
    scale: PositiveFloat = 1.0
    iterate_batch: bool = False

    @property
    def hop_length(self) -> int:
        """Samples per latent frame."""
        return self.config.downsampling_ratio

    @property
    def latent_dim(self) -> int:
        """Channels of the latents."""
        return self.config.latent_dim
