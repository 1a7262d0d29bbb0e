"""The discriminator of adversarial post-training: a network's features, and a head that scores."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_models.backbones.conditioning import Conditioning
from sat_models.backbones.dit import ConditionedDiT
from sat_models.models.conditioned_diffusion import ConditionedDiffusionModel

PENALTY_NOISE = 0.05
"""Standard deviation of the noise under which scores ought to stay as they are."""


@dataclass(frozen=True)
class Critic:
    """Scores noisy latents, the higher the more real and the better they fit their conditions.

    Attributes:
        network: The diffusion model whose features are judged.
        head: Judges them.
        layer: Of the network, from 0, whose output the head sees.
    """

    network: ConditionedDiffusionModel
    head: nn.Module
    layer: int

    def scores(
        self, x: Float[Tensor, "b d l"], t: Float[Tensor, " b"], conditioning: Conditioning
    ) -> Float[Tensor, "b 1 k"]:
        """The scores of places in a signal.

        Args:
            x: Noisy latents.
            t: How noisy, from 0 to 1.
            conditioning: What they ought to fit.
        """
        backbone = self.network.model
        assert isinstance(backbone, ConditionedDiT)
        features = backbone.model.features(x, t, conditioning, layer=self.layer)
        scores: Tensor = self.head(features.transpose(1, 2)).float()
        return scores

    def unsteadiness(
        self,
        scores: Float[Tensor, "b 1 k"],
        x: Float[Tensor, "b d l"],
        t: Float[Tensor, " b"],
        conditioning: Conditioning,
    ) -> Float[Tensor, ""]:
        """How far scores move under a little noise: an estimate of the penalties R1 and R2.

        Those are of gradients (Mescheder et al. 2018, 1801.04406); this needs none of second order.

        Args:
            scores: Of `x`.
            x: As of `scores`, like the rest.
            t: See `scores`.
            conditioning: See `scores`.
        """
        moved = self.scores(x + PENALTY_NOISE * torch.randn_like(x), t, conditioning)
        return (moved - scores).square().sum(dim=(1, 2)).mean()


def relativistic_loss(
    better: Float[Tensor, "b 1 k"], worse: Float[Tensor, "b 1 k"]
) -> Float[Tensor, ""]:
    """How far one batch is from scoring higher than another, item by item and place by place.

    The relativistic pairing loss (Jolicoeur-Martineau 2018, 1807.00734), softplus(worse - better).
    """
    return functional.softplus(worse - better).mean()
