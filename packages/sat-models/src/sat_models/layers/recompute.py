"""Layers whose activations are computed again in the backward pass (Chen et al., 1604.06174)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Sequential):
    """A sequence of layers that, on request, keeps only the input of each for the backward pass.

    The layers must not draw random numbers. A layer that is itself a `Recomputed` looks after
    itself.
    """

    def __init__(self, layers: Iterable[nn.Module], *, recompute: bool) -> None:
        """Put the layers one after the other.

        Args:
            layers: The layers; their names in the state dict are their numbers.
            recompute: Whether to keep the inputs only; costs about a third more time.
        """
        super().__init__(*layers)
        self.recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        keep_inputs = self.recompute and torch.is_grad_enabled()
        for layer in self:
            if keep_inputs and not isinstance(layer, Recomputed):
                x = checkpoint(layer, x, use_reentrant=False, preserve_rng_state=False)
            else:
                x = layer(x)
        return x
