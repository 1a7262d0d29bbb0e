"""The discriminator family: networks that score signals for adversarial autoencoder training."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.discriminator import DiscriminatorNode
from sat_models.build import load_builtin, missing_builder
from sat_models.discriminators.gan import GANLoss


@dataclass(frozen=True)
class Judgement:
    """What the parts of a discriminator make of a batch.

    Attributes:
        scores: One tensor per part, of any shape; higher means more likely recorded.
        features: Results of the layers of each part.
    """

    scores: tuple[Tensor, ...]
    features: tuple[tuple[Tensor, ...], ...]


@dataclass(frozen=True)
class GeneratorLosses:
    """What a discriminator gives the generator to minimise.

    Attributes:
        adversarial: For being recognised.
        feature_matching: Distance of the discriminator's features of what was made from those of
            what it should have been.
    """

    adversarial: Float[Tensor, ""]
    feature_matching: Float[Tensor, ""]


class Parts(nn.Module):
    """Networks one level down, where checkpoints have them.

    Args:
        networks: The networks.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(networks)

    def judge(self, audio: Float[Tensor, "b c t"]) -> list[Any]:
        """What each network returns."""
        return [network(audio) for network in self.discriminators]


class Discriminator(nn.Module, ABC):
    """A discriminator of one or more parts, whose losses are averaged.

    Args:
        gan_loss: The losses of its scores.
    """

    def __init__(self, *, gan_loss: GANLoss) -> None:
        super().__init__()
        self.gan_loss = gan_loss

    @abstractmethod
    def forward(self, audio: Float[Tensor, "b c t"]) -> Judgement:
        """Judge a batch of signals in [-1, 1]."""

    def discriminator_loss(
        self, reals: Float[Tensor, "b c t"], fakes: Float[Tensor, "b c t"]
    ) -> Float[Tensor, ""]:
        """What this network minimises; no gradient reaches `fakes`."""
        return self.recognition(self(reals), self(fakes.detach()))

    def generator_losses(
        self, reals: Float[Tensor, "b c t"], fakes: Float[Tensor, "b c t"]
    ) -> GeneratorLosses:
        """What the maker of `fakes` minimises; no gradient passes through the judgement of `reals`.

        This network's own weights get gradients too, which its optimizer must not use.
        """
        with torch.no_grad():
            real = self(reals)
        fake: Judgement = self(fakes)
        return GeneratorLosses(
            adversarial=self.deception(real, fake),
            feature_matching=self.feature_matching(real, fake),
        )

    def recognition(self, real: Judgement, fake: Judgement) -> Float[Tensor, ""]:
        """The discriminator's loss of two judgements."""
        pairs = zip(real.scores, fake.scores, strict=True)
        return torch.stack([self.gan_loss.discriminator(r, f) for r, f in pairs]).mean()

    def deception(self, real: Judgement, fake: Judgement) -> Float[Tensor, ""]:
        """The generator's loss of two judgements."""
        pairs = zip(real.scores, fake.scores, strict=True)
        return torch.stack([self.gan_loss.generator(r, f) for r, f in pairs]).mean()

    def feature_matching(self, real: Judgement, fake: Judgement) -> Float[Tensor, ""]:
        """Mean absolute difference of features, averaged over layers, then over parts."""
        parts = [
            torch.stack([self.feature_distance(r, f) for r, f in zip(*pair, strict=True)]).mean()
            for pair in zip(real.features, fake.features, strict=True)
        ]
        return torch.stack(parts).mean()

    def feature_distance(self, real: Tensor, fake: Tensor) -> Float[Tensor, ""]:
        """The distance of the results of one layer."""
        return (real - fake).abs().mean()


@singledispatch
def build_discriminator(
    node: DiscriminatorNode, *, channels: int, sample_rate: int
) -> Discriminator:
    """Build the discriminator of a node, with fresh weights.

    Args:
        node: A discriminator node.
        channels: Channels of the signals.
        sample_rate: Hz of the signals.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_discriminator(node, channels=channels, sample_rate=sample_rate)
    raise missing_builder(node)
