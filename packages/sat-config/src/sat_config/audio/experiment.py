"""The root of an audio document: one Struct per model type."""

from __future__ import annotations

from typing import ClassVar

import sat_config.audio.autoencoder as autoencoder
import sat_config.audio.dataset as datasets
import sat_config.audio.diffusion as diffusion
import sat_config.audio.diffusion_autoencoder as diffusion_autoencoder
import sat_config.audio.inference as inference_table
import sat_config.audio.lm as lm
import sat_config.audio.preencode as pre
import sat_config.audio.training as training_blocks
from sat_config.node import Hertz, Positive
from sat_config.registry import Open, family, member
from sat_config.run import Experiment


@family("model type", root=True, guards={"data": "model"})
class AudioExperiment(Experiment, kw_only=True, tag_field="model_type"):
    """An experiment on audio: run keys, SAT's model keys, and the data.

    Attributes:
        sample_rate: Samples per second of all audio; files at other rates are resampled.
        sample_size: Samples per training crop.
        audio_channels: Channels of all audio; files are mixed up or down.
        dataset: Training data.
        val_dataset: Data kept out of training, for validation and demos.
        preencode: How sat-preencode turns `dataset` into latents.
        inference: How a generative model makes audio.
    """

    harmless_keys: ClassVar[tuple[str, ...]] = ("val_dataset", "inference")
    training_keys: ClassVar[tuple[str, ...]] = ("dataset", "training", "sample_size")
    latent_keys: ClassVar[tuple[str, ...] | None] = (
        "sample_rate",
        "audio_channels",
        "model",
        "preencode",
        "pretransform_ckpt_path",
    )

    sample_rate: Hertz
    sample_size: Positive
    audio_channels: Positive = 2
    dataset: Open[datasets.DatasetNode] | None = None
    val_dataset: Open[datasets.DatasetNode] | None = None
    preencode: pre.Preencode | None = None
    inference: inference_table.Inference = inference_table.Inference()


@member
class AutoencoderExperiment(AudioExperiment, kw_only=True, tag="autoencoder"):
    """An autoencoder.

    Attributes:
        model: The network.
        training: How it is trained; not needed to use it.
    """

    model: autoencoder.AutoencoderConfig
    training: training_blocks.AutoencoderTraining | None = None


@member
class HyperencoderExperiment(AudioExperiment, kw_only=True, tag="hyperencoder"):
    """An autoencoder whose decoder adapts to each clip; trained like any autoencoder.

    Attributes:
        model: The network.
        training: How it is trained; not needed to use it.
    """

    model: autoencoder.HyperencoderConfig
    training: training_blocks.AutoencoderTraining | None = None


@member
class DiffusionUncondExperiment(AudioExperiment, kw_only=True, tag="diffusion_uncond"):
    """An unconditional diffusion model.

    Attributes:
        model: The network.
        training: How it is trained; not needed to use it.
    """

    model: Open[diffusion.DiffusionUncondNode]
    training: training_blocks.DiffusionUncondTraining | None = None


@member
class DiffusionCondExperiment(AudioExperiment, kw_only=True, tag="diffusion_cond"):
    """A conditional diffusion model.

    Attributes:
        model: The network.
        training: How it is trained; not needed to use it.
    """

    model: diffusion.DiffusionCondConfig
    training: training_blocks.DiffusionCondTraining | None = None


@member
class DiffusionInpaintExperiment(AudioExperiment, kw_only=True, tag="diffusion_cond_inpaint"):
    """A conditional diffusion model that fills masked parts of its input.

    Attributes:
        model: The network.
        training: How it is trained; not needed to use it.
    """

    model: diffusion.DiffusionCondConfig
    training: training_blocks.DiffusionInpaintTraining | None = None


@member
class DiffusionAutoencoderExperiment(AudioExperiment, kw_only=True, tag="diffusion_autoencoder"):
    """An autoencoder whose last decoder is a diffusion model.

    Attributes:
        model: The network.
        training: How it is trained; not needed to use it.
    """

    model: diffusion_autoencoder.DiffusionAutoencoderConfig
    training: training_blocks.DiffusionAutoencoderTraining | None = None


@member
class LMExperiment(AudioExperiment, kw_only=True, tag="lm"):
    """A language model of a codec's tokens.

    Attributes:
        model: The network.
        training: How it is trained; not needed to use it.
    """

    model: lm.LMModelConfig
    training: training_blocks.LMTraining | None = None
