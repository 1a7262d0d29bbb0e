"""The diffusion transformer (DiT)."""

from __future__ import annotations

from typing import Literal

from sat_config.node import Node, Positive

Objective = Literal["v", "rectified_flow"]


class DiTUncondConfig(Node, kw_only=True):
    """An unconditional diffusion transformer (Peebles and Xie 2023) on latents or audio.

    Attributes:
        in_channels: Channels of the signal, in and out.
        embed_dim: Width of the transformer.
        depth: Layers.
        num_heads: Attention heads; `embed_dim / num_heads` is the head width, at least 32.
        patch_size: Frames folded into one token; cost falls with its square.
        diffusion_objective: What the network predicts and how it is sampled.
    """

    in_channels: Positive
    embed_dim: Positive = 768
    depth: Positive = 12
    num_heads: Positive = 8
    patch_size: Positive = 1
    diffusion_objective: Objective = "v"
