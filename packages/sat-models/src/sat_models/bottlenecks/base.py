"""The bottleneck family: what an encoder's features pass on their way to becoming latents."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import singledispatch

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sat_config.audio.bottleneck import BottleneckNode
from sat_models.build import load_builtin, missing_builder

NO_TOKEN = -1
"""In place of a code: nothing, of a codebook that was left out."""


@dataclass(frozen=True)
class Encoding:
    """What comes out of a bottleneck.

    Attributes:
        latents: The latents.
        losses: The bottleneck's own losses, scalars with gradients, by name ("kl").
        tokens: The codes of a discrete bottleneck; `NO_TOKEN` stands for none.
    """

    latents: Float[Tensor, "b d l"]
    losses: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    tokens: Int[Tensor, "b q l"] | None = None


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
    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d3 l"]:
        """Turn latents into a decoder's input.

        Args:
            latents: What `encode` returned, or a model made.
            generator: Source of noise, where a bottleneck adds some; torch's global one if left
                out.
        """


class DiscreteBottleneck(Bottleneck):
    """A bottleneck whose latents can be written as integer codes.

    Codes are laid out as batch, codebooks, frames in every bottleneck. In training, gradients pass
    the quantization unchanged (straight through).

    Deviation from SAT: some of its quantizers hand out batch, frames, codebooks, and only those of
    the Descript codec can decode what they hand out.

    Attributes:
        num_quantizers: Codes per frame.
        codebook_size: Different values of a code.
    """

    num_quantizers: int
    codebook_size: int

    def encode_tokens(
        self,
        features: Float[Tensor, "b d2 l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "b q l"]:
        """Turn an encoder's features into codes; arguments as of `encode`."""
        tokens = self.encode(features, sample=sample, generator=generator).tokens
        assert tokens is not None  # noqa: S101 - every subclass fills them in
        return tokens

    @abstractmethod
    def tokens_to_latents(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b d l"]:
        """The quantized latents that codes stand for."""

    def decode_tokens(
        self, tokens: Int[Tensor, "b q l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d3 l"]:
        """Turn codes into a decoder's input; `generator` as of `decode`."""
        return self.decode(self.tokens_to_latents(tokens), generator=generator)

    def check_tokens(self, tokens: Tensor) -> None:
        """Refuse what are no codes of this bottleneck; those of the first codebooks alone may be.

        Raises:
            ValueError: They are no integers, of another shape, or out of range.
        """
        if tokens.ndim != 3 or not 1 <= tokens.shape[1] <= self.num_quantizers:
            raise ValueError(
                f"expected codes of shape (batch, {self.num_quantizers}, frames), got"
                f" {tuple(tokens.shape)}"
            )
        if tokens.is_floating_point():
            raise ValueError(f"expected codes as integers, got {tokens.dtype}")
        low, high = (int(bound) for bound in tokens.aminmax()) if tokens.numel() else (0, 0)
        if low < NO_TOKEN or high >= self.codebook_size:
            raise ValueError(
                f"expected codes from 0 to {self.codebook_size - 1}, got {low} to {high}"
            )


@singledispatch
def build_bottleneck(node: BottleneckNode) -> Bottleneck:
    """Build the bottleneck of a node, with fresh weights if it has any.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_bottleneck(node)
    raise missing_builder(node)
