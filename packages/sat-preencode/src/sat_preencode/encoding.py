"""Audio to latents: the experiment's autoencoder with the weights of its checkpoint.

A latent depends on the item, the weights and the experiment's seed, on nothing else: noise is drawn
for each item from a generator of its own, and every batch has the same number of rows, since the
results of a convolution may differ in the last bit between one row and several.

Whether latents or tokens are kept is asked of the model: of an autoencoder that quantizes, and of a
language model's, tokens; of a diffusion model's, the latents that it denoises.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.audio.experiment import (
    AudioExperiment,
    AutoencoderExperiment,
    DiffusionCondExperiment,
    DiffusionInpaintExperiment,
    DiffusionUncondExperiment,
    HyperencoderExperiment,
    LMExperiment,
)
from sat_config.audio.preencode import Preencode
from sat_config.audio.pretransform import AutoencoderPretransformNode
from sat_config.run import Experiment
from sat_models.bottlenecks.base import DiscreteBottleneck
from sat_models.bottlenecks.vae import VAEBottleneck
from sat_models.build import build_model
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
def _(experiment: AutoencoderExperiment | HyperencoderExperiment) -> AutoencoderConfig:
    return experiment.model


@autoencoder_node.register
def _(
    experiment: DiffusionUncondExperiment
    | DiffusionCondExperiment
    | DiffusionInpaintExperiment
    | LMExperiment,
) -> AutoencoderConfig:
    pretransform = experiment.model.pretransform
    if not isinstance(pretransform, AutoencoderPretransformNode):
        raise PreencodeError(
            "model.pretransform is not an autoencoder, so there is nothing with weights of its own"
            " to encode with: such a model trains on audio as it is"
        )
    return pretransform.config


def _build(experiment: AudioExperiment) -> AudioAutoencoder:
    if isinstance(experiment, HyperencoderExperiment):
        model = build_model(experiment)
        assert isinstance(model, AudioAutoencoder)  # noqa: S101 - as its builder says
        return model
    return build_autoencoder(autoencoder_node(experiment), sample_rate=experiment.sample_rate)


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

    @property
    def stored_channels(self) -> int:
        """Channels of what is stored: of codes, quantizers."""
        if self.settings.tokens:
            return self.autoencoder.discrete_bottleneck().num_quantizers
        return self.autoencoder.latent_dim * (2 if self.settings.latent == "mean_scale" else 1)

    def features(
        self, audio: Float[Tensor, "b c t"], *, ids: Sequence[str]
    ) -> Float[Tensor, "b d2 l"]:
        """What the encoder makes of audio, before the bottleneck, in float32.

        Args:
            audio: In [-1, 1]; it may have more rows than there are ids.
            ids: The items that the first rows belong to.

        Raises:
            PreencodeError: The device's memory does not suffice.
        """
        try:
            with computing(self.device, self.arithmetic):
                signal = audio.to(self.device, self.arithmetic.stored)  # b c t
                return self._features(signal, ids[0]).float()
        except torch.OutOfMemoryError as error:
            raise PreencodeError(
                f"{self.device} has no memory for a batch of {len(audio)} rows of"
                f" {audio.shape[-1]} samples; make batch_size smaller, which may be done in the"
                " middle of a dataset"
            ) from error

    def finish(self, features: Float[Tensor, "1 d2 l"], name: str) -> Shaped[np.ndarray, "d l"]:
        """What is stored of an item, in the format that it is stored in.

        Args:
            features: Of the whole item.
            name: Its id.

        Raises:
            PreencodeError: A latent is not finite.
        """
        with computing(self.device, self.arithmetic):
            values = self._values(features, name)[0].cpu()  # d l
        if self.settings.tokens:
            stored: np.ndarray = values.numpy().astype(self.settings.dtype)
            return stored
        values = values.to(getattr(torch, self.settings.dtype))
        if not torch.isfinite(values).all():
            raise PreencodeError(
                f"the latent of {name} is not finite in {self.settings.arithmetic} and"
                f" {self.settings.dtype}; set{self._way_out()}"
            )
        if values.dtype == torch.bfloat16:
            return values.view(torch.uint16).numpy()
        return values.numpy()

    def _features(self, audio: Float[Tensor, "b c t"], name: str) -> Float[Tensor, "b d2 l"]:
        # A pretransform inside the autoencoder may draw from torch's global generator.
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self._seed(f"pretransform of {name}"))
            return self.autoencoder.features(audio)

    def _way_out(self) -> str:
        if self.arithmetic.throughout:
            return " preencode.model_half to false"
        if self.settings.dtype == "float16":
            return ' preencode.dtype to "bfloat16" or "float32"'
        return ' precision to "32-true"'

    def _values(self, features: Float[Tensor, "1 d2 l"], name: str) -> Shaped[Tensor, "1 d l"]:
        if self.settings.latent == "mean_scale":
            return features
        generator = torch.Generator(self.device).manual_seed(self._seed(name))
        sample = self.settings.latent == "sample"
        if self.settings.tokens:
            bottleneck = self.autoencoder.discrete_bottleneck()
            return bottleneck.encode_tokens(features, sample=sample, generator=generator)
        model = self.autoencoder
        return model.encode_features(features, sample=sample, generator=generator).latents

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
    autoencoder = _build(experiment)
    report = load_weights(autoencoder, checkpoint)
    weights = fingerprint(autoencoder.state_dict())
    reporter.say(f"checkpoint  {table.checkpoint}\nweights     {report}\nautoencoder {weights}")
    described = describe_device(experiment, device=device, arithmetic=arithmetic)
    sample_size = table.sample_size or experiment.sample_size
    _check_sizes(autoencoder, channels=experiment.audio_channels, sample_size=sample_size)
    _check_kept(autoencoder, table, sample_size=sample_size)
    settings = Settings(
        autoencoder_fingerprint=weights,
        sample_rate=experiment.sample_rate,
        sample_size=sample_size,
        whole_files=table.whole_files,
        window_overlap=table.window_overlap if table.whole_files else None,
        channels=experiment.audio_channels,
        tokens=(tokens := _keeps_tokens(experiment, autoencoder)),
        latent=table.latent,
        seed=experiment.seed if table.latent == "sample" else None,
        arithmetic=str(arithmetic),
        dtype=_code_format(autoencoder) if tokens else table.dtype or _name(arithmetic.stored),
        encoder=encoder_table(node),
    )
    kept = "tokens" if tokens else f"latents ({table.latent})"
    reporter.say(f"device      {described}\nkept        {kept} in {settings.dtype}")
    autoencoder.to(device, arithmetic.stored).eval().requires_grad_(False)
    return Encoder(autoencoder, checkpoint.path, settings, device, arithmetic)


def _keeps_tokens(experiment: AudioExperiment, autoencoder: AudioAutoencoder) -> bool:
    """Whether the model works on codes rather than on latents."""
    denoises = isinstance(
        experiment,
        DiffusionUncondExperiment | DiffusionCondExperiment | DiffusionInpaintExperiment,
    )
    return isinstance(autoencoder.bottleneck, DiscreteBottleneck) and not denoises


def _code_format(autoencoder: AudioAutoencoder) -> str:
    size = autoencoder.discrete_bottleneck().codebook_size
    return "int16" if size <= 1 << 15 else "int32"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_kept(autoencoder: AudioAutoencoder, table: Preencode, *, sample_size: int) -> None:
    """Refuse what cannot be kept of this autoencoder's latents."""
    if table.latent == "mean_scale" and not isinstance(autoencoder.bottleneck, VAEBottleneck):
        found = type(autoencoder.bottleneck).__name__ if autoencoder.bottleneck else "no bottleneck"
        raise PreencodeError(
            f'preencode.latent is "mean_scale", and the autoencoder has {found}, which makes no'
            ' Gaussian with a mean and a scale; set it to "sample" or "mean"'
        )
    frames = sample_size // autoencoder.hop_length
    if table.whole_files and table.window_overlap >= frames:
        raise PreencodeError(
            f"preencode.window_overlap is {table.window_overlap} frames, and a window of"
            f" {sample_size} samples has {frames}; make preencode.sample_size larger"
        )


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
