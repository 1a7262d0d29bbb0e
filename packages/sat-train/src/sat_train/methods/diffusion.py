"""Training of unconditional diffusion models."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.training import DiffusionUncondTraining
from sat_config.errors import UserError
from sat_models.checkpoint import fingerprint
from sat_models.data.batch import LatentBatch
from sat_models.data.dataset import ItemDataset
from sat_models.data.latent_details import check_latents
from sat_models.data.latents import LatentDataset
from sat_models.models.diffusion import DiffusionModel
from sat_models.pretransforms.autoencoder import AutoencoderPretransform
from sat_models.sampling.generate import generate_audio
from sat_models.support import refuse_unsupported
from sat_train.methods.base import Batch, Demo, Method, build_method


class DiffusionMethod(Method):
    """Denoising at uniformly drawn times: mean squared error of what the objective predicts.

    Adam. All frames count in the loss, those of padding included: SAT does the same for
    unconditional models, and a model that is never told a length must learn to end in silence.
    A frozen pretransform is stored along with the model but not trained.

    Args:
        diffusion: The model; its state is stored under `diffusion.`.
        training: The training block.
        seed: Seeds what the steps draw.
        demo_frames: Length of a demo, in the model's frames.
    """

    headline = "val/loss"

    def __init__(
        self,
        diffusion: DiffusionModel,
        *,
        training: DiffusionUncondTraining,
        seed: int,
        demo_frames: int,
    ) -> None:
        super().__init__(
            seed=seed,
            learning_rate=training.learning_rate,
            demo_every=training.demo.demo_every,
        )
        self.diffusion = diffusion
        self.demo_settings = training.demo
        self.demo_frames = demo_frames

    def signal(self, batch: Batch) -> Float[Tensor, "b d l"]:
        """What the model is trained on: audio, or latents divided by the pretransform's scale."""
        if not isinstance(batch, LatentBatch):
            return self.diffusion.to_latents(batch.values.to(self.dtype))
        latents, pretransform = batch.latents.to(self.dtype), self.diffusion.pretransform
        return latents if pretransform is None else latents / pretransform.scale

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """The mean squared error at one random time per item."""
        clean = self.signal(batch)
        t = torch.rand(clean.shape[0], device=clean.device, dtype=clean.dtype)
        noise = torch.randn_like(clean)
        noised, target = self.diffusion.objective.training_pair(clean, noise, t)
        predicted = self.diffusion(noised, t)
        return {"mse": (predicted.float() - target.float()).square().mean()}

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The mean loss over all items, with the same times and noise at every validation."""
        total, count = 0.0, 0
        for batch in batches:
            items = len(batch.items)
            total += items * self.losses(batch)["mse"].item()
            count += items
        return {"val/loss": total / count}

    def demos(self, batches: Iterable[Batch]) -> Iterator[Demo]:
        """Generated clips, from the same noise at every demo; the data is not looked at."""
        audio = generate_audio(
            self.diffusion,
            num_samples=self.demo_settings.num_demos,
            frames=self.demo_frames,
            steps=self.demo_settings.demo_steps,
            seed=self.seed,
            device=self.device,
        )
        for clip in audio:
            yield Demo(name="generated", audio={"audio": clip.float().cpu()})

    def next_words(
        self, experiment: AudioExperiment, *, config: Path, latest: Path
    ) -> Sequence[str]:
        """Train on, for twice as long: what was trained can be heard in the demos."""
        words = ["sat-train", str(config), "--override", "recover=true"]
        if experiment.max_steps is not None:
            words += ["--override", f"max_steps={2 * experiment.max_steps}"]
        return words

    def check_data(self, dataset: ItemDataset) -> None:
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

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over all weights that are not frozen."""
        return torch.optim.Adam(self.trained_parameters(), lr=self.learning_rate)


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
    return DiffusionMethod(model, training=training, seed=experiment.seed, demo_frames=frames)
