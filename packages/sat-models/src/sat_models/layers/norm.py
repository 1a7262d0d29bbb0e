"""Normalisation of transformer tokens, and what stands in for it."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

LAYER_SCALE_INIT = 1e-5
DYNAMIC_TANH_INIT = 10.0

MakeNorm = Callable[[int], nn.Module]
"""From the width of tokens to a module that normalises them."""


class LayerNorm(nn.Module):
    """Layer normalisation (Ba et al. 2016, 1607.06450) with a choice of what is learned.

    What is not learned is a buffer at its initial value: checkpoints have it, training does not
    touch it.
    """

    gamma: Tensor
    beta: Tensor

    def __init__(
        self, width: int, *, epsilon: float, bias: bool, fixed_gain: bool, in_float32: bool
    ) -> None:
        """Create gain and offset.

        Args:
            width: Features of a token.
            epsilon: Added to the variance.
            bias: Learn an offset.
            fixed_gain: Do not learn the gain.
            in_float32: Compute in float32 whatever the input's dtype, which the result has again.
        """
        super().__init__()
        gain, offset = torch.ones(width), torch.zeros(width)
        if fixed_gain:
            self.register_buffer("gamma", gain)
        else:
            self.gamma = nn.Parameter(gain)
        if bias:
            self.beta = nn.Parameter(offset)
        else:
            self.register_buffer("beta", offset)
        self.epsilon, self.in_float32 = epsilon, in_float32

    def forward(self, x: Float[Tensor, "*b e"]) -> Float[Tensor, "*b e"]:
        """Normalise over the last axis."""
        if not self.in_float32:
            return functional.layer_norm(x, x.shape[-1:], self.gamma, self.beta, self.epsilon)
        gain, offset = self.gamma.float(), self.beta.float()
        return functional.layer_norm(x.float(), x.shape[-1:], gain, offset, self.epsilon).to(
            x.dtype
        )


def plain_layer_norm(width: int) -> LayerNorm:
    """What transformers use unless told otherwise: a learned gain, no learned offset."""
    return LayerNorm(width, epsilon=1e-5, bias=False, fixed_gain=False, in_float32=False)


class DynamicTanh(nn.Module):
    """A scaled tanh in place of a normalisation (Zhu et al. 2025, 2503.10622)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), DYNAMIC_TANH_INIT))
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "*b e"]) -> Float[Tensor, "*b e"]:
        """Squash each feature by itself."""
        return self.gamma * torch.tanh(self.alpha * x) + self.beta


class LayerScale(nn.Module):
    """A learned factor per feature that starts small (Touvron et al. 2021, 2103.17239)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), LAYER_SCALE_INIT))

    def forward(self, x: Float[Tensor, "*b e"]) -> Float[Tensor, "*b e"]:
        """Scale the output of a branch."""
        return x * self.scale
