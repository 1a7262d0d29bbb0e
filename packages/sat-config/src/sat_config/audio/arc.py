"""Adversarial post-training of diffusion models (ARC, Novack et al. 2025, arXiv 2505.08175)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

import sat_config.audio.experiment as experiment
from sat_config.node import (
    CheckpointPath,
    Node,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Probability,
)
from sat_config.registry import Open, family, member, refuse

NoiseDistribution = Literal[
    "uniform", "logit_normal", "trunc_logit_normal", "one_shot", "denoised", "logsnr_uniform"
]
HeadLoss = Annotated[str, Meta(extra={"inert": "the loss is the relativistic one"})]


# ------------------------------------------------------------------------------------------ heads


class ARCWeights(Node, kw_only=True):
    """Weights of the losses.

    Attributes:
        generator: Factor of the generator's loss.
        discriminator: Factor of the discriminator's loss.
        contrastive: Factor of the contrastive loss.
    """

    generator: NonNegativeFloat = 1.0
    discriminator: NonNegativeFloat = 1.0
    contrastive: NonNegativeFloat = 1.0


@family("ARC discriminator")
class ARCHeadNode(Node, kw_only=True, tag_field="type"):
    """The head of a discriminator, on the features of a diffusion transformer.

    SAT takes "convnext" where `type` is left out; here it must be given.

    Attributes:
        dit_hidden_layer: Layer of the transformer whose output feeds the head, from 0.
        contrastive: Also learn to tell right prompts from shuffled ones.
        include_grad_penalties: Penalise scores that change under small noise.
        weights: Weights of the losses.
    """

    dit_hidden_layer: NonNegative
    contrastive: bool = False
    include_grad_penalties: bool = False
    weights: ARCWeights = ARCWeights()


class ConvNeXtBlockConfig(Node, kw_only=True):
    """A ConvNeXt block (Liu et al. 2022, arXiv 2201.03545).

    Attributes:
        kernel_size: Extent of the depthwise kernel.
        mult: Width of the inner layer, in multiples of the outer.
        glu: Gate the inner layer.
    """

    kernel_size: Positive = 7
    mult: Positive = 4
    glu: bool = False


class ConvNeXtHeadConfig(Node, kw_only=True):
    """Stages of ConvNeXt blocks and strided convolutions.

    Attributes:
        channels: Base width; stage i is `c_mults[i]` times as wide.
        c_mults: Width multiplier of each stage.
        strides: Downsampling factor of each stage.
        num_blocks: Blocks per stage; 3 each if left out.
        conv_args: The blocks.
        loss_type: A label; nothing reads it.
    """

    channels: Positive = 128
    c_mults: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (1, 2, 4, 8)
    strides: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (2, 4, 8, 8)
    num_blocks: tuple[Positive, ...] | None = None
    conv_args: ConvNeXtBlockConfig = ConvNeXtBlockConfig()
    loss_type: HeadLoss = "lsgan"


@member
class ConvNeXtHeadNode(ARCHeadNode, kw_only=True, tag="convnext"):
    """A ConvNeXt encoder.

    Attributes:
        config: Its sizes.
    """

    config: ConvNeXtHeadConfig = ConvNeXtHeadConfig()


class ConvHeadConfig(Node, kw_only=True):
    """Five convolutions; needs at least 64 tokens and a width that 32 divides.

    Attributes:
        soft_clip_scale: Size to which tanh limits the scores; no limit if left out.
        loss_type: A label; nothing reads it.
    """

    soft_clip_scale: PositiveFloat | None = None
    loss_type: HeadLoss = "lsgan"


@member
class ConvHeadNode(ARCHeadNode, kw_only=True, tag="conv"):
    """Five convolutions with group norm.

    Attributes:
        config: Its settings.
    """

    config: ConvHeadConfig = ConvHeadConfig()


for _tag in ("dilated_conv", "transformer", "multi_scale"):
    refuse(
        ARCHeadNode,
        _tag,
        f"the {_tag} head came with stable-audio-tools 0.0.20 and is not available here; take"
        " convnext",
    )


# --------------------------------------------------------------------------------------- training


class NoiseDistributions(Node, kw_only=True):
    """How timesteps are drawn; 1 is all noise.

    Attributes:
        generator: For the generator.
        discriminator: For the discriminator.
    """

    generator: NoiseDistribution = "uniform"
    discriminator: NoiseDistribution = "uniform"


class ODEWarmup(Node, kw_only=True):
    """Regression on a teacher's trajectories before the adversarial training.

    Attributes:
        warmup_steps: How many steps.
        refresh_rate: Steps between new trajectories; higher is cheaper and less varied.
        sampling_steps: Steps of the teacher's sampler.
        cfg: The teacher's guidance scale.
    """

    warmup_steps: NonNegative = 0
    refresh_rate: Positive = 1
    sampling_steps: Positive = 20
    cfg: float = 4.0


class ARC(Node, kw_only=True):
    """Adversarial post-training; its presence changes the training method.

    Attributes:
        teacher_model: A model document of the teacher, which only the warmup uses.
        use_model_as_teacher: Build the teacher like the model itself.
        teacher_model_ckpt: Weights of the teacher.
        discriminator_base_model: A model document of the network whose features are judged.
        use_model_as_discriminator: Build that network like the model itself.
        discriminator_base_ckpt: Weights of that network.
        discriminator: The head on it.
        noise_dist: How timesteps are drawn.
        ode_warmup: Warmup on the teacher's trajectories; none if left out.
        sampling: Free form, because SAT reads and discards it.
    """

    teacher_model: Open[experiment.AudioExperiment] | None = None
    use_model_as_teacher: bool = False
    teacher_model_ckpt: CheckpointPath | None = None
    discriminator_base_model: Open[experiment.AudioExperiment] | None = None
    use_model_as_discriminator: bool = False
    discriminator_base_ckpt: CheckpointPath | None = None
    discriminator: Open[ARCHeadNode]
    noise_dist: NoiseDistributions = NoiseDistributions()
    ode_warmup: ODEWarmup | None = None
    sampling: Annotated[dict[str, Any], Meta(extra={"inert": "SAT discards it"})] | None = None


class TrimConfig(Node, kw_only=True):
    """Shorter batches now and then.

    Attributes:
        trim_prob: Share of batches that are cut.
        type: To which length: that of the unpadded part of a random item, at least 128 frames.
    """

    trim_prob: Probability = 0.0
    type: Literal["random_item"] = "random_item"
