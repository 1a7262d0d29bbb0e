"""Backbones of diffusion autoencoders: latents steer them, as channels beside the signal."""

from functools import singledispatch

from sat_config.audio.diffusion import (
    Adp1dAutoencoderNode,
    DAU1dAutoencoderNode,
    DiffusionAutoencoderBackboneNode,
    DiTAutoencoderNode,
)
from sat_models.backbones.adp import ConditionedUNet, build_unet, halved
from sat_models.backbones.base import ConditionedBackbone
from sat_models.backbones.dance import ConditionedDanceUNet, build_dance
from sat_models.backbones.dit import ConditionedDiT, Inlets, build_dit, timestep_channels
from sat_models.build import load_builtin, missing_builder
from sat_models.models.objectives import VObjective, build_objective


@singledispatch
def build_autoencoder_backbone(node: DiffusionAutoencoderBackboneNode) -> ConditionedBackbone:
    """Build the backbone of a diffusion autoencoder, with fresh weights.

    It takes the latents as `input_concat`.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_autoencoder_backbone(node)
    raise missing_builder(node)


@build_autoencoder_backbone.register
def _(node: Adp1dAutoencoderNode) -> ConditionedUNet:
    return ConditionedUNet(build_unet(node.config), objective=VObjective())


@build_autoencoder_backbone.register
def _(node: DAU1dAutoencoderNode) -> ConditionedDanceUNet:
    return ConditionedDanceUNet(halved(build_dance(node.config)))  # SAT halves it twice


@build_autoencoder_backbone.register
def _(node: DiTAutoencoderNode) -> ConditionedDiT:
    config = node.config
    inlets = Inlets(concat=config.input_concat_dim, timestep=timestep_channels(config))
    model = build_dit(config, io_channels=config.io_channels, inlets=inlets)
    return ConditionedDiT(model, objective=build_objective(config.diffusion_objective))
