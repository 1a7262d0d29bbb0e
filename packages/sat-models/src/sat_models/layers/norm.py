"""Normalisation of transformer tokens."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5


class LayerNorm(nn.Module):
    """Layer normalisation (Ba et al. 2016, 1607.06450) with a learned gain and no learned offset.

    The offset is a buffer of zeros: checkpoints have it, training does not touch it.
    """

    beta: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.register_buffer("beta", torch.zeros(width))

    def forward(self, x: Float[Tensor, "*b e"]) -> Float[Tensor, "*b e"]:
        """Normalise over the last axis."""
        return functional.layer_norm(x, x.shape[-1:], self.gamma, self.beta, EPSILON)
