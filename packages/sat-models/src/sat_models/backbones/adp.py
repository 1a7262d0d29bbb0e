"""The U-Nets of audio-diffusion-pytorch as backbones of diffusion models."""

from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sat_config.audio.diffusion import Adp1dNode, AdpCfg1dNode, AdpUncond1dNode
from sat_config.audio.unet import Adp1dConfig, AdpCfg1dConfig, AdpConcatConfig, AdpOptions
from sat_models.backbones.adp_levels import AttentionSizes, Conditions, Sizes
from sat_models.backbones.adp_stft import STFT
from sat_models.backbones.adp_unet import UNet
from sat_models.backbones.base import (
    Backbone,
    ConditionedBackbone,
    build_backbone,
    build_conditioned_backbone,
)
from sat_models.backbones.conditioning import Conditioning
from sat_models.models.objectives import Objective, VObjective, build_objective

INIT_SCALE = 0.5
SKIP_SCALE = 2**-0.5

Halved = TypeVar("Halved", bound=nn.Module)


class UnconditionalUNet(Backbone):
    """A U-Net that nothing steers but the timestep; it predicts the velocity v."""

    def __init__(self, model: UNet) -> None:
        super().__init__()
        self.model = model
        self.io_channels, self.objective = model.sizes.in_channels, VObjective()
        self.frame_multiple = model.frame_multiple

    def forward(self, x: Float[Tensor, "b d l"], t: Float[Tensor, " b"]) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal."""
        prediction: Tensor = self.model(x, t)
        return prediction


class ConditionedUNet(ConditionedBackbone):
    """A U-Net that conditions steer.

    It can take a vector (`global_`), channels (`input_concat`) and, made for that, tokens to attend
    to (`cross_attention`). Deviation from SAT: conditions of other kinds are refused; there they
    are not looked at. A padding mask is accepted and, unlike in SAT, no error; it has no effect,
    since convolutions see padding anyway.
    """

    def __init__(self, model: UNet, *, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.io_channels, self.objective = model.sizes.in_channels, objective
        self.frame_multiple = model.frame_multiple

    def forward(
        self,
        x: Float[Tensor, "b d l"],
        t: Float[Tensor, " b"],
        conditioning: Conditioning,
        *,
        padding_mask: Bool[Tensor, "b l"] | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal; computed, and returned, in the dtype of the weights.

        Raises:
            ValueError: A condition is missing, or one too many.
        """
        if conditioning.prepend is not None:
            raise ValueError("a U-Net takes no tokens before the input")
        conditioning = conditioning.to(self.model.to_in.dtype)
        prediction: Tensor = self.model(
            x,
            t,
            features=conditioning.global_,
            channels=conditioning.input_concat,
            embedding=conditioning.cross_attention,
            embedding_mask=conditioning.cross_attention_mask,
        )
        return prediction


def build_unet(options: AdpOptions) -> UNet:
    """Build a U-Net, with fresh weights, all of them halved as SAT does."""
    tokens = options if isinstance(options, AdpCfg1dConfig) else None
    model = UNet(
        _sizes(options),
        conditions=_conditions(options),
        stft=_stft(options),
        max_tokens=tokens.context_embedding_max_length if tokens else None,
        time_token=tokens.use_xattn_time if tokens else False,
    )
    return halved(model)


def halved(model: Halved) -> Halved:
    """The model, after its parameters were halved."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(INIT_SCALE)
    return model


def _sizes(options: AdpOptions) -> Sizes:
    attention = None
    if options.attention_multiplier is not None:
        attention = AttentionSizes(
            heads=options.attention_heads,
            features=options.attention_features,
            multiplier=options.attention_multiplier,
        )
    return Sizes(
        in_channels=options.in_channels,
        out_channels=options.out_channels or options.in_channels,
        widths=options.widths,
        factors=options.factors,
        num_blocks=options.num_blocks,
        attentions=options.attentions,
        attention=attention,
        patch_size=options.patch_size,
        groups=options.resnet_groups,
        mapping_features=options.channels * options.context_features_multiplier,
        kernel_multiple=options.kernel_multiplier_downsample,
        nearest=options.use_nearest_upsample,
        skip_scale=SKIP_SCALE if options.use_skip_scale else 1.0,
    )


def _conditions(options: AdpOptions) -> Conditions:
    concat = options if isinstance(options, AdpConcatConfig) else None
    channels = (concat.context_channels or ()) if concat else ()
    return Conditions(
        time=options.channels if options.use_context_time else None,
        features=options.context_features if isinstance(options, Adp1dConfig) else None,
        embedding=(
            options.context_embedding_features if isinstance(options, AdpCfg1dConfig) else None
        ),
        channels=sum(channels),
        level=next((level for level, count in enumerate(channels) if count), 0),
        transform=options.use_stft_context,
    )


def _stft(options: AdpOptions) -> STFT | None:
    if not options.use_stft:
        return None
    if options.stft_num_fft is None:
        raise ValueError("use_stft needs stft_num_fft")
    return STFT(
        num_fft=options.stft_num_fft,
        hop_length=options.stft_hop_length,
        window_length=options.stft_window_length,
        length=options.stft_length,
        use_complex=options.stft_use_complex,
    )


@build_backbone.register
def _(node: AdpUncond1dNode) -> UnconditionalUNet:
    return UnconditionalUNet(build_unet(node.config))


@build_conditioned_backbone.register(Adp1dNode)
@build_conditioned_backbone.register(AdpCfg1dNode)
def _(node: Adp1dNode | AdpCfg1dNode) -> ConditionedUNet:
    objective = build_objective(node.diffusion_objective)
    return ConditionedUNet(build_unet(node.config), objective=objective)
