"""Training of diffusion models by denoising: which times, and the loss."""

from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.optimizer import OptimizerGroup
from sat_models.data.batch import Batch
from sat_models.losses.pointwise import masked_mean
from sat_models.models.timesteps import DistributionShift, TimestepSampler, UniformTimesteps
from sat_train.methods.latent import AnyDiffusion, LatentMethod, encode, error_of
from sat_train.steps import Figures, Losses, Part, StepSettings

BUCKETS = 10


@dataclass(frozen=True)
class TrainingTimes:
    """Which times a batch is trained at.

    Deviation from SAT: the shift of a model on audio goes by the length in latent frames, as it
    does in sampling, not by that of the audio.

    Attributes:
        sampler: Draws them.
        shift: Moves them by the length of the signal; None leaves them.
        one_shot: Share of items that start from noise alone.
    """

    sampler: TimestepSampler
    shift: DistributionShift | None
    one_shot: float

    def draw(
        self, count: int, *, frames: int, seed: int, number: int, device: torch.device
    ) -> Float[Tensor, " b"]:
        """Times of a batch, float32 whatever the model computes in.

        Args:
            count: Items.
            frames: Length of the latents.
            seed: Of the run.
            number: Of the batch; even coverage goes on from batch to batch, over all processes.
            device: Of the times.
        """
        with single_precision():
            if isinstance(self.sampler, UniformTimesteps):
                self.sampler.seek(seed=seed, place=number * count)
            t = self.sampler.draw(count, device=device)
            if self.shift is not None:
                t = self.shift(t, frames=frames)
            if self.one_shot:
                t = t.masked_fill(torch.rand_like(t) < self.one_shot, 1.0)
            return t


class DenoisingMethod(LatentMethod, ABC):
    """Mean squared error of what a network predicts from noisy latents.

    Args:
        diffusion: The model.
        settings: How steps are taken.
        demo_every: Steps between demos.
        demo_samples: Samples of a demo's clips.
        optimizer: Optimizer and scheduler.
        times: Which times are trained at.
        use_ema: Keep an average of the backbone's weights.
        by_noise: Record the loss by noise level too.
    """

    def __init__(
        self,
        diffusion: AnyDiffusion,
        *,
        settings: StepSettings,
        demo_every: int,
        demo_samples: int,
        optimizer: OptimizerGroup,
        times: TrainingTimes,
        use_ema: bool,
        by_noise: bool,
    ) -> None:
        super().__init__(
            diffusion,
            settings=settings,
            demo_every=demo_every,
            demo_samples=demo_samples,
            optimizers={"diffusion": optimizer},
            use_ema=use_ema,
        )
        self.times = times
        self.by_noise = by_noise

    @property
    def parts(self) -> tuple[Part, ...]:
        """The model, its conditioners included, as far as it is not frozen."""
        return (Part("diffusion", (self.diffusion,)),)

    def losses(self, batch: Batch, part: Part) -> Losses:
        """The error at one random time per item."""
        encoded = encode(self.diffusion, batch, dtype=self.number_format)
        task = self.task(batch, encoded, training=True)
        latents, objective = encoded.latents, self.diffusion.objective
        t = self.times.draw(
            latents.shape[0],
            frames=latents.shape[-1],
            seed=self.settings.seed,
            number=self.batch_number,
            device=latents.device,
        )
        noise = torch.randn_like(latents)
        error = error_of(objective, task, latents, noise, t)
        figures: dict[str, Tensor] = {"data_std": latents.std()}
        if self.by_noise:
            figures |= by_noise_level(error.detach(), objective.noise_level(t))
        return Losses({"mse": masked_mean(error, task.counted)}, figures)


def by_noise_level(error: Float[Tensor, "b d l"], level: Float[Tensor, " b"]) -> Figures:
    """The mean error of the items in each tenth of the noise levels that has any."""
    per_item = error.flatten(1).mean(1)
    bucket = (level * BUCKETS).long().clamp(max=BUCKETS - 1)
    return {
        f"loss_{index / BUCKETS}": per_item[bucket == index].mean()
        for index in sorted(set(bucket.tolist()))
    }


@contextmanager
def single_precision() -> Iterator[None]:
    """New tensors are float32, whatever the model computes in."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
