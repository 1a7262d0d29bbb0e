"""Fourier features of a scalar (Tancik et al. 2020, 2006.10739)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FourierFeatures(nn.Module):
    """Cosines and sines of a scalar at learned frequencies that start out normal.

    Deviation from SAT: arithmetic is in float32 also under autocast and in half precision, where
    the angles would lose most of their digits.
    """

    def __init__(self, features: int) -> None:
        """Draw the frequencies.

        Args:
            features: Width of the result; even.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features // 2, 1))

    def forward(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b f"]:
        """The cosines, then the sines; dtype of the weight."""
        angles = (2 * math.pi) * t.float()[:, None] * self.weight[:, 0].float()
        return torch.cat((angles.cos(), angles.sin()), dim=-1).to(self.weight.dtype)


class ScalarFeatures(nn.Module):
    """A scalar, then sines, then cosines of it at learned frequencies that start out normal.

    Arithmetic is in float32, also in half precision.
    """

    def __init__(self, features: int) -> None:
        """Draw the frequencies.

        Args:
            features: Sines and cosines together; even. The result has one feature more.
        """
        super().__init__()
        self.weights = nn.Parameter(torch.randn(features // 2))

    def forward(self, x: Float[Tensor, " b"]) -> Float[Tensor, "b f"]:
        """The scalar and its features; dtype of the weights."""
        x = x.float()[:, None]
        angles = (2 * math.pi) * x * self.weights.float()
        return torch.cat((x, angles.sin(), angles.cos()), dim=-1).to(self.weights.dtype)
