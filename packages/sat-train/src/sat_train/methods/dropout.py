"""What guidance needs of training: conditions that are left out at times."""

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.backbones.conditioning import Conditioning


def without_some(
    conditioning: Conditioning, *, share: float, like: Float[Tensor, "b ..."]
) -> Conditioning:
    """Conditions of which a random share of the items is left out."""
    if not share:
        return conditioning
    chance = torch.full((like.shape[0],), share, device=like.device)
    return conditioning.dropped(torch.bernoulli(chance).bool())
