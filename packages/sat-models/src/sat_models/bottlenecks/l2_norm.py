"""A bottleneck on the unit sphere."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sat_config.audio.bottleneck import L2NormNode
from sat_models.bottlenecks.base import Bottleneck, Encoding, build_bottleneck


class L2NormBottleneck(Bottleneck):
    """Every frame is divided by its length over the channels.

    That is done once more before the decoder, since a model that makes latents may leave the
    sphere.
    """

    def encode(
        self,
        features: Float[Tensor, "b d l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Normalise the features; nothing is drawn."""
        return Encoding(latents=functional.normalize(features, dim=1))

    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d l"]:
        """Normalise the latents."""
        return functional.normalize(latents, dim=1)


@build_bottleneck.register
def _(node: L2NormNode) -> L2NormBottleneck:
    return L2NormBottleneck()
