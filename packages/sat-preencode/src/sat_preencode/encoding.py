"""Audio to latents: the experiment's autoencoder with the weights of its checkpoint.

A latent depends on the item, the weights and the experiment's seed, on nothing else: noise is drawn
for each item from a generator of its own, and every batch has the same number of rows, since the
results of a convolution may differ in the last bit between one row and several.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.audio.experiment import (
    AudioExperiment,
    AutoencoderExperiment,
    DiffusionUncondExperiment,
)
from sat_config.audio.preencode import Preencode
from sat_config.audio.pretransform import AutoencoderPretransformNode
from sat_config.run import Experiment
from sat_models.checkpoint import fingerprint, load_weights, open_checkpoint
from sat_models.models.autoencoder import AudioAutoencoder, build_autoencoder
from sat_preencode.device import (
    Arithmetic,
    choose_arithmetic,
    choose_device,
    computing,
    describe_device,
)
from sat_preencode.errors import PreencodeError
from sat_preencode.progress import Reporter
from sat_preencode.settings import Settings, encoder_table


@singledispatch
def autoencoder_node(experiment: Experiment) -> AutoencoderConfig:
    """The autoencoder that an experiment's latents come from.

    Raises:
        PreencodeError: Its class of model has none.
    """
    raise PreencodeError(
        f"an experiment of class {type(experiment).__name__} has no autoencoder to encode with;"
        " autoencoders have, and latent models whose model.pretransform is one"
    )


@autoencoder_node.register
def _(experiment: AutoencoderExperiment) -> AutoencoderConfig:
    return experiment.model


@autoencoder_node.register
def _(experiment: DiffusionUncondExperiment) -> AutoencoderConfig:
    pretransform = experiment.model.pretransform
    if not isinstance(pretransform, AutoencoderPretransformNode):
        raise PreencodeError(
            "model.pretransform is not an autoencoder, so this model works on audio as it is and"
            " there is nothing to encode"
        )
    return pretransform.config


@dataclass(frozen=True)
class Encoder:
    """An autoencoder, ready to encode.

    Attributes:
        autoencoder: In eval mode, on `device`.
        checkpoint: The file that its weights came from.
        settings: What decides the latents.
        device: Where it computes.
        arithmetic: The numbers it computes in.
    """

    autoencoder: AudioAutoencoder
    checkpoint: Path
    settings: Settings
    device: torch.device
    arithmetic: Arithmetic

    def encode(
        self, audio: Float[Tensor, "b c t"], *, ids: Sequence[str]
    ) -> list[Float[np.ndarray, "d l"]]:
        """Encode a batch.

        Args:
            audio: In [-1, 1]; it may have more rows than there are ids.
            ids: The items in the first rows.

        Returns:
            One latent per id.

        Raises:
            PreencodeError: The device's memory does not suffice, or a latent is not finite.
        """
        try:
            with computing(self.device, self.arithmetic):
                signal = audio.to(self.device, self.arithmetic.stored)  # b c t
                features = self._features(signal, ids[0]).float()  # b d2 l
                rows = [self._draw(features[i : i + 1], name) for i, name in enumerate(ids)]
        except torch.OutOfMemoryError as error:
            raise PreencodeError(
                f"{self.device} has no memory for a batch of {len(audio)} items of"
                f" {audio.shape[-1]} samples; make batch_size smaller, which may be done in the"
                " middle of a dataset"
            ) from error
        for name, row in zip(ids, rows, strict=True):
            if not np.isfinite(row).all():
                raise PreencodeError(
                    f"the latent of {name} is not finite in {self.settings.arithmetic}; set"
                    + self._way_out()
                )
        return rows

    def _features(self, audio: Float[Tensor, "b c t"], name: str) -> Float[Tensor, "b d2 l"]:
        # A pretransform inside the autoencoder may draw from torch's global generator.
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self._seed(f"pretransform of {name}"))
            return self.autoencoder.features(audio)

    def _way_out(self) -> str:
        if self.arithmetic.throughout:
            return " preencode.model_half to false"
        return ' precision to "32-true"'

    def _draw(self, features: Float[Tensor, "1 d2 l"], name: str) -> Float[np.ndarray, "d l"]:
        generator = torch.Generator(self.device).manual_seed(self._seed(name))
        sample = self.settings.latent == "sample"
        encoding = self.autoencoder.encode_features(features, sample=sample, generator=generator)
        latents = encoding.latents[0].to("cpu", self.arithmetic.stored)  # d l
        return latents.numpy()

    def _seed(self, name: str) -> int:
        digest = hashlib.sha256(f"{self.settings.seed} {name}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


def load_encoder(
    experiment: AudioExperiment, table: Preencode, *, reporter: Reporter, local_rank: int = 0
) -> Encoder:
    """Build the autoencoder and give it the checkpoint's weights, all of them.

    Args:
        experiment: The experiment.
        table: Its `preencode` table.
        reporter: Told what the checkpoint resolved to and what was loaded.
        local_rank: Which process of this machine this is: which of its GPUs it takes.

    Raises:
        PreencodeError: No checkpoint is named, or sizes do not fit each other.
        CheckpointError: It cannot be found or opened, or does not match the autoencoder.
    """
    node = autoencoder_node(experiment)
    if table.checkpoint is None:
        raise PreencodeError(
            "preencode.checkpoint is not set, and latents of untrained weights are of no use; set"
            ' it to a checkpoint file, a run folder or "runs/NAME/latest"'
        )
    device = choose_device(experiment, local_rank=local_rank)
    arithmetic = choose_arithmetic(experiment, table, device=device)
    checkpoint = open_checkpoint(table.checkpoint)
    autoencoder = build_autoencoder(node, sample_rate=experiment.sample_rate)
    report = load_weights(autoencoder, checkpoint)
    weights = fingerprint(autoencoder.state_dict())
    reporter.say(f"checkpoint  {table.checkpoint}\nweights     {report}\nautoencoder {weights}")
    described = describe_device(experiment, device=device, arithmetic=arithmetic)
    reporter.say(f"device      {described}")
    sample_size = table.sample_size or experiment.sample_size
    _check_sizes(autoencoder, channels=experiment.audio_channels, sample_size=sample_size)
    settings = Settings(
        autoencoder_fingerprint=weights,
        sample_rate=experiment.sample_rate,
        sample_size=sample_size,
        channels=experiment.audio_channels,
        latent=table.latent,
        seed=experiment.seed if table.latent == "sample" else None,
        arithmetic=str(arithmetic),
        encoder=encoder_table(node),
    )
    autoencoder.to(device, arithmetic.stored).eval().requires_grad_(False)
    return Encoder(autoencoder, checkpoint.path, settings, device, arithmetic)


def _check_sizes(autoencoder: AudioAutoencoder, *, channels: int, sample_size: int) -> None:
    if channels != autoencoder.in_channels:
        raise PreencodeError(
            f"audio_channels is {channels}, and the autoencoder takes {autoencoder.in_channels};"
            f" set audio_channels to {autoencoder.in_channels}"
        )
    hop = autoencoder.hop_length
    if sample_size % hop:
        near = max(sample_size // hop, 1) * hop
        raise PreencodeError(
            f"an item of {sample_size} samples is no whole number of latent frames of {hop} samples"
            f" each; set preencode.sample_size to a multiple, such as {near} or {near + hop}"
        )
