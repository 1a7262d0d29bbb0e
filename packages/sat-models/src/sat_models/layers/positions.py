"""Positions that are added to tokens."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

BASE = 10_000.0


class AbsolutePositions(nn.Module):
    """A learned vector per position, divided by the square root of the width."""

    def __init__(self, width: int, *, max_length: int) -> None:
        """Draw the table.

        Args:
            width: Features of a token.
            max_length: Most tokens.
        """
        super().__init__()
        self.emb = nn.Embedding(max_length, width)
        self.scale = width**-0.5

    def forward(self, length: int, *, start: int) -> Float[Tensor, "l e"]:
        """The vectors of `length` positions from `start` on.

        Raises:
            ValueError: The table ends before them.
        """
        if start + length > self.emb.num_embeddings:
            raise ValueError(
                f"{start + length} tokens are more than the {self.emb.num_embeddings} that have a"
                " learned position"
            )
        vectors: Tensor = self.emb.weight[start : start + length] * self.scale
        return vectors


class SinusoidalPositions(nn.Module):
    """Sines, then cosines, at fixed frequencies (Vaswani et al. 2017, 1706.03762).

    A learned factor that starts at one over the square root of the width makes them as small as
    fresh tokens. Angles are computed in float32, also in half precision.
    """

    inv_freq: Tensor

    def __init__(self, width: int) -> None:
        """Compute the frequencies.

        Args:
            width: Features of a token; even.
        """
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), width**-0.5))
        half = width // 2
        self.register_buffer("inv_freq", BASE ** -(torch.arange(half) / half), persistent=False)

    def forward(self, length: int, *, start: int) -> Float[Tensor, "l e"]:
        """The vectors of `length` positions from `start` on."""
        positions = torch.arange(start, start + length, device=self.inv_freq.device)
        angles = torch.outer(positions.float(), self.inv_freq.float())
        return torch.cat((angles.sin(), angles.cos()), dim=-1).to(self.scale.dtype) * self.scale
