"""Training of diffusion autoencoders."""

import math
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.inference import Inference
from sat_config.audio.loss import DEFAULT_LOSSES, BottleneckWeights
from sat_config.audio.optimizer import AdamConfig, AdamNode, OptimizerGroup
from sat_config.audio.training import DiffusionAutoencoderTraining
from sat_config.errors import UserError
from sat_models.data.batch import AudioBatch, Batch
from sat_models.data.dataset import ItemDataset
from sat_models.data.latents import LatentDataset
from sat_models.generation.job import solver_from
from sat_models.losses.build import build_spectral_loss
from sat_models.losses.pointwise import l2_distance
from sat_models.models.diffusion_autoencoder import DiffusionAutoencoder
from sat_models.models.timesteps import UniformTimesteps
from sat_train.audio.demo import AudioDemo
from sat_train.ema import USUAL, WeightAverage
from sat_train.methods.base import AudioMethod, build_method
from sat_train.methods.denoising import TrainingTimes
from sat_train.methods.latent import VALIDATION_TIMES
from sat_train.methods.reconstruction import FIXED_WEIGHTS, SpectralLoss, Terms, same_length
from sat_train.steps import Losses, Part, StepSettings

SPECTRAL_WEIGHT = 0.1
MAX_DEMOS = 8


class DiffusionAutoencoderMethod(AudioMethod):
    """Denoising of audio from its own latents, with the bottleneck's losses at their usual weights.

    By Adam, with an average of the whole model. Deviations from SAT: the target is that of the
    backbone's objective, there always the velocity; bottlenecks that treat latents before they are
    decoded do so in training too.

    Args:
        diffae: The model; its state is stored under `diffae.`, its average under `diffae_ema.`.
        training: The training block.
        settings: How steps are taken.
    """

    headline = "val/loss"

    def __init__(
        self,
        diffae: DiffusionAutoencoder,
        *,
        training: DiffusionAutoencoderTraining,
        settings: StepSettings,
    ) -> None:
        adam = AdamNode(config=AdamConfig(lr=training.learning_rate))
        super().__init__(
            settings=settings,
            demo_every=training.demo.demo_every,
            optimizers={"diffae": OptimizerGroup(optimizer=adam)},
        )
        self.diffae = diffae
        self.diffae_ema = WeightAverage(diffae, USUAL)
        self.demo = training.demo
        self.times = TrainingTimes(UniformTimesteps(), shift=None, one_shot=0.0)
        usual = BottleneckWeights()
        self.weights = {**FIXED_WEIGHTS, "kl": usual.kl, "mmd": usual.mmd, "softnorm": 0.0}
        self.spectral = None
        if training.use_reconstruction_loss:
            loss = build_spectral_loss(
                DEFAULT_LOSSES.spectral.config, sample_rate=diffae.sample_rate
            )
            self.spectral = SpectralLoss(loss, channels=diffae.out_channels)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The model, as far as it is not frozen."""
        return (Part("diffae", (self.diffae,)),)

    def losses(self, batch: Batch, part: Part) -> Losses:
        """The error at one random time per item, and what the bottleneck reports."""
        model = self.diffae
        audio = _waveforms(batch).to(self.number_format)
        with nullcontext() if _is_trained(model.pretransform) else torch.no_grad():
            signal = model.to_signal(audio)
        encoding = model.encode_signal(signal)
        condition = model.condition_for(encoding.latents)
        t = self.times.draw(
            signal.shape[0],
            frames=signal.shape[-1],
            seed=self.settings.seed,
            number=self.batch_number,
            device=signal.device,
        )
        x, target = model.objective.training_pair(signal, torch.randn_like(signal), t)
        predicted = model(x, t, condition)
        terms = {"mse": l2_distance(predicted.float(), target.float())}
        terms |= self._bottleneck_terms(encoding.losses)
        if self.spectral is not None:
            made = model.objective.denoised(x, predicted, t).to(self.number_format)
            decoded = made if model.pretransform is None else model.pretransform.decode(made)
            pair = same_length(audio.float(), decoded.float())
            terms["mrstft"] = SPECTRAL_WEIGHT * self.spectral(*pair)
        figures = {"latent_std": encoding.latents.detach().std(), "data_std": signal.std()}
        return Losses(terms, figures)

    def after_step(self, part: Part) -> None:
        """Let the average follow."""
        self.diffae_ema.update(self.diffae)

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The mean error over all items at each of five times, from the latents' mean."""
        model, sums, count = self.diffae, torch.zeros(len(VALIDATION_TIMES)).double(), 0
        for batch in batches:
            signal = model.to_signal(_waveforms(batch).to(self.number_format))
            condition = model.condition_for(model.encode_signal(signal, sample=False).latents)
            errors = [self._error(signal, condition, t) for t in VALIDATION_TIMES]
            sums += len(batch.items) * torch.stack(errors)
            count += len(batch.items)
        means = (sums / count).tolist()
        by_time = {f"val/loss_{t}": mean for t, mean in zip(VALIDATION_TIMES, means, strict=True)}
        return {"val/loss": sum(means) / len(means), **by_time}

    def demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        """Originals, what the average decodes of their latents, and what the pretransform does."""
        return islice(self._all_demos(batches), MAX_DEMOS)

    def check_dataset(self, dataset: ItemDataset) -> None:
        """Refuse latents."""
        if isinstance(dataset, LatentDataset):
            raise UserError(
                "training a diffusion autoencoder needs audio, but the dataset holds latents: set"
                " dataset.dataset_type to 'audio_dir'"
            )

    def _all_demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        model = self.diffae_ema.in_format(self.number_format)
        assert isinstance(model, DiffusionAutoencoder)
        solver = solver_from(Inference(steps=self.demo.demo_steps), model.objective)
        for batch in batches:
            audio = _waveforms(batch).to(self.number_format)
            latents = model.encode(audio, sample=False).latents
            generator = torch.Generator(audio.device).manual_seed(self.settings.seed)
            versions = {
                "original": audio,
                "reconstruction": model.decode(latents, solver=solver, generator=generator),
            }
            if model.pretransform is not None:
                versions["first_stage"] = model.pretransform.decode(model.to_signal(audio))
            for index, item in enumerate(batch.items):
                length = int(batch.padding_mask[index].sum())
                yield AudioDemo(
                    name=Path(item.path).stem,
                    audio={
                        n: clip[index, :, :length].float().cpu() for n, clip in versions.items()
                    },
                    sample_rate=model.sample_rate,
                    latents=latents[index, :, : math.ceil(length / model.hop_length)].cpu(),
                )

    def _bottleneck_terms(self, losses: Terms) -> Terms:
        return {
            name: self.weights[name] * loss for name, loss in losses.items() if self.weights[name]
        }

    def _error(self, signal: Tensor, condition: Tensor, time: float) -> Float[Tensor, ""]:
        model = self.diffae
        t = torch.full((signal.shape[0],), time, dtype=torch.float32, device=signal.device)
        x, target = model.objective.training_pair(signal, torch.randn_like(signal), t)
        return l2_distance(model(x, t, condition).float(), target.float()).double().cpu()


@build_method.register
def _build(
    training: DiffusionAutoencoderTraining, *, model: nn.Module, experiment: AudioExperiment
) -> DiffusionAutoencoderMethod:
    assert isinstance(model, DiffusionAutoencoder)
    multiple = model.length_multiple
    if experiment.sample_size % multiple:
        raise UserError(
            f"sample_size is {experiment.sample_size}; the model needs a multiple of {multiple}"
        )
    return DiffusionAutoencoderMethod(
        model, training=training, settings=StepSettings.of(experiment)
    )


def _is_trained(module: nn.Module | None) -> bool:
    return module is not None and any(weight.requires_grad for weight in module.parameters())


def _waveforms(batch: Batch) -> Float[Tensor, "b c t"]:
    assert isinstance(batch, AudioBatch)  # check_dataset has refused everything else
    return batch.audio
