"""What a student learns from the way that a teacher goes from noise to audio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.arc import ODEWarmup
from sat_models.conditioners.base import Metadata
from sat_models.models.conditioned_diffusion import ConditionedDiffusionModel
from sat_models.models.guidance import Guidance, guided_only
from sat_models.sampling.samplers import sample_flow_dpmpp
from sat_models.sampling.schedules import log_snr_times

EVERYWHERE = (0.0, 1.0)


@dataclass(frozen=True)
class Point:
    """A place on a teacher's way for each item of a batch.

    Attributes:
        x: Where the teacher was.
        t: When.
    """

    x: Float[Tensor, "b d l"]
    t: Float[Tensor, " b"]


@dataclass(frozen=True)
class Trajectory:
    """A teacher's way from noise to a batch of latents.

    Attributes:
        states: Where it was, noise first; its end is left out.
        times: When, 1 first.
        target: Where it ended.
        metadata: What it was told of each item.
        signals: What it was told besides: see `draw_gaps`.
    """

    states: Float[Tensor, "n b d l"]
    times: Float[Tensor, " n"]
    target: Float[Tensor, "b d l"]
    metadata: Sequence[Metadata]
    signals: Mapping[str, Tensor]

    def draw(self) -> Point:
        """A random place for each item."""
        count = self.states.shape[1]
        index = torch.randint(0, len(self.times), (count,)).to(self.times.device)
        items = torch.arange(count, device=index.device)
        return Point(self.states[index, items], self.times[index])


@torch.no_grad()
def follow(
    teacher: ConditionedDiffusionModel,
    noise: Float[Tensor, "b d l"],
    *,
    metadata: Sequence[Metadata],
    signals: Mapping[str, Tensor],
    warmup: ODEWarmup,
) -> Trajectory:
    """Have a teacher sample, guided, and note every step.

    Args:
        teacher: A model of straight paths.
        noise: Where it starts.
        metadata: What it is told.
        signals: What it is told besides.
        warmup: How many steps it takes, and its guidance scale.
    """
    conditioning = teacher.condition(metadata, signals=signals)
    guidance = Guidance(warmup.cfg, rescale=0.0, interval=EVERYWHERE)
    states = [noise]
    target = sample_flow_dpmpp(
        guided_only(teacher.guided(conditioning, guidance)),
        noise,
        steps=warmup.sampling_steps,
        callback=lambda step, x, denoised: states.append(x),
    )
    times = log_snr_times(warmup.sampling_steps, t_max=1.0)[:-1]
    return Trajectory(
        states=torch.stack(states[:-1]),
        times=torch.tensor(times, dtype=torch.float32, device=noise.device),
        target=target,
        metadata=metadata,
        signals=signals,
    )
