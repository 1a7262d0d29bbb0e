"""What a diffusion network predicts, how it is trained for that, and how it is sampled.

Time `t` runs from 0, the clean signal, to 1, noise alone.
"""

import math
from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from sat_config.audio.inference import Sampler
from sat_config.audio.transformer import Objective as ObjectiveName


class Objective(ABC):
    """What the output of a diffusion network means.

    Attributes:
        description: What the network predicts, in words.
        sampler: The sampler that suits it, where nobody asks for another.
    """

    description: str
    sampler: Sampler

    @abstractmethod
    def training_pair(
        self, x0: Float[Tensor, "b d l"], noise: Float[Tensor, "b d l"], t: Float[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b d l"], Float[Tensor, "b d l"]]:
        """The noisy signal at time `t`, and what the network ought to predict from it."""

    @abstractmethod
    def denoised(
        self, x: Float[Tensor, "b d l"], predicted: Float[Tensor, "b d l"], t: Float[Tensor, " b"]
    ) -> Float[Tensor, "b d l"]:
        """The clean signal that a prediction from the noisy signal `x` amounts to."""

    @abstractmethod
    def noise_level(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Standard deviation of the noise in the signal at time `t`, from 0 to 1."""


class VObjective(Objective):
    """The velocity on a quarter circle between signal and noise (Salimans and Ho 2022, 2202.00512).

    The noisy signal is `alpha x0 + sigma noise` with `alpha = cos(pi t / 2)` and
    `sigma = sin(pi t / 2)`.
    """

    description = "the velocity v of a cosine schedule"
    sampler = "v-ddim"

    def training_pair(
        self, x0: Float[Tensor, "b d l"], noise: Float[Tensor, "b d l"], t: Float[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b d l"], Float[Tensor, "b d l"]]:
        """The noisy signal, and `alpha noise - sigma x0`."""
        angle = t[:, None, None] * (math.pi / 2)
        alpha, sigma = angle.cos(), angle.sin()
        return x0 * alpha + noise * sigma, noise * alpha - x0 * sigma

    def denoised(
        self, x: Float[Tensor, "b d l"], predicted: Float[Tensor, "b d l"], t: Float[Tensor, " b"]
    ) -> Float[Tensor, "b d l"]:
        """`alpha x - sigma v`."""
        angle = t[:, None, None] * (math.pi / 2)
        return x * angle.cos() - predicted * angle.sin()

    def noise_level(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """`sigma`."""
        return (t * (math.pi / 2)).sin()


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

    def denoised(
        self, x: Float[Tensor, "b d l"], predicted: Float[Tensor, "b d l"], t: Float[Tensor, " b"]
    ) -> Float[Tensor, "b d l"]:
        """`x - t v`."""
        return x - predicted * t[:, None, None]

    def noise_level(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The time itself."""
        return t


class RectifiedFlow(StraightPath):
    """A straight path, followed to its end by Euler steps."""

    sampler = "euler"


class RFDenoiser(StraightPath):
    """A straight path, by a network that was trained on to jump to its end from anywhere.

    Sampling jumps there and back to less noise.
    """

    sampler = "pingpong"


_OBJECTIVES: dict[ObjectiveName, type[Objective]] = {
    "v": VObjective,
    "rectified_flow": RectifiedFlow,
    "rf_denoiser": RFDenoiser,
}


def build_objective(name: ObjectiveName) -> Objective:
    """The objective of a name."""
    return _OBJECTIVES[name]()
