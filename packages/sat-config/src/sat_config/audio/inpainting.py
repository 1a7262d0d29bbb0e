"""Masks for training a model to fill gaps."""

from __future__ import annotations

from sat_config.node import Node, Positive, Probability


class MaskConfig(Node, kw_only=True):
    """Random masks: 1 keeps a latent frame, 0 has it generated.

    Attributes:
        max_mask_segments: Most gaps in a mask of random segments.
        mask_type_probabilities: How often a mask has random segments, covers everything, or covers
            all from some point on; three numbers that add up to 1.
    """

    max_mask_segments: Positive = 10
    mask_type_probabilities: tuple[Probability, ...] = (0.1, 0.8, 0.1)


class Inpainting(Node, kw_only=True):
    """Inpainting: each step makes a mask and the masked latents.

    They reach the network where `diffusion.input_concat_ids` names `inpaint_mask` (one channel)
    and `inpaint_masked_input` (as many as the latents have).

    Attributes:
        mask_kwargs: The masks.
    """

    mask_kwargs: MaskConfig = MaskConfig()
