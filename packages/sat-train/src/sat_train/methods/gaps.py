"""Gaps that a model learns to fill."""

from random import Random

from torch import Tensor

from sat_config.audio.inpainting import MaskConfig
from sat_models.models.conditioned_diffusion import inpainting_signals
from sat_models.models.inpainting import random_masks
from sat_train.methods.latent import Encoded


def draw_gaps(encoded: Encoded, config: MaskConfig | None, *, rng: Random) -> dict[str, Tensor]:
    """What a model is told of latents with gaps: where they are, and what is left.

    Args:
        encoded: The latents and where they are no padding.
        config: Which gaps there may be; None for a model that fills none, which is told nothing.
        rng: Source of the draws.
    """
    if config is None:
        return {}
    mask = random_masks(
        encoded.mask,
        max_segments=config.max_mask_segments,
        probabilities=config.mask_type_probabilities,
        rng=rng,
    )
    return inpainting_signals(encoded.latents, mask.to(encoded.latents.dtype))
