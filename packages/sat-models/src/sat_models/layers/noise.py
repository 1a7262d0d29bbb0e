"""Noise with an explicit source."""

import torch
from jaxtyping import Float
from torch import Tensor


def randn_like(x: Float[Tensor, "*b"], *, generator: torch.Generator | None) -> Float[Tensor, "*b"]:
    """Standard normal noise of the shape, dtype and device of `x`.

    Args:
        x: Gives the shape.
        generator: Source of the noise, on the device of `x`; torch's global one if None.
    """
    if generator is None:
        return torch.randn_like(x)
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
