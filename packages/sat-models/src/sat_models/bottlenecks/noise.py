"""Noise for a decoder: channels besides the latents, from which it may draw what they lack."""

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.layers.noise import randn_like


def append_noise(
    latents: Float[Tensor, "b d l"], *, num_channels: int, generator: torch.Generator | None
) -> Float[Tensor, "b d2 l"]:
    """Put channels of standard normal noise behind the latents.

    Args:
        latents: Come out unchanged, in front.
        num_channels: Channels of noise; with none, nothing is drawn.
        generator: Source of the noise, on the device of the latents; torch's global one if None.
    """
    if num_channels == 0:
        return latents
    batch, _, frames = latents.shape
    like = latents.new_empty(batch, num_channels, frames)
    return torch.cat([latents, randn_like(like, generator=generator)], dim=1)
