"""The builders under the names that stable-audio-tools gives them, for code that comes from there.

Each takes the dictionary that SAT's takes, or the node that sat-config makes of it; neither is
changed. What is built has our methods (`encode`, `decode`, ...), not SAT's. New code calls
`sat_models.build_model` and its like.
"""

import os
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from torch import nn

import sat_config
from sat_config import Experiment
from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.conditioner import ConditioningConfig
from sat_config.audio.decoder import DecoderNode
from sat_config.audio.diffusion import DiffusionCondConfig, DiffusionUncondNode
from sat_config.audio.diffusion_autoencoder import DiffusionAutoencoderConfig
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.lm import LMModelConfig
from sat_config.audio.pretransform import PretransformNode
from sat_config.errors import UserError
from sat_models.bottlenecks.base import Bottleneck, build_bottleneck
from sat_models.build import build_model
from sat_models.conditioners.multi import MultiConditioner, build_conditioners
from sat_models.decoders.base import Decoder, build_decoder
from sat_models.encoders.base import Encoder, build_encoder
from sat_models.models.autoencoder import AudioAutoencoder, build_autoencoder
from sat_models.models.conditioned_diffusion import (
    ConditionedDiffusionModel,
    build_conditioned_diffusion,
)
from sat_models.models.diffusion import DiffusionModel, build_diffusion
from sat_models.models.diffusion_autoencoder import (
    DiffusionAutoencoder,
    build_diffusion_autoencoder,
)
from sat_models.models.language_model import AudioLanguageModel, build_language_model
from sat_models.pretransforms.base import Pretransform, build_pretransform

Node = TypeVar("Node", bound=msgspec.Struct)
Document = Mapping[str, Any] | Experiment


def create_model_from_config(model_config: Document) -> nn.Module:
    """Build a whole model.

    Raises:
        ConfigError: It is no model document; says everything that is wrong.
        MissingBuilderError: Nothing installed builds it, or one of its parts.
    """
    if isinstance(model_config, Experiment):
        return build_model(model_config)
    return build_model(sat_config.decode(model_config))


def create_model_from_config_path(model_config_path: str | os.PathLike[str]) -> nn.Module:
    """Build the model of a file; raises as `create_model_from_config`."""
    return build_model(sat_config.load_model(model_config_path))


def create_autoencoder_from_config(config: Document) -> AudioAutoencoder:
    """Build an autoencoder; of a dictionary, `model` and `sample_rate` count."""
    node, sample_rate = _model(config, AutoencoderConfig)
    return build_autoencoder(node, sample_rate=sample_rate)


def create_diffAE_from_config(config: Document) -> DiffusionAutoencoder:  # noqa: N802 - SAT's name
    """Build a diffusion autoencoder; of a dictionary, `model` and `sample_rate` count."""
    node, sample_rate = _model(config, DiffusionAutoencoderConfig)
    return build_diffusion_autoencoder(node, sample_rate=sample_rate)


def create_diffusion_uncond_from_config(config: Document) -> DiffusionModel:
    """Build an unconditional diffusion model; of a dictionary, `model` and `sample_rate` count."""
    node, sample_rate = _model(config, DiffusionUncondNode)
    return build_diffusion(node, sample_rate=sample_rate)


def create_diffusion_cond_from_config(config: Document) -> ConditionedDiffusionModel:
    """Build a conditional diffusion model; of a dictionary, `model` and `sample_rate` count."""
    node, sample_rate = _model(config, DiffusionCondConfig)
    return build_conditioned_diffusion(node, sample_rate=sample_rate)


def create_audio_lm_from_config(config: Document) -> AudioLanguageModel:
    """Build a language model of audio; of a dictionary, `model` and `sample_rate` count."""
    node, sample_rate = _model(config, LMModelConfig)
    return build_language_model(node, sample_rate=sample_rate)


def create_encoder_from_config(encoder_config: Mapping[str, Any] | EncoderNode) -> Encoder:
    """Build an encoder."""
    return build_encoder(_node(encoder_config, EncoderNode))


def create_decoder_from_config(decoder_config: Mapping[str, Any] | DecoderNode) -> Decoder:
    """Build a decoder."""
    return build_decoder(_node(decoder_config, DecoderNode))


def create_bottleneck_from_config(
    bottleneck_config: Mapping[str, Any] | BottleneckNode,
) -> Bottleneck:
    """Build a bottleneck."""
    return build_bottleneck(_node(bottleneck_config, BottleneckNode))


def create_pretransform_from_config(
    pretransform_config: Mapping[str, Any] | PretransformNode, sample_rate: int
) -> Pretransform:
    """Build a pretransform for audio of `sample_rate` Hz."""
    return build_pretransform(_node(pretransform_config, PretransformNode), sample_rate=sample_rate)


def create_multi_conditioner_from_conditioning_config(
    config: Mapping[str, Any] | ConditioningConfig,
    pretransform: Pretransform | None = None,
    *,
    sample_rate: int,
) -> MultiConditioner:
    """Build the conditioners of a model whose audio has `sample_rate` Hz."""
    node = _node(config, ConditioningConfig)
    return build_conditioners(node, sample_rate=sample_rate, pretransform=pretransform)


def _model(config: Document, kind: type[Node]) -> tuple[Node, int]:
    """What stands under `model`, and the sample rate in Hz.

    Raises:
        UserError: One of them is not there, or the model is of another kind.
    """
    if isinstance(config, AudioExperiment):
        experiment: Any = config  # every one of them has a model, each of its own class
        model, sample_rate = experiment.model, experiment.sample_rate
    elif isinstance(config, Mapping) and {"model", "sample_rate"} <= set(config):
        model, sample_rate = _node(config["model"], kind), config["sample_rate"]
    else:
        raise UserError("expected an experiment, or a dictionary with `model` and `sample_rate`")
    if not isinstance(model, kind):
        raise UserError(f"expected a model of class {kind.__name__}, got {type(model).__name__}")
    return model, sample_rate


def _node(config: Mapping[str, Any] | Node, family: type[Node]) -> Node:
    if isinstance(config, family):
        return config
    assert isinstance(config, Mapping)  # noqa: S101 - a node of another class is a wrong argument
    node: Node = sat_config.decode(config, family)
    return node
