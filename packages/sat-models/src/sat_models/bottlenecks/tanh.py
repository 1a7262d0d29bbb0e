"""A bottleneck that limits latents softly."""

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.bottleneck import TanhNode
from sat_models.bottlenecks.base import Bottleneck, Encoding, build_bottleneck


class TanhBottleneck(Bottleneck):
    """Latents are `scale * tanh(features / scale)`."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def encode(
        self,
        features: Float[Tensor, "b d l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Limit the features; nothing is drawn."""
        return Encoding(latents=soft_limit(features, scale=self.scale))

    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d l"]:
        """Hand the latents on."""
        return latents


def soft_limit(x: Float[Tensor, "*b"], *, scale: float) -> Float[Tensor, "*b"]:
    """Values within `-scale` and `scale`; far below them, they stay what they are."""
    return scale * torch.tanh(x / scale)


@build_bottleneck.register
def _(node: TanhNode) -> TanhBottleneck:
    return TanhBottleneck(node.config.scale)
