"""What a diffusion network predicts, how it is trained for that, and how it is sampled.

Time `t` runs from 0, the clean signal, to 1, noise alone.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.transformer import Objective as ObjectiveName
from sat_models.sampling.samplers import ModelFn, sample_euler, sample_pingpong, sample_v_ddim


class Objective(ABC):
    """What the output of a diffusion network means.

    Attributes:
        description: What the network predicts, in words.
    """

    description: str

    @abstractmethod
    def training_pair(
        self, x0: Float[Tensor, "b d l"], noise: Float[Tensor, "b d l"], t: Float[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b d l"], Float[Tensor, "b d l"]]:
        """The noisy signal at time `t`, and what the network ought to predict from it."""

    @abstractmethod
    def sample(
        self,
        model_fn: ModelFn,
        noise: Float[Tensor, "b d l"],
        *,
        steps: int,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Turn noise into a signal with the sampler that suits the objective.

        Args:
            model_fn: Predicts as the network does.
            noise: Standard normal.
            steps: Evaluations of the network.
            generator: Source of fresh noise, where the sampler draws any.
        """


class VObjective(Objective):
    """The velocity on a quarter circle between signal and noise (Salimans and Ho 2022, 2202.00512).

    The noisy signal is `alpha x0 + sigma noise` with `alpha = cos(pi t / 2)` and
    `sigma = sin(pi t / 2)`.
    """

    description = "the velocity v of a cosine schedule"

    def training_pair(
        self, x0: Float[Tensor, "b d l"], noise: Float[Tensor, "b d l"], t: Float[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b d l"], Float[Tensor, "b d l"]]:
        """The noisy signal, and `alpha noise - sigma x0`."""
        angle = t[:, None, None] * (math.pi / 2)
        alpha, sigma = angle.cos(), angle.sin()
        return x0 * alpha + noise * sigma, noise * alpha - x0 * sigma

    def sample(
        self,
        model_fn: ModelFn,
        noise: Float[Tensor, "b d l"],
        *,
        steps: int,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """DDIM steps at even distances."""
        return sample_v_ddim(model_fn, noise, steps=steps)


class StraightPath(Objective):
    """The direction of a straight line from signal to noise (Liu et al. 2022, 2209.03003).

    The noisy signal is `(1 - t) x0 + t noise`.
    """

    description = "the direction of a straight path (a rectified flow)"

    def training_pair(
        self, x0: Float[Tensor, "b d l"], noise: Float[Tensor, "b d l"], t: Float[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b d l"], Float[Tensor, "b d l"]]:
        """The noisy signal, and `noise - x0`."""
        t = t[:, None, None]
        return x0 * (1 - t) + noise * t, noise - x0


class RectifiedFlow(StraightPath):
    """A straight path, followed to its end."""

    def sample(
        self,
        model_fn: ModelFn,
        noise: Float[Tensor, "b d l"],
        *,
        steps: int,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Euler steps, evenly spaced in the logarithm of the signal-to-noise ratio."""
        return sample_euler(model_fn, noise, steps=steps)


class RFDenoiser(StraightPath):
    """A straight path, by a network that was trained on to jump to its end from anywhere."""

    def sample(
        self,
        model_fn: ModelFn,
        noise: Float[Tensor, "b d l"],
        *,
        steps: int,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Jumps to the end and back to less noise, spaced as those of a rectified flow."""
        return sample_pingpong(model_fn, noise, steps=steps, generator=generator)


_OBJECTIVES: dict[ObjectiveName, type[Objective]] = {
    "v": VObjective,
    "rectified_flow": RectifiedFlow,
    "rf_denoiser": RFDenoiser,
}


def build_objective(name: ObjectiveName) -> Objective:
    """The objective of a name."""
    return _OBJECTIVES[name]()
