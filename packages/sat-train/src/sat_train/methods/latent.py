"""What all training of diffusion models shares: latents, validation, average and data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.optimizer import OptimizerGroup
from sat_config.errors import UserError
from sat_models.checkpoint import fingerprint
from sat_models.data.batch import AudioBatch, Batch, LatentBatch
from sat_models.data.dataset import ItemDataset
from sat_models.data.latent_details import check_latents
from sat_models.data.latents import LatentDataset
from sat_models.losses.pointwise import masked_mean
from sat_models.models.conditioned_diffusion import ConditionedDiffusionModel
from sat_models.models.diffusion import DiffusionModel
from sat_models.models.objectives import Objective
from sat_models.pretransforms.autoencoder import AutoencoderPretransform
from sat_models.pretransforms.base import Pretransform
from sat_train.ema import USUAL, WeightAverage
from sat_train.methods.base import AudioMethod
from sat_train.steps import Part, StepSettings

VALIDATION_TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""How noisy the items of a validation are made, one time after the other."""

AnyDiffusion = DiffusionModel | ConditionedDiffusionModel


@dataclass(frozen=True)
class Encoded:
    """What a model is trained on.

    Attributes:
        latents: Audio, or latents divided by the pretransform's scale.
        mask: True for the frames that are no padding.
    """

    latents: Float[Tensor, "b d l"]
    mask: Bool[Tensor, "b l"]


@dataclass(frozen=True)
class Task:
    """How a batch is predicted and judged.

    Attributes:
        predict: From noisy latents and times to what the network predicts.
        counted: True for the frames that count in the loss; None counts all.
    """

    predict: Callable[[Tensor, Tensor], Tensor]
    counted: Bool[Tensor, "b l"] | None


class LatentMethod(AudioMethod, ABC):
    """A diffusion model on latents, with an average of its backbone.

    A frozen pretransform is stored along with the model but not trained. Validation takes the mean
    squared error of what the network predicts at five times, with the same noise every time.

    Args:
        diffusion: The model; its state is stored under `diffusion.`, the average of its backbone
            under `diffusion_ema.`.
        settings: How steps are taken.
        demo_every: Steps between demos.
        demo_samples: Samples of a demo's clips.
        optimizers: Optimizer and scheduler of each part, by its name; the model's is "diffusion".
        use_ema: Keep an average of the backbone's weights.
    """

    headline = "val/loss"

    def __init__(
        self,
        diffusion: AnyDiffusion,
        *,
        settings: StepSettings,
        demo_every: int,
        demo_samples: int,
        optimizers: Mapping[str, OptimizerGroup],
        use_ema: bool,
    ) -> None:
        super().__init__(settings=settings, demo_every=demo_every, optimizers=optimizers)
        self.diffusion = diffusion
        self.diffusion_ema = WeightAverage(diffusion.model, USUAL) if use_ema else None
        self.demo_samples = demo_samples

    @abstractmethod
    def task(self, batch: Batch, encoded: Encoded, *, training: bool) -> Task:
        """How a batch is predicted and judged; what training leaves out by chance is drawn last."""

    def after_step(self, part: Part) -> None:
        """Let the average follow."""
        if self.diffusion_ema is not None and part.name == "diffusion":
            self.diffusion_ema.update(self.diffusion.model)

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The mean loss over all items at each of five times, and their mean."""
        sums, count = torch.zeros(len(VALIDATION_TIMES), dtype=torch.float64), 0
        for batch in batches:
            encoded = encode(self.diffusion, batch, dtype=self.number_format)
            task = self.task(batch, encoded, training=False)
            sums += len(batch.items) * self._errors(task, encoded.latents)
            count += len(batch.items)
        means = (sums / count).tolist()
        by_time = {f"val/loss_{t}": mean for t, mean in zip(VALIDATION_TIMES, means, strict=True)}
        return {"val/loss": sum(means) / len(means), **by_time}

    def _errors(self, task: Task, latents: Tensor) -> Float[Tensor, " n"]:
        errors = []
        for t in VALIDATION_TIMES:
            noise = torch.randn_like(latents)
            times = torch.full((latents.shape[0],), t, dtype=torch.float32, device=latents.device)
            error = error_of(self.diffusion.objective, task, latents, noise, times)
            errors.append(masked_mean(error, task.counted).double().cpu())
        return torch.stack(errors)

    def check_dataset(self, dataset: ItemDataset) -> None:
        """Refuse latents that another autoencoder than the pretransform has made."""
        if isinstance(dataset, LatentDataset):
            check_encoded(dataset, self.diffusion)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The average in the model's place, if one is kept."""
        own: nn.Module = self.diffusion.model
        used = own
        if self.diffusion_ema is not None:
            used = self.diffusion_ema.in_format(self.number_format)
        self.diffusion.add_module("model", used)
        try:
            yield
        finally:
            self.diffusion.add_module("model", own)


def encode(model: AnyDiffusion, batch: Batch, *, dtype: torch.dtype) -> Encoded:
    """What a model works on, of audio or of latents that were encoded before."""
    mask = batch.padding_mask.bool()
    pretransform: Pretransform | None = model.pretransform
    if isinstance(batch, AudioBatch):
        latents = model.to_latents(batch.audio.to(dtype))
        return Encoded(latents, per_frame(mask, latents.shape[-1]))
    assert isinstance(batch, LatentBatch)
    latents = batch.latents.to(dtype)
    return Encoded(latents if pretransform is None else latents / pretransform.scale, mask)


def per_frame(mask: Bool[Tensor, "b t"], frames: int) -> Bool[Tensor, "b l"]:
    """A mask of samples as one of frames: whether a frame's first sample is no padding."""
    if mask.shape[-1] == frames:
        return mask
    return functional.interpolate(mask[:, None].float(), size=frames, mode="nearest")[:, 0].bool()


def check_encoded(dataset: LatentDataset, model: AnyDiffusion) -> None:
    """Refuse latents that another autoencoder than the model's pretransform has made.

    Raises:
        DataError: They do not fit.
    """
    weights = None
    if isinstance(model.pretransform, AutoencoderPretransform):
        weights = fingerprint(model.pretransform.model.state_dict())
    for details in dataset.details:
        check_latents(
            details,
            latent_dim=model.io_channels,
            hop_length=model.hop_length,
            sample_rate=model.sample_rate,
            autoencoder_fingerprint=weights,
        )


def check_frames(model: AnyDiffusion, *, sample_size: int, keys: Sequence[str]) -> None:
    """Refuse crops that are no whole number of the network's patches.

    Args:
        model: The model.
        sample_size: Samples of a crop.
        keys: Where the size of patches is set.

    Raises:
        UserError: They are not.
    """
    frames, multiple = sample_size // model.hop_length, model.frame_multiple
    if frames % multiple:
        raise UserError(
            f"sample_size {sample_size} is {frames} frames of the model, whose {' and '.join(keys)}"
            f" wants a multiple of {multiple}: set sample_size to a multiple of"
            f" {multiple * model.hop_length}"
        )


def error_of(
    objective: Objective, task: Task, latents: Tensor, noise: Tensor, t: Tensor
) -> Float[Tensor, "b d l"]:
    """The squared error of what is predicted from latents with noise of some times."""
    x, target = objective.training_pair(latents, noise, t)
    return (task.predict(x, t).float() - target.float()).square()
