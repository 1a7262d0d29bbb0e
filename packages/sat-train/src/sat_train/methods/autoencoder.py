"""Training of autoencoders by spectral, waveform and bottleneck losses."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config import Experiment
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.loss import AutoencoderLosses
from sat_config.audio.training import AutoencoderTraining
from sat_config.errors import UserError
from sat_models.data.batch import AudioBatch, Batch
from sat_models.data.dataset import ItemDataset
from sat_models.data.latents import LatentDataset
from sat_models.losses.build import build_spectral_loss
from sat_models.losses.stft import MultiResolutionSTFTLoss, SumAndDifferenceSTFTLoss
from sat_models.models.autoencoder import AudioAutoencoder
from sat_models.support import UnsupportedError, refuse_unsupported
from sat_train.audio.demo import AudioDemo
from sat_train.distance import SpectralDistance
from sat_train.methods.base import AudioMethod, build_method
from sat_train.steps import Losses, Part, StepSettings

MAX_DEMOS = 8

FIXED_WEIGHTS = {"quantizer_loss": 1.0, "codebook_loss": 1.0, "commitment_loss": 0.25}
"""Weights of the quantizers' own losses, which SAT's files cannot set."""


class SpectralLoss(nn.Module):
    """The spectral term as SAT computes it.

    Mono, or more than two channels: the multi-resolution loss of all channels. Stereo: that of sum
    and difference plus, at half weight each, those of left and right. As in SAT the reconstruction
    is the reference of the spectral convergence, not the original.
    """

    def __init__(self, loss: MultiResolutionSTFTLoss, *, channels: int) -> None:
        super().__init__()
        self.channels = loss
        self.stereo = (
            SumAndDifferenceSTFTLoss(loss, sum_weight=1.0, difference_weight=1.0)
            if channels == 2
            else None
        )

    def forward(
        self, audio: Float[Tensor, "b c t"], decoded: Float[Tensor, "b c t"]
    ) -> Float[Tensor, ""]:
        """The distance of a reconstruction."""
        # The mean over both channels is left and right at half weight each.
        result: Tensor = self.channels(audio, decoded)
        return result if self.stereo is None else result + self.stereo(audio, decoded)


class AutoencoderMethod(AudioMethod):
    """Reconstruction training: multi-resolution STFT, L1, L2 and what the bottleneck reports.

    AdamW with betas 0.8 and 0.99. Validation reconstructs from the latents' mean. Padding at the
    end of short files counts in the losses, as in SAT, but not in validation.

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
            optimizers={"autoencoder": training.optimizers.autoencoder},
        )
        self.autoencoder = autoencoder
        self.spectral = SpectralLoss(
            build_spectral_loss(
                training.loss_configs.spectral.config, sample_rate=autoencoder.sample_rate
            ),
            channels=autoencoder.out_channels,
        )
        self.distance = SpectralDistance()
        self.weights = _weights(training.loss_configs)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The autoencoder."""
        return (Part("autoencoder", (self.autoencoder,)),)

    def losses(self, batch: Batch, part: Part) -> Losses:
        """The weighted terms; those with weight 0 are left out."""
        audio = _waveforms(batch)
        result = self.autoencoder(audio.to(self.dtype))
        decoded = result.audio.float()
        audio = audio[..., : decoded.shape[-1]]  # odd strides lose samples
        terms = dict(result.losses)
        if self.weights["mrstft"]:
            terms["mrstft"] = self.spectral(audio, decoded)
        if self.weights["l1"]:
            terms["l1"] = (audio - decoded).abs().mean()
        if self.weights["l2"]:
            terms["l2"] = (audio - decoded).square().mean()
        return Losses({name: self.weights[name] * value for name, value in terms.items()})

    def reconstruct(self, audio: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Encode and decode without drawing: the mean of the latents."""
        latents = self.autoencoder.encode(audio.to(self.dtype), sample=False).latents
        return self.autoencoder.decode(latents).float()

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The distance over all items together, and that of returning silence."""
        sums: list[Tensor] = []
        for batch in batches:
            audio = _waveforms(batch)
            decoded = self.reconstruct(audio)
            for index, length in enumerate(batch.padding_mask.sum(1).tolist()):
                got = decoded[index : index + 1, :, :length]
                want = audio[index : index + 1, :, : got.shape[-1]]
                silence = self.distance.sums(torch.zeros_like(want), want)
                sums.append(torch.stack([self.distance.sums(got, want), silence]))
        reconstruction, silence = torch.stack(sums).sum(0)
        return {
            "val/mrstft": float(self.distance.value(reconstruction)),
            "val/mrstft_silence": float(self.distance.value(silence)),
        }

    def demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        """Originals and reconstructions of the first eight items."""
        return islice(self._all_demos(batches), MAX_DEMOS)

    def _all_demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        for batch in batches:
            audio = _waveforms(batch)
            decoded = self.reconstruct(audio)
            for index, item in enumerate(batch.items):
                length = int(batch.padding_mask[index].sum())
                versions = {"original": audio[index], "reconstruction": decoded[index]}
                yield AudioDemo(
                    name=Path(item.path).stem,
                    audio={name: clip[:, :length].cpu() for name, clip in versions.items()},
                    sample_rate=self.autoencoder.sample_rate,
                )

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
    _refuse_unsupported(training)
    settings = StepSettings.of(experiment)
    method = AutoencoderMethod(model, training=training, settings=settings)
    shortest = method.spectral.channels.shortest_signal
    if experiment.sample_size < shortest:
        raise UserError(
            f"sample_size is {experiment.sample_size}, but the largest of"
            " training.loss_configs.spectral.config.fft_sizes needs crops of at least"
            f" {shortest} samples: raise sample_size or leave out the large transforms"
        )
    return method


def _refuse_unsupported(training: AutoencoderTraining) -> None:
    where = "training"
    refuse_unsupported(training, ("learning_rate", "loss_configs", "demo"), where=where)
    losses = training.loss_configs
    if losses.discriminator is not None:
        raise UnsupportedError(
            "this version trains autoencoders without a discriminator: write a table"
            " [training.loss_configs] with spectral and time losses and no discriminator (left"
            " out, it stands for stable-audio-tools' own set, which has one)"
        )
    where = f"{where}.loss_configs"
    refuse_unsupported(losses, ("spectral", "time", "bottleneck"), where=where)
    named = {"spectral": losses.spectral, "time": losses.time, "bottleneck": losses.bottleneck}
    for name, node in named.items():
        refuse_unsupported(node, ("type", "config", "weights"), where=f"{where}.{name}")


def _weights(losses: AutoencoderLosses) -> dict[str, float]:
    weights = dict(FIXED_WEIGHTS)
    for node in (losses.spectral.weights, losses.time.weights, losses.bottleneck.weights):
        weights |= msgspec.structs.asdict(node)
    return weights


def _waveforms(batch: Batch) -> Float[Tensor, "b c t"]:
    assert isinstance(batch, AudioBatch)  # check_data has refused everything else
    return batch.audio
