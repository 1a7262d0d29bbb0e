"""The bottleneck family: what an encoder's features pass on their way to becoming latents."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import singledispatch

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.bottleneck import BottleneckNode
from sat_models.build import load_builtin, missing_builder


@dataclass(frozen=True)
class Encoding:
    """What comes out of a bottleneck.

    Attributes:
        latents: The latents.
        losses: The bottleneck's own losses, scalars with gradients, by name ("kl").
    """

    latents: Float[Tensor, "b d l"]
    losses: dict[str, Float[Tensor, ""]] = field(default_factory=dict)


class Bottleneck(nn.Module, ABC):
    """A bottleneck of an autoencoder."""

    @abstractmethod
    def encode(
        self,
        features: Float[Tensor, "b d2 l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Turn an encoder's features into latents.

        Args:
            features: The encoder's output; `d2` is what the bottleneck needs per latent channel.
            sample: Draw from a distribution over latents, where there is one, or take its mean.
            generator: Source of the draw; torch's global one if left out.
        """

    @abstractmethod
    def decode(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b d3 l"]:
        """Turn latents into a decoder's input."""


@singledispatch
def build_bottleneck(node: BottleneckNode) -> Bottleneck:
    """Build the bottleneck of a node, with fresh weights if it has any.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_bottleneck(node)
    raise missing_builder(node)
