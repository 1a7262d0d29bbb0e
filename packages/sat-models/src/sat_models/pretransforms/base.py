"""The pretransform family: what turns audio into the signal that a model works on, and back."""

from abc import ABC, abstractmethod
from functools import singledispatch
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sat_config.audio.pretransform import PretransformNode
from sat_models.build import load_builtin, missing_builder

P = TypeVar("P", bound="Pretransform")  # Self, which beartype cannot check on a method


class Pretransform(nn.Module, ABC):
    """A pretransform.

    Unless `enable_grad` is set, its weights are frozen, it stays in eval mode whatever the model
    around it does, and `encode` builds no graph. `decode` lets gradients through to its input in
    any case.

    Deviation from SAT: there a pretransform without `enable_grad` also cuts the gradient of an
    autoencoder that is trained through its `decode`.

    Attributes:
        channels: Channels of the audio.
        latent_dim: Channels of what `encode` returns.
        hop_length: Samples per frame of it.
        scale: What `encode` divides by, for latents that were encoded without this object.
        enable_grad: Whether its weights are trained.
        num_quantizers: Codes per frame, where there are codes.
        codebook_size: Different values of a code, where there are codes.
    """

    num_quantizers: int | None = None
    codebook_size: int | None = None

    channels: int
    latent_dim: int
    hop_length: int
    scale: float

    def __init__(self, *, enable_grad: bool) -> None:
        super().__init__()
        self.enable_grad = enable_grad

    @abstractmethod
    def encode(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Turn audio into latents.

        Args:
            audio: Samples in [-1, 1]; `t` a multiple of `hop_length`.
            sample: Draw from a distribution over latents, where there is one, or take its mean.
            generator: Source of the draw; torch's global one if left out.
        """

    @abstractmethod
    def decode(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Turn latents into audio; `t` is `l * hop_length`."""

    def encode_tokens(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "b q l"]:
        """Turn audio into integer codes; arguments as of `encode`.

        Raises:
            ValueError: There are no codes.
        """
        raise ValueError(f"{type(self).__name__} has no codes")

    def decode_tokens(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b c t"]:
        """Turn integer codes into audio.

        Raises:
            ValueError: There are no codes.
        """
        raise ValueError(f"{type(self).__name__} has no codes")

    @property
    def is_discrete(self) -> bool:
        """Whether what comes out can be written as integer codes."""
        return self.num_quantizers is not None

    def train(self: P, mode: bool = True) -> P:
        """Follow the mode of the model around it only if its weights are trained."""
        return super().train(mode and self.enable_grad)


@singledispatch
def build_pretransform(node: PretransformNode, *, sample_rate: int) -> Pretransform:
    """Build the pretransform of a node, with fresh weights if it has any.

    Args:
        node: A pretransform node.
        sample_rate: Hz of the audio.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_pretransform(node, sample_rate=sample_rate)
    raise missing_builder(node)
