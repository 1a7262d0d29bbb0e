"""How the times of training are drawn, and how they are shifted for long signals.

Time runs from 0, the clean signal, to 1, noise alone.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from sat_config.audio.arc import NoiseDistribution
from sat_config.audio.diffusion import DistributionShift as DistributionShiftNode
from sat_config.audio.training import TimestepSamplerOptions

Name = Literal[
    "uniform",
    "logit_normal",
    "trunc_logit_normal",
    "log_snr",
    "one_shot",
    "denoised",
    "logsnr_uniform",
]
"""All distributions of training, adversarial post-training included."""

ARC_LOG_SNR = (-6.0, 2.0)


class TimestepSampler(ABC):
    """A distribution of times."""

    @abstractmethod
    def draw(
        self,
        count: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " b"]:
        """Times in [0, 1].

        Args:
            count: How many.
            device: Where they are returned; they are drawn on the CPU, so that a seed means the
                same on every device.
            generator: Source on the CPU; torch's global one if left out.
        """


class UniformTimesteps(TimestepSampler):
    """Even coverage by a scrambled Sobol sequence (Sobol 1967, Owen 1998).

    A quasi-random sequence leaves smaller gaps than independent draws, so the loss is less noisy.
    Without `seek`, the sequence is made when the first times are drawn, and goes on from call to
    call; the generator of that first call scrambles it, and later ones are not looked at. Deviation
    from SAT: there it is scrambled by torch's global seed when the training begins.
    """

    def __init__(self) -> None:
        self._engine: SobolEngine | None = None
        self._seed: int | None = None

    def draw(
        self,
        count: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " b"]:
        """The next times of the sequence."""
        if self._engine is None:
            seed = None if generator is None else _seed_from(generator)
            self._engine = _sequence(seed)
        return self._engine.draw(count)[:, 0].to(device)

    def seek(self, *, seed: int, place: int) -> None:
        """Make the next times those from a place of the sequence that a seed scrambles.

        Args:
            seed: Of the scrambling; SAT's sequence after `torch.manual_seed` of the same.
            place: Times before it.
        """
        if self._engine is None or seed != self._seed:
            self._engine, self._seed = _sequence(seed), seed
        if place < self._engine.num_generated:
            self._engine.reset()  # type: ignore[no-untyped-call]
        self._engine.fast_forward(place - self._engine.num_generated)  # type: ignore[no-untyped-call]


def _sequence(seed: int | None) -> SobolEngine:
    return SobolEngine(1, scramble=True, seed=seed)  # type: ignore[no-untyped-call]


def _seed_from(generator: torch.Generator) -> int:
    return int(torch.randint(2**31 - 1, (), generator=generator))


class IndependentTimesteps(TimestepSampler):
    """Uniform times, each for itself."""

    def draw(
        self,
        count: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " b"]:
        """Independent times."""
        return torch.rand(count, generator=generator).to(device)


class LogitNormalTimesteps(TimestepSampler):
    """The logistic function of a standard normal (Esser et al. 2024, 2403.03206).

    The middle counts most.
    """

    def draw(
        self,
        count: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " b"]:
        """Independent times."""
        return torch.randn(count, generator=generator).sigmoid().to(device)


class TruncatedLogitNormalTimesteps(TimestepSampler):
    """The same distribution without its part below 0.075, stretched over [0, 1] and turned around.

    Noisy times count most. The cut is made by inverting the distribution function, so one normal
    draw gives one time.
    """

    cut = 0.075

    def draw(
        self,
        count: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " b"]:
        """Independent times."""
        share = torch.special.ndtr(torch.randn(count, generator=generator))
        below = torch.special.ndtr(torch.logit(torch.tensor(self.cut)))
        kept = torch.special.ndtri(below + (1 - below) * share).sigmoid()
        drawn: Tensor = 1 - (kept - self.cut) / (1 - self.cut)
        return drawn.to(device)


@dataclass(frozen=True)
class LogSNRTimesteps(TimestepSampler):
    """Times whose log signal-to-noise ratio, log((1 - t) / t), is normal.

    On the ratio as the measure of time: Kingma et al. 2021, 2107.00630.

    Attributes:
        mean: Mean of the ratio's logarithm; higher is less noise.
        std: Its standard deviation.
        margin: Times closer than this to 0 or 1 are moved to this distance.
    """

    mean: float
    std: float
    margin: float = 1e-4

    def draw(
        self,
        count: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " b"]:
        """Independent times."""
        log_snr = torch.randn(count, generator=generator) * self.std + self.mean
        return (-log_snr).sigmoid().clamp(self.margin, 1 - self.margin).to(device)


@dataclass(frozen=True)
class UniformLogSNRTimesteps(TimestepSampler):
    """Times whose log signal-to-noise ratio, log((1 - t) / t), is uniform.

    Attributes:
        low: Least logarithm of the ratio, the most noise.
        high: Greatest logarithm of the ratio.
    """

    low: float
    high: float

    def draw(
        self,
        count: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " b"]:
        """Independent times."""
        log_snr = torch.rand(count, generator=generator) * (self.high - self.low) + self.low
        return (-log_snr).sigmoid().to(device)


@dataclass(frozen=True)
class ConstantTimesteps(TimestepSampler):
    """Always the same time.

    Attributes:
        t: That time.
    """

    t: float

    def draw(
        self,
        count: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " b"]:
        """That time, `count` times."""
        return torch.full((count,), self.t, device=device)


@dataclass(frozen=True)
class DistributionShift:
    """Times moved towards noise, the further the longer the signal (Esser et al. 2024, 2403.03206).

    The odds t / (1 - t) are multiplied by exp(m), where m grows linearly with the length, from
    `base_shift` to `max_shift`: neighbouring frames of a long signal resemble each other, so the
    same noise hides less of it.

    Attributes:
        base_shift: m at `min_length` and below.
        max_shift: m at `max_length` and above.
        min_length: Frames.
        max_length: Frames; another number than `min_length`.
        use_sine: Bend the shifted times by a quarter of a sine, further towards noise.
    """

    base_shift: float
    max_shift: float
    min_length: int
    max_length: int
    use_sine: bool

    def __call__(self, t: Float[Tensor, "*b"], *, frames: int) -> Float[Tensor, "*b"]:
        """Shifted times, in [0, 1] as the times are.

        Args:
            t: Times.
            frames: Length of the signal.
        """
        shifted = t / (t + (1 - t) * math.exp(-self.strength(frames)))
        return (shifted * (math.pi / 2)).sin() if self.use_sine else shifted

    def at(self, t: float, *, frames: int) -> float:
        """One shifted time."""
        return float(self(torch.tensor(t, dtype=torch.float64), frames=frames))

    def inverse(self, t: float, *, frames: int) -> float:
        """The time that is `t` after the shift."""
        plain = math.asin(t) / (math.pi / 2) if self.use_sine else t
        return plain / (plain + (1 - plain) * math.exp(self.strength(frames)))

    def strength(self, frames: int) -> float:
        """The logarithm of the factor on the odds, for a signal of so many frames."""
        place = (frames - self.min_length) / (self.max_length - self.min_length)
        return self.base_shift + (self.max_shift - self.base_shift) * min(max(place, 0.0), 1.0)


def build_timestep_sampler(name: Name, *, options: TimestepSamplerOptions) -> TimestepSampler:
    """The distribution of a name.

    Args:
        name: Of the distribution.
        options: Settings of "log_snr"; the others have none.
    """
    return {
        "uniform": UniformTimesteps(),
        "logit_normal": LogitNormalTimesteps(),
        "trunc_logit_normal": TruncatedLogitNormalTimesteps(),
        "log_snr": LogSNRTimesteps(mean=options.mean_logsnr, std=options.std_logsnr),
        "one_shot": ConstantTimesteps(1.0),
        "denoised": ConstantTimesteps(0.0),
        "logsnr_uniform": UniformLogSNRTimesteps(*ARC_LOG_SNR),
    }[name]


def build_noise_distribution(name: NoiseDistribution) -> TimestepSampler:
    """The distribution of a name, for adversarial post-training.

    Deviation from SAT: "uniform" times are independent. There, generator and discriminator draw
    from one quasi-random sequence in turns; with one item per batch, each gets every second number
    of it, all of them in the same half.
    """
    if name == "uniform":
        return IndependentTimesteps()
    return build_timestep_sampler(name, options=TimestepSamplerOptions())


def build_distribution_shift(node: DistributionShiftNode) -> DistributionShift:
    """The shift of a node."""
    return DistributionShift(
        base_shift=node.base_shift,
        max_shift=node.max_shift,
        min_length=node.min_length,
        max_length=node.max_length,
        use_sine=node.use_sine,
    )
