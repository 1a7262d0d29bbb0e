"""Training blocks, one per model type."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

import sat_config.audio.arc as adversarial
import sat_config.audio.demo as demos
import sat_config.audio.experiment as experiment
import sat_config.audio.inpainting as masks
from sat_config.audio.demo import AutoencoderDemo, DiffusionUncondDemo
from sat_config.audio.loss import DEFAULT_LOSSES, AutoencoderEvals, AutoencoderLosses
from sat_config.audio.optimizer import (
    AdamConfig,
    AdamNode,
    AdamWConfig,
    AdamWNode,
    OptimizerGroup,
)
from sat_config.node import Node, NonNegative, NonNegativeFloat, PositiveFloat, Probability
from sat_config.registry import Open

TeacherPath = Annotated[str, Meta(extra={"path": "checkpoint"})]
"""A checkpoint; empty in files that wait for a path."""


# ---------------------------------------------------------------------------------- optimizers


class AutoencoderOptimizers(Node, kw_only=True):
    """Optimizers of autoencoder training.

    Attributes:
        autoencoder: For the autoencoder.
        discriminator: For the discriminator, where there is one.
    """

    autoencoder: OptimizerGroup
    discriminator: OptimizerGroup | None = None


class DiffusionOptimizers(Node, kw_only=True):
    """Optimizers of diffusion training.

    Attributes:
        diffusion: For the model.
        discriminator: For ARC's discriminator.
    """

    diffusion: OptimizerGroup
    discriminator: OptimizerGroup | None = None


class LMOptimizers(Node, kw_only=True):
    """Optimizers of language model training.

    Attributes:
        lm: For the model.
    """

    lm: OptimizerGroup


class TunedTraining(Node, kw_only=True):
    """Training whose optimizers can be chosen.

    Attributes:
        learning_rate: Step size of the usual optimizer; without effect beside `optimizer_configs`.
    """

    learning_rate: PositiveFloat | None = None

    @property
    def optimizer_configs(self) -> Node | None:
        """Optimizers in place of the usual one."""
        raise NotImplementedError

    @property
    def rate(self) -> float:
        """The learning rate, where nothing else chooses one.

        Raises:
            ValueError: It is not given.
        """
        if self.learning_rate is None:
            raise ValueError("training has neither learning_rate nor optimizer_configs")
        return self.learning_rate


# --------------------------------------------------------------------------------- autoencoders


class AutoencoderTraining(TunedTraining, kw_only=True):
    """Training of an autoencoder or a hyperencoder.

    Attributes:
        optimizer_configs: Optimizers in place of AdamW (betas 0.8 and 0.99) for both autoencoder
            and discriminator.
        loss_configs: The losses and their weights.
        eval_loss_configs: What is measured on the validation set.
        warmup_steps: Optimizer steps, the discriminator's included, before the warmup is over.
        warmup_mode: What happens until then: without the discriminator's losses, while it learns
            ("adv"), or without the discriminator altogether ("full"). SAT 0.0.19 knows only "adv".
        encoder_freeze_on_warmup: Stop training the encoder once the warmup is over.
        clip_grad_norm: Norm above which gradients are scaled down; 0 turns clipping off. SAT reads
            it from 0.0.20 on.
        use_ema: Keep an average of the weights (decay 0.9999), and save it.
        force_input_mono: Average the channels before encoding.
        latent_mask_ratio: Share of latent values that are zeroed before decoding.
        teacher_model: A model document of an autoencoder to imitate.
        teacher_model_ckpt: Its weights.
        demo: Reconstructions written during training.
    """

    optimizer_configs: AutoencoderOptimizers | None = None
    loss_configs: AutoencoderLosses = DEFAULT_LOSSES
    eval_loss_configs: AutoencoderEvals | None = None
    warmup_steps: NonNegative = 0
    warmup_mode: Literal["adv", "full"] = "adv"
    encoder_freeze_on_warmup: bool = False
    clip_grad_norm: NonNegativeFloat = 0.0
    use_ema: bool = False
    force_input_mono: bool = False
    latent_mask_ratio: Probability = 0.0
    teacher_model: Open[experiment.AudioExperiment] | None = None
    teacher_model_ckpt: TeacherPath | None = None
    demo: AutoencoderDemo = AutoencoderDemo()

    @property
    def optimizers(self) -> AutoencoderOptimizers:
        """The optimizers in force.

        Raises:
            ValueError: Neither `learning_rate` nor `optimizer_configs` is given.
        """
        if self.optimizer_configs is not None:
            return self.optimizer_configs
        config = AdamWConfig(lr=self.rate, betas=(0.8, 0.99))
        group = OptimizerGroup(optimizer=AdamWNode(config=config))
        return AutoencoderOptimizers(autoencoder=group, discriminator=group)


class DiffusionAutoencoderTraining(Node, kw_only=True):
    """Training of a diffusion autoencoder; its average (decay 0.9999) is always kept.

    Attributes:
        learning_rate: Step size of Adam.
        use_reconstruction_loss: Add a tenth of the spectral distance of the decoded prediction;
            needs a pretransform.
        demo: Reconstructions written during training.
    """

    learning_rate: PositiveFloat
    use_reconstruction_loss: bool = False
    demo: demos.DiffusionAutoencoderDemo = demos.DiffusionAutoencoderDemo()


# ------------------------------------------------------------------------------------ diffusion


class DiffusionUncondTraining(Node, kw_only=True):
    """Training of an unconditional diffusion model; its average (decay 0.9999) is always kept.

    Attributes:
        learning_rate: Step size of Adam.
        pre_encoded: Batches are latents, written by sat-preencode.
        demo: Samples written during training.
    """

    learning_rate: PositiveFloat
    pre_encoded: bool = False
    demo: DiffusionUncondDemo = DiffusionUncondDemo()


class TimestepSamplerOptions(Node, kw_only=True):
    """Settings of the timestep sampler "log_snr".

    Attributes:
        mean_logsnr: Mean of the log signal-to-noise ratio; higher trains on less noise.
        std_logsnr: Its standard deviation.
    """

    mean_logsnr: float = -1.2
    std_logsnr: PositiveFloat = 2.0


_UNREAD = "SAT's documentation has it, its code never reads it"
_UNCOND_ONLY = "it belongs to diffusion autoencoders; no conditional diffusion model reads it"


class ConditionalTraining(TunedTraining, kw_only=True):
    """What the training of all conditional diffusion models has; ARC takes over where `arc` is.

    Attributes:
        optimizer_configs: Optimizers in place of Adam; ARC needs them.
        use_ema: Keep an average of the network's weights (decay 0.9999), and save it.
        mask_padding: Leave padding out of the loss.
        mask_padding_dropout: Share of batches in which padding counts all the same.
        log_loss_info: Log the loss by noise level.
        pre_encoded: Batches are latents, written by sat-preencode.
        cfg_dropout_prob: Share of items that are trained without condition, as guidance needs.
        timestep_sampler: How timesteps are drawn: evenly, or with more weight on middle ones; by
            the logistic normal, the same cut off and turned, or a normal log signal-to-noise ratio.
        timestep_sampler_options: Settings of "log_snr".
        p_one_shot: Share of items that are trained at full noise.
        inpainting: Masks of a model that fills gaps.
        arc: Adversarial post-training.
        clip_grad_norm: Norm above which gradients are scaled down under ARC; 0 turns it off.
        trim_config: Shorter batches now and then, under ARC.
        use_reconstruction_loss: No effect; old files of SAT have it.
        loss_configs: No effect, hence of free form; SAT's documentation has it.
    """

    optimizer_configs: DiffusionOptimizers | None = None
    use_ema: bool = True
    mask_padding: bool = False
    mask_padding_dropout: Probability = 0.0
    log_loss_info: bool = False
    pre_encoded: bool = False
    cfg_dropout_prob: Probability = 0.1
    timestep_sampler: Literal["uniform", "logit_normal", "trunc_logit_normal", "log_snr"] = (
        "uniform"
    )
    timestep_sampler_options: TimestepSamplerOptions = TimestepSamplerOptions()
    p_one_shot: Probability = 0.0
    inpainting: masks.Inpainting | None = None
    arc: adversarial.ARC | None = None
    clip_grad_norm: NonNegativeFloat = 0.0
    trim_config: adversarial.TrimConfig | None = None
    use_reconstruction_loss: Annotated[bool, Meta(extra={"inert": _UNCOND_ONLY})] = False
    loss_configs: Annotated[dict[str, Any], Meta(extra={"inert": _UNREAD})] | None = None

    @property
    def optimizers(self) -> DiffusionOptimizers:
        """The optimizers in force.

        Raises:
            ValueError: Neither `learning_rate` nor `optimizer_configs` is given.
        """
        if self.optimizer_configs is not None:
            return self.optimizer_configs
        optimizer = AdamNode(config=AdamConfig(lr=self.rate))
        return DiffusionOptimizers(diffusion=OptimizerGroup(optimizer=optimizer))

    @property
    def gaps(self) -> masks.MaskConfig | None:
        """The masks of a model that fills gaps; None for other models."""
        return None if self.inpainting is None else self.inpainting.mask_kwargs


class DiffusionCondTraining(ConditionalTraining, kw_only=True):
    """Training of a conditional diffusion model.

    Attributes:
        demo: Samples written during training; none if left out.
    """

    demo: demos.DiffusionCondDemo | None = None


class DiffusionInpaintTraining(ConditionalTraining, kw_only=True):
    """Training of a conditional diffusion model that fills gaps.

    Attributes:
        demo: Inpainted items, written during training; none if left out.
    """

    demo: demos.InpaintDemo | None = None


# ------------------------------------------------------------------------------- language models


class LMTraining(TunedTraining, kw_only=True):
    """Training of a language model on codes.

    Attributes:
        optimizer_configs: Optimizer in place of AdamW (betas 0.9 and 0.95, weight decay 0.1).
        use_ema: Keep an average of the weights (decay 0.99, every ten steps), and save it.
        pre_encoded: Batches are codes, written by sat-preencode.
        demo: Samples written during training.
    """

    optimizer_configs: LMOptimizers | None = None
    use_ema: bool = False
    pre_encoded: bool = False
    demo: demos.LMDemo = demos.LMDemo()

    @property
    def optimizers(self) -> LMOptimizers:
        """The optimizer in force.

        Raises:
            ValueError: Neither `learning_rate` nor `optimizer_configs` is given.
        """
        if self.optimizer_configs is not None:
            return self.optimizer_configs
        config = AdamWConfig(lr=self.rate, betas=(0.9, 0.95), weight_decay=0.1)
        return LMOptimizers(lm=OptimizerGroup(optimizer=AdamWNode(config=config)))
