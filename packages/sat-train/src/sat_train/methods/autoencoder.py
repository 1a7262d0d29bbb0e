"""Training of autoencoders and hyperencoders, with a discriminator or without."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config import Experiment
from sat_config.audio.discriminator import EncodecDiscriminatorNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.optimizer import OptimizerGroup
from sat_config.audio.training import AutoencoderTraining
from sat_config.errors import UserError
from sat_models.data.batch import AudioBatch, Batch
from sat_models.data.dataset import ItemDataset
from sat_models.data.latents import LatentDataset
from sat_models.discriminators.base import build_discriminator
from sat_models.models.autoencoder import AudioAutoencoder
from sat_train.audio.demo import AudioDemo
from sat_train.distance import SpectralDistance
from sat_train.ema import USUAL, WeightAverage
from sat_train.measures import build_measures
from sat_train.methods.base import AudioMethod, build_method
from sat_train.methods.distillation import distillation_terms, load_teacher
from sat_train.methods.reconstruction import (
    ReconstructionLosses,
    Terms,
    hide,
    mixed_to_mono,
    same_length,
)
from sat_train.steps import Losses, Part, StepSettings

MAX_DEMOS = 8


@dataclass(frozen=True)
class Passage:
    """A batch on its way through an autoencoder.

    Attributes:
        source: What was encoded.
        audio: What decoding should give.
        latents: What the encoder made.
        decoded: What the decoder made of them, as long as `audio`.
        losses: The bottleneck's own losses by name.
    """

    source: Float[Tensor, "b c t"]
    audio: Float[Tensor, "b c2 t2"]
    latents: Float[Tensor, "b d l"]
    decoded: Float[Tensor, "b c2 t2"]
    losses: Terms


class AutoencoderMethod(AudioMethod):
    """Reconstruction, judged by spectra, waveforms, features and, if wanted, a discriminator.

    With a discriminator, steps alternate: the autoencoder takes the first, the discriminator the
    second, each on a batch of its own and with an optimizer of its own. Whichever is not trained
    computes no gradients. Padding at the end of short files counts in the losses, as in SAT, but
    not in validation, which reconstructs from the latents' mean.

    Args:
        autoencoder: The model; its state is stored under `autoencoder.`.
        training: The training block.
        settings: How steps are taken.
    """

    headline = "val/mrstft"

    def __init__(
        self,
        autoencoder: AudioAutoencoder,
        *,
        training: AutoencoderTraining,
        settings: StepSettings,
    ) -> None:
        super().__init__(
            settings=settings,
            demo_every=training.demo.demo_every,
            optimizers=_optimizers(training),
        )
        self.training_block = training
        self.autoencoder = autoencoder
        channels, sample_rate = autoencoder.out_channels, autoencoder.sample_rate
        losses = training.loss_configs
        self.criteria = ReconstructionLosses(losses, channels=channels, sample_rate=sample_rate)
        self.discriminator = self.teacher_model = self.autoencoder_ema = None
        if losses.discriminator is not None:
            self.discriminator = build_discriminator(
                losses.discriminator, channels=channels, sample_rate=sample_rate
            )
            self.adversarial = losses.discriminator.weights
        if training.teacher_model is not None and training.teacher_model_ckpt is not None:
            self.teacher_model = load_teacher(training.teacher_model, training.teacher_model_ckpt)
        if training.use_ema:
            self.autoencoder_ema = WeightAverage(autoencoder, USUAL)
        self.distance = SpectralDistance()
        self.measures = build_measures(training.eval_loss_configs, sample_rate=sample_rate)

    # ------------------------------------------------------------------------------ training

    @property
    def parts(self) -> tuple[Part, ...]:
        """The autoencoder, and the discriminator if there is one."""
        model = Part("autoencoder", (self.autoencoder,))
        if self.discriminator is None:
            return (model,)
        return model, Part("discriminator", (self.discriminator,))

    def turn(self, step: int) -> int:
        """Odd steps are the discriminator's, in a full warmup only once that is over."""
        waiting = self.training_block.warmup_mode == "full" and not self._warm(step)
        return 0 if self.discriminator is None or waiting else step % 2

    def losses(self, batch: Batch, part: Part) -> Losses:
        """What the autoencoder, or the discriminator, minimises."""
        if part.name == "discriminator":
            return self._discriminator_losses(batch)
        passage = self._pass(batch)
        audio, decoded = passage.audio.float(), passage.decoded.float()
        terms = {
            **self.criteria.bottleneck_terms(passage.losses),
            **self._spectral_terms(passage),
            **self.criteria.other_terms(audio, decoded),
            **self._adversarial_terms(passage),
        }
        figures = {
            "latent_std": passage.latents.detach().std(),
            "data_std": passage.source.std(),
        }
        return Losses(terms, figures)

    def after_step(self, part: Part) -> None:
        """Let the average follow."""
        if self.autoencoder_ema is not None and part.name == "autoencoder":
            self.autoencoder_ema.update(self.autoencoder)

    def _discriminator_losses(self, batch: Batch) -> Losses:
        assert self.discriminator is not None
        with torch.no_grad():
            passage = self._pass(batch)
        loss = self.discriminator.discriminator_loss(passage.audio, passage.decoded)
        return Losses({"recognition": loss})

    def _pass(self, batch: Batch) -> Passage:
        block = self.training_block
        audio = _waveforms(batch).to(self.number_format)
        source = mixed_to_mono(audio) if block.force_input_mono else audio
        frozen = block.encoder_freeze_on_warmup and self._warm(self.global_step)
        with torch.no_grad() if frozen else nullcontext():
            encoding = self.autoencoder.encode(source)
        latents = encoding.latents
        if block.latent_mask_ratio:
            latents = hide(latents, share=block.latent_mask_ratio)
        audio, decoded = same_length(audio, self.autoencoder.decode(latents))
        return Passage(source, audio, encoding.latents, decoded, encoding.losses)

    def _spectral_terms(self, passage: Passage) -> Terms:
        if self.teacher_model is None:
            return self.criteria.spectral_terms(passage.audio.float(), passage.decoded.float())
        return distillation_terms(
            self.criteria,
            student=self.autoencoder,
            teacher=self.teacher_model,
            source=passage.source,
            audio=passage.audio,
            latents=passage.latents,
            decoded=passage.decoded,
        )

    def _adversarial_terms(self, passage: Passage) -> Terms:
        if self.discriminator is None or not self._warm(self.global_step):
            return {}
        losses = self.discriminator.generator_losses(passage.audio, passage.decoded)
        return {
            "adversarial": self.adversarial.adversarial * losses.adversarial,
            "feature_matching": self.adversarial.feature_matching * losses.feature_matching,
        }

    def _warm(self, step: int) -> bool:
        return step >= self.training_block.warmup_steps

    # --------------------------------------------------------------------- validation and demos

    def reconstruct(self, audio: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Encode and decode without drawing: the mean of the latents."""
        return self.autoencoder.decode(self._latents(audio, self.autoencoder)).float()

    def _latents(self, audio: Tensor, model: AudioAutoencoder) -> Float[Tensor, "b d l"]:
        source = mixed_to_mono(audio) if self.training_block.force_input_mono else audio
        source = source.to(next(model.parameters()).dtype)
        return model.encode(source, sample=False).latents

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The distance over all items together, that of silence, and means of what is measured."""
        sums: list[Tensor] = []
        measured: list[Tensor] = []
        for got, want in self._reconstructions(batches):
            silence = self.distance.sums(torch.zeros_like(want), want)
            sums.append(torch.stack([self.distance.sums(got, want), silence]))
            values = [measure(got, want) for measure in self.measures.values()]
            measured.append(torch.tensor(values, dtype=torch.float64))
        reconstruction, silence = torch.stack(sums).sum(0)
        means = torch.stack(measured).nanmean(0).tolist()
        return {
            "val/mrstft": float(self.distance.value(reconstruction)),
            "val/mrstft_silence": float(self.distance.value(silence)),
            **{f"val/{name}": mean for name, mean in zip(self.measures, means, strict=True)},
        }

    def _reconstructions(self, batches: Iterable[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        """Each item without its padding: what is made of it, and what it was, `1 c t`."""
        for batch in batches:
            audio = _waveforms(batch)
            decoded = self.reconstruct(audio)
            for index, length in enumerate(batch.padding_mask.sum(1).tolist()):
                item = slice(index, index + 1)
                want, got = same_length(audio[item, :, :length], decoded[item])
                yield got, want

    def demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        """Originals, reconstructions and latents of eight items, by the average if one is kept."""
        return islice(self._all_demos(batches), MAX_DEMOS)

    def _all_demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        model = self.autoencoder
        if self.autoencoder_ema is not None:
            averaged = self.autoencoder_ema.ema_model
            assert isinstance(averaged, AudioAutoencoder)
            model = averaged
        for batch in batches:
            audio = _waveforms(batch)
            latents = self._latents(audio, model)
            decoded = model.decode(latents).float()
            for index, item in enumerate(batch.items):
                length = int(batch.padding_mask[index].sum())
                versions = {"original": audio[index], "reconstruction": decoded[index]}
                yield AudioDemo(
                    name=Path(item.path).stem,
                    audio={name: clip[:, :length].cpu() for name, clip in versions.items()},
                    sample_rate=model.sample_rate,
                    latents=latents[index, :, : math.ceil(length / model.hop_length)].cpu(),
                )

    # ---------------------------------------------------------------------------- around it

    def next_words(self, experiment: Experiment, *, config: Path, latest: Path) -> Sequence[str]:
        """Encode the dataset with what was trained."""
        assert isinstance(experiment, AudioExperiment)
        words = ["sat-preencode", str(config)]
        table = experiment.preencode
        given = table.checkpoint if table is not None else None
        if given is None or Path(given).resolve() != latest.resolve():  # another run's weights
            words += ["--override", f"preencode.checkpoint={latest}"]
            words += ["--override", f"preencode.output_path=latents/{experiment.name}"]
        return words

    def check_dataset(self, dataset: ItemDataset) -> None:
        """Refuse latents."""
        if isinstance(dataset, LatentDataset):
            raise UserError(
                "training an autoencoder needs audio, but the dataset holds latents: set"
                " dataset.dataset_type to 'audio_dir'"
            )


@build_method.register
def _build(
    training: AutoencoderTraining, *, model: nn.Module, experiment: AudioExperiment
) -> AutoencoderMethod:
    assert isinstance(model, AudioAutoencoder)
    settings = StepSettings.of(experiment, max_norm=training.clip_grad_norm)
    method = AutoencoderMethod(model, training=training, settings=settings)
    _check_length(training, experiment.sample_size, method.criteria.shortest_signal)
    return method


def _check_length(training: AutoencoderTraining, sample_size: int, shortest: int) -> None:
    """Refuse crops that are shorter than a transform.

    Raises:
        UserError: They are.
    """
    where, least = "training.loss_configs.spectral.config.fft_sizes", shortest
    discriminator = training.loss_configs.discriminator
    if isinstance(discriminator, EncodecDiscriminatorNode):
        longest = max(discriminator.config.n_ffts)
        if longest > least:
            where, least = "training.loss_configs.discriminator.config.n_ffts", longest
    if sample_size < least:
        raise UserError(
            f"sample_size is {sample_size}, but the largest of {where} needs crops of at least"
            f" {least} samples: raise sample_size or leave out the large transforms"
        )


def _optimizers(training: AutoencoderTraining) -> dict[str, OptimizerGroup]:
    optimizers = training.optimizers
    groups = {"autoencoder": optimizers.autoencoder}
    if optimizers.discriminator is not None:
        groups["discriminator"] = optimizers.discriminator
    return groups


def _waveforms(batch: Batch) -> Float[Tensor, "b c t"]:
    assert isinstance(batch, AudioBatch)  # check_dataset has refused everything else
    return batch.audio
