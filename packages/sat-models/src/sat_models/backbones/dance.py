"""The U-Net of Dance Diffusion (Harmonai 2022), which SAT calls DAU1d."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from sat_config.audio.diffusion import DAU1dNode
from sat_config.audio.unet import DAU1dAutoencoderConfig, DAU1dConfig
from sat_models.backbones.base import Backbone, ConditionedBackbone, build_backbone
from sat_models.backbones.conditioning import Conditioning
from sat_models.backbones.dance_blocks import (
    Beside,
    ConvBlock,
    SelfAttention,
    make_downsample,
    make_upsample,
)
from sat_models.layers.fourier import FourierFeatures
from sat_models.models.objectives import VObjective

INIT_SCALE = 0.5
TIME_FEATURES = 16
LEAST_DEEPEST_LENGTH = 3


@dataclass(frozen=True)
class DanceSizes:
    """Sizes of the U-Net.

    Attributes:
        io_channels: Channels of the signal, in and out.
        channels: Width of each level.
        strides: Factors from each level to the next, one fewer.
        attended: The deepest so many levels, and the one above, attend to themselves.
        kernel_size: Frames that a convolution sees, odd.
        learned_resample: Learned resampling in place of fixed halving and doubling.
        bias: Whether convolutions have one.
        snake: Snake activations in place of GELU.
        condition_channels: Channels of a condition; 0 for none.
        noisy_condition: Whether the condition gets noise, whose strength is an input too.
    """

    io_channels: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    attended: int
    kernel_size: int
    learned_resample: bool
    bias: bool
    snake: bool
    condition_channels: int
    noisy_condition: bool

    @property
    def length_multiple(self) -> int:
        """What the length must be a multiple of."""
        return math.prod(self.strides)


class DanceUNet(Backbone):
    """Levels inside levels; the timestep comes in as channels. It predicts the velocity v.

    Deviations from SAT: the noise on a condition is drawn in training only, where its strength is
    drawn from a uniform rather than a Sobol sequence; otherwise there is none, so that results
    repeat. A stride of 1 works with fixed resampling too.
    """

    def __init__(self, sizes: DanceSizes) -> None:
        """Create the layers; all weights but the time's frequencies are halved, as in SAT."""
        super().__init__()
        self.sizes = sizes
        self.io_channels, self.objective = sizes.io_channels, VObjective()
        self.frame_multiple = sizes.length_multiple
        self.timestep_embed = FourierFeatures(TIME_FEATURES)
        self.net = _make_net(sizes)
        with torch.no_grad():
            for parameter in self.net.parameters():
                parameter.mul_(INIT_SCALE)

    def forward(
        self,
        x: Float[Tensor, "b d l"],
        t: Float[Tensor, " b"],
        *,
        condition: Float[Tensor, "b c k"] | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal; computed, and returned, in the dtype of the weights.

        Args:
            x: The signal with noise.
            t: How much noise, in [0, 1]; 1 is noise alone.
            condition: A signal of any length; there exactly if the network was made for one.

        Raises:
            ValueError: The length does not fit, or the condition is missing or one too many.
        """
        self._check(x, condition)
        x = x.to(self.timestep_embed.weight.dtype)
        parts = [x, self._plane(t, x)]
        if condition is not None:
            condition = condition.to(x.dtype)
            if condition.shape[-1] != x.shape[-1]:
                condition = F.interpolate(
                    condition, x.shape[-1], mode="linear", align_corners=False
                )
            if self.sizes.noisy_condition:
                strength = torch.rand_like(t) if self.training else torch.zeros_like(t)
                parts.append(self._plane(strength, x))
                if self.training:
                    strength = strength[:, None, None].to(x.dtype)
                    condition = condition + strength * torch.randn_like(condition)
            parts.append(condition)
        prediction: Tensor = self.net(torch.cat(parts, dim=1))
        return prediction

    def _plane(self, t: Tensor, x: Tensor) -> Tensor:
        embedding: Tensor = self.timestep_embed(t)[..., None]
        return embedding.expand(-1, -1, x.shape[-1])

    def _check(self, x: Tensor, condition: Tensor | None) -> None:
        multiple = self.frame_multiple
        fixed = not self.sizes.learned_resample and multiple > 1
        least = multiple * LEAST_DEEPEST_LENGTH if fixed else 1
        if x.shape[-1] % multiple or x.shape[-1] < least:
            raise ValueError(
                f"expected a multiple of {multiple} frames (the product of strides), at least"
                f" {least}, got {x.shape[-1]}"
            )
        wanted = self.sizes.condition_channels
        if (condition is None) == bool(wanted):
            raise ValueError(f"the U-Net was made for {wanted or 'no'} channels of condition")


class ConditionedDanceUNet(ConditionedBackbone):
    """The same, with channels that steer it (`input_concat`); other conditions are refused."""

    def __init__(self, model: DanceUNet) -> None:
        super().__init__()
        self.model = model
        self.io_channels, self.objective = model.io_channels, model.objective
        self.frame_multiple = model.frame_multiple

    def forward(
        self,
        x: Float[Tensor, "b d l"],
        t: Float[Tensor, " b"],
        conditioning: Conditioning,
        *,
        padding_mask: Bool[Tensor, "b l"] | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal; a padding mask has no effect.

        Raises:
            ValueError: A condition is missing, or one too many.
        """
        others = (conditioning.cross_attention, conditioning.global_, conditioning.prepend)
        if any(other is not None for other in others):
            raise ValueError("this U-Net takes conditions as channels only")
        prediction: Tensor = self.model(x, t, condition=conditioning.input_concat)
        return prediction


def build_dance(config: DAU1dConfig) -> DanceUNet:
    """Build the U-Net, with fresh weights."""
    conditioned = config if isinstance(config, DAU1dAutoencoderConfig) else None
    return DanceUNet(
        DanceSizes(
            io_channels=config.io_channels,
            channels=config.channels[: config.depth],
            strides=config.strides[: config.depth - 1],
            attended=config.n_attn_layers,
            kernel_size=config.kernel_size,
            learned_resample=config.learned_resample,
            bias=config.conv_bias,
            snake=config.use_snake,
            condition_channels=conditioned.cond_dim if conditioned else 0,
            noisy_condition=conditioned.cond_noise_aug if conditioned else False,
        )
    )


def _make_net(sizes: DanceSizes) -> nn.Sequential:
    """The outermost level around all others."""

    def block(*channels: int, last: bool = False) -> ConvBlock:
        return _block(sizes, *channels, last=last)

    width = sizes.channels[0]
    embeddings = TIME_FEATURES * (2 if sizes.noisy_condition else 1)
    inner = _make_levels(sizes)
    return nn.Sequential(
        block(sizes.io_channels + sizes.condition_channels + embeddings, width, width),
        block(width, width, width),
        block(width, width, width),
        inner,
        block(width if isinstance(inner, nn.Identity) else width * 2, width, width),
        block(width, width, width),
        block(width, width, sizes.io_channels, last=True),
    )


def _make_levels(sizes: DanceSizes) -> nn.Module:
    """All levels below the first, from the inside out."""
    depth = len(sizes.channels)
    inner: nn.Module = nn.Identity()
    for level in range(depth, 1, -1):
        above, width = sizes.channels[level - 2], sizes.channels[level - 1]
        stride = sizes.strides[level - 2]
        attends = sizes.attended > 0 and level >= depth - sizes.attended
        joined = width if level == depth else width * 2
        before = [(above, width), (width, width), (width, width)]
        after = [(joined, width), (width, width), (width, above)]
        inner = Beside(
            [
                make_downsample(above, stride=stride, learned=sizes.learned_resample),
                *_attending(sizes, before, width=width, attends=attends),
                inner,
                *_attending(sizes, after, width=width, attends=attends),
                make_upsample(above, stride=stride, learned=sizes.learned_resample),
            ]
        )
    return inner


def _attending(
    sizes: DanceSizes, channels: list[tuple[int, int]], *, width: int, attends: bool
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for channels_in, channels_out in channels:
        layers.append(_block(sizes, channels_in, width, channels_out, last=False))
        layers.append(SelfAttention(channels_out) if attends else nn.Identity())
    return layers


def _block(
    sizes: DanceSizes, channels_in: int, middle: int, channels_out: int, *, last: bool
) -> ConvBlock:
    return ConvBlock(
        channels_in,
        middle,
        channels_out,
        kernel_size=sizes.kernel_size,
        bias=sizes.bias,
        snake=sizes.snake,
        last=last,
    )


@build_backbone.register
def _(node: DAU1dNode) -> DanceUNet:
    return build_dance(node.config)
