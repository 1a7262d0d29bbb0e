"""Bottlenecks: what latents must pass between encoder and decoder."""

from __future__ import annotations

from sat_config.node import Node
from sat_config.registry import family, member


@family("bottleneck")
class BottleneckNode(Node, kw_only=True, tag_field="type"):
    """A bottleneck of an autoencoder.

    Attributes:
        requires_grad: Whether its weights, if it has any, are trained.
    """

    requires_grad: bool = True

    @property
    def encoder_channels_per_latent(self) -> int:
        """Encoder channels that one latent channel is made of."""
        return 1


class VAEConfig(Node, kw_only=True):
    """The Gaussian bottleneck has nothing to set."""


@member
class VAENode(BottleneckNode, kw_only=True, tag="vae"):
    """Gaussian latents: half of the encoder's channels are means, half are scales.

    Attributes:
        config: Empty; accepted because SAT's files may have it.
    """

    config: VAEConfig = VAEConfig()

    @property
    def encoder_channels_per_latent(self) -> int:
        """Two: a mean and a scale."""
        return 2
