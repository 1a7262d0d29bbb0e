"""U-Nets: those of audio-diffusion-pytorch (adp), and Dance Diffusion's (DAU1d)."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from msgspec import Meta

from sat_config.node import Node, NonNegative, Positive

Even = Annotated[int, Meta(ge=2, multiple_of=2)]
Multipliers = Annotated[tuple[Positive, ...], Meta(min_length=1)]
OfSTFT = Meta(extra={"ours": "SAT's U-Nets know the keys of the STFT only with use_stft"})
Attentions = Annotated[tuple[NonNegative, ...], Meta(min_length=1)]
Strides = Annotated[tuple[Positive, ...], Meta(min_length=1)]

DANCE_CHANNELS = (128, 128, 256, 256, *[512] * 10)


class AdpOptions(Node, kw_only=True):
    """What all U-Nets of audio-diffusion-pytorch 0.0.94 share.

    Level i leads from a width of `channels * multipliers[i]` to one of `channels *
    multipliers[i + 1]`.

    Attributes:
        in_channels: Channels of the signal that comes in.
        channels: Base width, and width of the timestep's embedding.
        multipliers: Width multiplier of the input, then of each level.
        factors: Downsampling factor of each level; the length must be a multiple of their product.
        num_blocks: Residual blocks of each level.
        attentions: Transformer blocks of each level; the last entry is that of the bottleneck,
            whether it is one more than the levels or not.
        attention_heads: Attention heads; follow from `attention_features` where left out.
        attention_features: Width of a head; follows from `attention_heads` where left out.
        attention_multiplier: Hidden width of the feed-forward networks, as a multiple.
        patch_size: Frames folded into channels at the input; the length must be a multiple.
        resnet_groups: Groups that residual blocks normalise over; must divide every width.
        use_context_time: Tell the network the timestep.
        context_features_multiplier: Width of the mapping of timestep and global conditions, as a
            multiple of `channels`.
        kernel_multiplier_downsample: Kernel of the downsampling, as an even multiple of its factor;
            larger aliases less.
        use_nearest_upsample: Repeat frames and convolve in place of a transposed convolution.
        use_skip_scale: Scale the skip connections by the square root of one half.
        use_stft: Work on an STFT of the signal. SAT's cannot run with current torch.
        stft_num_fft: Length of its FFT; needed with `use_stft`.
        stft_hop_length: Samples from one frame of it to the next.
        stft_window_length: Length of its window; that of the FFT if left out.
        stft_length: Length of the signal that it gives back; that of the input if left out.
        stft_use_complex: Real and imaginary part as channels, in place of magnitude and phase.
        use_stft_context: Transform the condition at the input as well.
        out_channels: Channels that go out; as many as come in if left out.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "in_channels",
        "channels",
        "multipliers",
        "factors",
        "num_blocks",
        "attentions",
        "attention_heads",
        "attention_features",
        "attention_multiplier",
        "patch_size",
        "use_context_time",
        "context_features_multiplier",
        "kernel_multiplier_downsample",
        "use_nearest_upsample",
        "use_stft",
        "stft_num_fft",
        "stft_window_length",
        "use_stft_context",
        "out_channels",
    )

    in_channels: Positive
    channels: Positive
    multipliers: Multipliers
    factors: tuple[Positive, ...]
    num_blocks: tuple[NonNegative, ...]
    attentions: Attentions
    attention_heads: Positive | None = None
    attention_features: Positive | None = None
    attention_multiplier: Positive | None = None
    patch_size: Positive = 1
    resnet_groups: Positive = 8
    use_context_time: bool = True
    context_features_multiplier: Positive = 4
    kernel_multiplier_downsample: Even = 2
    use_nearest_upsample: bool = False
    use_skip_scale: bool = True
    use_stft: bool = False
    stft_num_fft: Positive | None = None
    stft_hop_length: Annotated[Positive, OfSTFT] = 256
    stft_window_length: Positive | None = None
    stft_length: Positive | None = None
    stft_use_complex: Annotated[bool, OfSTFT] = False
    use_stft_context: bool = False
    out_channels: Positive | None = None

    @property
    def widths(self) -> tuple[int, ...]:
        """Width at the input, then after each level."""
        return tuple(self.channels * multiplier for multiplier in self.multipliers)

    @property
    def levels(self) -> int:
        """How many times the length is divided."""
        return len(self.multipliers) - 1

    @property
    def length_multiple(self) -> int:
        """What the length must be a multiple of."""
        return self.patch_size * math.prod(self.factors)


class AdpUncond1dConfig(AdpOptions, kw_only=True):
    """A U-Net that nothing steers."""


class AdpConcatConfig(AdpOptions, kw_only=True):
    """A U-Net with a condition in channels.

    Attributes:
        context_channels: Channels of the condition that join the input (first entry) and each
            level; there is one condition, so one entry only may be above 0.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("context_channels",)

    context_channels: tuple[NonNegative, ...] | None = None

    @property
    def concat_channels(self) -> int:
        """Channels of the condition; 0 for none."""
        return next((count for count in self.context_channels or () if count), 0)


class Adp1dConfig(AdpConcatConfig, kw_only=True):
    """A U-Net with global conditions and conditions in channels.

    Attributes:
        context_features: Width of all global conditions together; none if left out.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("context_features",)

    context_features: Positive | None = None


class AdpCfg1dConfig(Adp1dConfig, kw_only=True):
    """A U-Net that cross-attends to conditions, always, and can be guided by leaving them out.

    Attributes:
        context_embedding_features: Width of what it cross-attends to.
        context_embedding_max_length: Most tokens of it, all conditions together.
        use_xattn_time: Let it cross-attend to the timestep too.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "context_embedding_features",
        "context_embedding_max_length",
        "use_xattn_time",
    )

    context_embedding_features: Positive
    context_embedding_max_length: Positive
    use_xattn_time: bool = False


class DAU1dConfig(Node, kw_only=True):
    """The U-Net of Dance Diffusion. SAT 0.0.19 cannot build it; 0.0.20 can.

    Attributes:
        io_channels: Channels of the signal, in and out.
        depth: Levels.
        n_attn_layers: The deepest so many levels, and the one above, attend to themselves; 0 turns
            that off.
        channels: Width of each level; at least 32, the width of a head, where it attends.
        kernel_size: Frames that a convolution sees, odd.
        learned_resample: Learn the resampling in place of fixed cubic kernels, which can halve and
            double only.
        strides: Downsampling factor from each level to the next; the length must be a multiple of
            their product.
        conv_bias: Whether convolutions have a bias.
        use_snake: Snake activations in place of GELU; better on periodic signals, slower.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "io_channels",
        "depth",
        "n_attn_layers",
        "channels",
        "kernel_size",
        "learned_resample",
        "strides",
        "conv_bias",
        "use_snake",
    )

    io_channels: Positive = 2
    depth: Positive = 14
    n_attn_layers: NonNegative = 6
    channels: Multipliers = DANCE_CHANNELS
    kernel_size: Positive = 5
    learned_resample: bool = False
    strides: Strides = (2,) * 13
    conv_bias: bool = True
    use_snake: bool = False

    @property
    def length_multiple(self) -> int:
        """What the length must be a multiple of."""
        return math.prod(self.strides[: self.depth - 1])


class DAU1dAutoencoderConfig(DAU1dConfig, kw_only=True):
    """The same as the decoder of a diffusion autoencoder.

    Attributes:
        strides: Downsampling factor from each level to the next; SAT wants them written here.
        cond_dim: Channels of the latents, or of what the decoder makes of them.
        cond_noise_aug: Add noise of a random strength to them, and tell the network how much.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("cond_dim", "cond_noise_aug")

    strides: Strides
    cond_dim: NonNegative = 0
    cond_noise_aug: bool = False
