"""Rotary position embedding (Su et al. 2021, 2104.09864) of part of each attention head."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

BASE = 10_000.0


@dataclass(frozen=True)
class Rotation:
    """The angles of all positions of a sequence, computed once for all layers.

    Attributes:
        cos: Cosines of the angles, one per pair of features.
        sin: Sines of the same.
    """

    cos: Float[Tensor, "l r"]
    sin: Float[Tensor, "l r"]

    def apply(self, x: Float[Tensor, "*b l d"]) -> Float[Tensor, "*b l d"]:
        """Turn the first `2 r` features of each head, and leave the others.

        Feature `i` is paired with feature `i + r`. Arithmetic is in float32, the result has the
        input's dtype.
        """
        pairs = self.cos.shape[-1]
        first, second, rest = torch.split(x, [pairs, pairs, x.shape[-1] - 2 * pairs], dim=-1)
        turned_first = (first * self.cos - second * self.sin).to(x.dtype)
        turned_second = (second * self.cos + first * self.sin).to(x.dtype)
        return torch.cat((turned_first, turned_second, rest), dim=-1)


class RotaryEmbedding(nn.Module):
    """Gives the rotation of a sequence; its frequencies are stored in the state dict, as in SAT."""

    inv_freq: Tensor

    def __init__(self, width: int) -> None:
        """Compute the frequencies.

        Args:
            width: Features per head that are turned; even.
        """
        super().__init__()
        self.register_buffer("inv_freq", BASE ** -(torch.arange(0, width, 2) / width))

    def forward(self, length: int, *, start: int = 0) -> Rotation:
        """The rotation of `length` positions from `start` on."""
        positions = torch.arange(start, start + length, device=self.inv_freq.device)
        angles = torch.outer(positions.float(), self.inv_freq.float())  # l r
        return Rotation(cos=angles.cos(), sin=angles.sin())
