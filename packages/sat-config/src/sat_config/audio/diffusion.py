"""Diffusion models."""

from __future__ import annotations

import sat_config.audio.pretransform as pretransform
import sat_config.audio.transformer as transformer
from sat_config.node import Node
from sat_config.registry import Open, family, member


@family("unconditional diffusion backbone")
class DiffusionUncondNode(Node, kw_only=True, tag_field="type"):
    """An unconditional diffusion model, as it stands under `model`.

    Attributes:
        pretransform: What the model works on in place of audio.
    """

    pretransform: Open[pretransform.PretransformNode] | None = None


@member
class DiTUncondNode(DiffusionUncondNode, kw_only=True, tag="dit"):
    """A diffusion transformer.

    Attributes:
        config: Its sizes.
    """

    config: transformer.DiTUncondConfig
