"""The Gaussian bottleneck of a variational autoencoder (Kingma and Welling 2013, 1312.6114)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sat_config.audio.bottleneck import VAENode
from sat_models.bottlenecks.base import Bottleneck, Encoding, build_bottleneck
from sat_models.layers.noise import randn_like

MIN_STDEV = 1e-4


class VAEBottleneck(Bottleneck):
    """The first half of the channels are means, the second half scales of a Gaussian.

    Standard deviations are `softplus(scale) + 1e-4`. The loss "kl" is the divergence from a unit
    Gaussian, summed over channels and averaged over batch and frames; as in SAT without the
    customary factor of one half.

    Deviation from SAT: the mean can be had in place of a sample.
    """

    def encode(
        self,
        features: Float[Tensor, "b d2 l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Draw latents; `d2` is twice their width."""
        latents, divergence = sample_gaussian(features, sample=sample, generator=generator)
        return Encoding(latents=latents, losses={"kl": divergence})

    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d l"]:
        """Hand the latents on."""
        return latents


def sample_gaussian(
    features: Float[Tensor, "b d2 l"], *, sample: bool, generator: torch.Generator | None
) -> tuple[Float[Tensor, "b d l"], Float[Tensor, ""]]:
    """Draw from the Gaussian that features describe.

    Args:
        features: Means, then as many scales.
        sample: Whether to draw, or to take the means.
        generator: Source of the draw; torch's global one if None.

    Returns:
        The latents, and the divergence from a unit Gaussian.
    """
    mean, scale = features.chunk(2, dim=1)
    stdev = functional.softplus(scale) + MIN_STDEV
    variance = stdev.square()
    divergence = (mean.square() + variance - variance.log() - 1).sum(dim=1).mean()
    if sample:
        return torch.addcmul(mean, stdev, randn_like(mean, generator=generator)), divergence
    return mean, divergence


@build_bottleneck.register
def _(node: VAENode) -> VAEBottleneck:
    return VAEBottleneck()
