"""Training of unconditional diffusion models."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.inference import Inference
from sat_config.audio.optimizer import AdamConfig, AdamNode, OptimizerGroup
from sat_config.audio.training import DiffusionUncondTraining
from sat_config.errors import UserError
from sat_models.checkpoint import fingerprint
from sat_models.data.batch import AudioBatch, Batch, LatentBatch
from sat_models.data.dataset import ItemDataset
from sat_models.data.latent_details import check_latents
from sat_models.data.latents import LatentDataset
from sat_models.generation import generate
from sat_models.models.diffusion import DiffusionModel
from sat_models.pretransforms.autoencoder import AutoencoderPretransform
from sat_models.support import refuse_unsupported
from sat_train.audio.demo import AudioDemo
from sat_train.methods.base import AudioMethod, build_method
from sat_train.steps import Losses, Part, StepSettings


class DiffusionMethod(AudioMethod):
    """Denoising at uniformly drawn times: mean squared error of what the objective predicts.

    Adam. All frames count in the loss, those of padding included: SAT does the same for
    unconditional models, and a model that is never told a length must learn to end in silence.
    A frozen pretransform is stored along with the model but not trained.

    Args:
        diffusion: The model; its state is stored under `diffusion.`.
        training: The training block.
        settings: How steps are taken.
        demo_frames: Length of a demo, in the model's frames.
    """

    headline = "val/loss"

    def __init__(
        self,
        diffusion: DiffusionModel,
        *,
        training: DiffusionUncondTraining,
        settings: StepSettings,
        demo_frames: int,
    ) -> None:
        adam = AdamNode(config=AdamConfig(lr=training.learning_rate))
        super().__init__(
            settings=settings,
            demo_every=training.demo.demo_every,
            optimizers={"diffusion": OptimizerGroup(optimizer=adam)},
        )
        self.diffusion = diffusion
        self.demo_settings = training.demo
        self.demo_frames = demo_frames

    @property
    def parts(self) -> tuple[Part, ...]:
        """The network; a pretransform only if its weights are trained."""
        return (Part("diffusion", (self.diffusion,)),)

    def signal(self, batch: Batch) -> Float[Tensor, "b d l"]:
        """What the model is trained on: audio, or latents divided by the pretransform's scale."""
        if isinstance(batch, AudioBatch):
            return self.diffusion.to_latents(batch.audio.to(self.dtype))
        assert isinstance(batch, LatentBatch)
        latents, pretransform = batch.latents.to(self.dtype), self.diffusion.pretransform
        return latents if pretransform is None else latents / pretransform.scale

    def losses(self, batch: Batch, part: Part) -> Losses:
        """The mean squared error at one random time per item."""
        return Losses({"mse": self.error(batch)})

    def error(self, batch: Batch) -> Float[Tensor, ""]:
        """The mean squared error at one random time per item."""
        clean = self.signal(batch)
        t = torch.rand(clean.shape[0], device=clean.device, dtype=clean.dtype)
        noise = torch.randn_like(clean)
        noised, target = self.diffusion.objective.training_pair(clean, noise, t)
        predicted = self.diffusion(noised, t)
        error: Tensor = (predicted.float() - target.float()).square().mean()
        return error

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The mean loss over all items, with the same times and noise at every validation."""
        total, count = 0.0, 0
        for batch in batches:
            items = len(batch.items)
            total += items * self.error(batch).item()
            count += items
        return {"val/loss": total / count}

    def demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        """Generated clips, from the same noise at every demo; the data is not looked at."""
        settings = self.demo_settings
        wanted = Inference(
            num_samples=settings.num_demos, steps=settings.demo_steps, seed=self.settings.seed
        )
        made = generate(
            self.diffusion, wanted, sample_size=self.demo_frames * self.diffusion.hop_length
        )
        for clip in made.audio:
            yield AudioDemo(
                name="generated",
                audio={"audio": clip.cpu()},
                sample_rate=made.sample_rate,
            )

    def check_dataset(self, dataset: ItemDataset) -> None:
        """Refuse latents that another autoencoder than the pretransform has made."""
        if not isinstance(dataset, LatentDataset):
            return
        pretransform = self.diffusion.pretransform
        weights = None
        if isinstance(pretransform, AutoencoderPretransform):
            weights = fingerprint(pretransform.model.state_dict())
        for details in dataset.details:
            check_latents(
                details,
                latent_dim=self.diffusion.io_channels,
                hop_length=self.diffusion.hop_length,
                sample_rate=self.diffusion.sample_rate,
                autoencoder_fingerprint=weights,
            )


@build_method.register
def _build(
    training: DiffusionUncondTraining, *, model: nn.Module, experiment: AudioExperiment
) -> DiffusionMethod:
    assert isinstance(model, DiffusionModel)
    refuse_unsupported(training, ("learning_rate", "pre_encoded", "demo"), where="training")
    frames = experiment.sample_size // model.hop_length
    if frames % model.frame_multiple:
        raise UserError(
            f"sample_size {experiment.sample_size} is {frames} frames of the model, whose"
            f" model.config.patch_size wants a multiple of {model.frame_multiple}: set sample_size"
            f" to a multiple of {model.frame_multiple * model.hop_length}"
        )
    settings = StepSettings.of(experiment)
    return DiffusionMethod(model, training=training, settings=settings, demo_frames=frames)
