"""What a discriminator and a generator minimise, given the scores of real and made signals."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


class GANLoss(ABC):
    """A pair of losses of scores; a higher score means that the signal looks recorded."""

    @abstractmethod
    def discriminator(
        self, real: Float[Tensor, "*s"], fake: Float[Tensor, "*s"]
    ) -> Float[Tensor, ""]:
        """What the discriminator minimises."""

    @abstractmethod
    def generator(self, real: Float[Tensor, "*s"], fake: Float[Tensor, "*s"]) -> Float[Tensor, ""]:
        """What the generator minimises; most losses do not look at the scores of what is real."""


class HingeLoss(GANLoss):
    """Scores need not go beyond 1 and -1 (Lim and Ye 2017, 1705.02894)."""

    def discriminator(
        self, real: Float[Tensor, "*s"], fake: Float[Tensor, "*s"]
    ) -> Float[Tensor, ""]:
        """Means of what real scores lack to 1 and made ones exceed -1."""
        return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()

    def generator(self, real: Float[Tensor, "*s"], fake: Float[Tensor, "*s"]) -> Float[Tensor, ""]:
        """Minus the mean score."""
        return -fake.mean()


class ZeroHingeLoss(GANLoss):
    """A hinge between 1 and 0: the one that SAT's `dac` discriminator calls hinge loss."""

    def discriminator(
        self, real: Float[Tensor, "*s"], fake: Float[Tensor, "*s"]
    ) -> Float[Tensor, ""]:
        """Means of what real scores lack to 1 and made ones exceed 0."""
        return torch.relu(1 - real).mean() + torch.relu(fake).mean()

    def generator(self, real: Float[Tensor, "*s"], fake: Float[Tensor, "*s"]) -> Float[Tensor, ""]:
        """Mean of what made scores lack to 1."""
        return torch.relu(1 - fake).mean()


class LeastSquaresLoss(GANLoss):
    """Squared distances from 1 and 0 (Mao et al. 2017, 1611.04076)."""

    def discriminator(
        self, real: Float[Tensor, "*s"], fake: Float[Tensor, "*s"]
    ) -> Float[Tensor, ""]:
        """Real scores should be 1 and made ones 0."""
        return (1 - real).square().mean() + fake.square().mean()

    def generator(self, real: Float[Tensor, "*s"], fake: Float[Tensor, "*s"]) -> Float[Tensor, ""]:
        """Made scores should be 1."""
        return (1 - fake).square().mean()


class RelativisticLoss(GANLoss):
    """How much more recorded one signal looks than the other (Jolicoeur-Martineau, 1807.00734).

    The two are paired by their place in the batch; each loss is that of the other with the signals
    exchanged.
    """

    def discriminator(
        self, real: Float[Tensor, "*s"], fake: Float[Tensor, "*s"]
    ) -> Float[Tensor, ""]:
        """Real scores should be higher."""
        return functional.softplus(fake - real).mean()

    def generator(self, real: Float[Tensor, "*s"], fake: Float[Tensor, "*s"]) -> Float[Tensor, ""]:
        """Made scores should be higher."""
        return functional.softplus(real - fake).mean()
