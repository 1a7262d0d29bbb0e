"""Weights of losses that fade while training goes on."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LossWeight(nn.Module):
    """Multiplies a loss by a weight, which first shrinks by a factor at every call.

    The weight is kept in the state dict under SAT's name, so that a resumed run goes on where it
    was. One that does not change is what it was built with, whatever a checkpoint holds.

    Args:
        weight: The weight before the first call.
        decay: Its factor at every call; 1 keeps it.
    """

    weight: Tensor

    def __init__(self, weight: float, *, decay: float) -> None:
        super().__init__()
        self.constant, self.decay = weight, decay
        self.register_buffer("weight", torch.tensor(float(weight)))

    def forward(self, loss: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """The weighted loss."""
        if self.decay == 1:
            return self.constant * loss
        # A new tensor, since an earlier loss may still wait for its backward pass.
        self.weight = self.weight * self.decay
        return self.weight * loss
