"""Numbering of the points of a grid."""

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn


class Grid(nn.Module):
    """Codes for points of a grid, for one or several codebooks of equal levels.

    A point's places along its axes are the digits of its code, the first axis least significant.
    Channels are those of the first codebook, then those of the second.

    Attributes:
        num_codebooks: Codes per frame.
        codebook_size: Different values of a code.
    """

    levels: Tensor
    basis: Tensor

    def __init__(self, levels: Sequence[int], *, num_codebooks: int) -> None:
        """Number the points.

        Args:
            levels: Places along each axis of a codebook.
            num_codebooks: Codebooks.
        """
        super().__init__()
        self.num_codebooks = num_codebooks
        self.codebook_size = math.prod(levels)
        basis = [math.prod(levels[:axis]) for axis in range(len(levels))]
        for name, value in {"levels": levels, "basis": basis}.items():
            self.register_buffer(name, torch.tensor(value)[:, None], persistent=False)  # d 1

    def to_tokens(self, places: Float[Tensor, "b d l"]) -> Int[Tensor, "b q l"]:
        """The codes of whole, non-negative places."""
        digits = rearrange(places, "b (q d) l -> b q d l", q=self.num_codebooks)
        return (digits.long() * self.basis).sum(dim=2)

    def to_places(self, tokens: Int[Tensor, "b q l"]) -> Int[Tensor, "b d l"]:
        """The places of codes."""
        digits = tokens[:, :, None] // self.basis % self.levels  # b q d l
        return rearrange(digits, "b q d l -> b (q d) l")
