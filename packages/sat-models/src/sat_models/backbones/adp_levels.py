"""Levels of the U-Nets of audio-diffusion-pytorch 0.0.94 (Schneider 2023, 2301.13267)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from sat_models.backbones.adp_attention import Transformer
from sat_models.backbones.adp_blocks import (
    Downsample,
    ResnetBlock,
    make_upsample,
)


@dataclass(frozen=True)
class AttentionSizes:
    """Sizes of the transformers.

    Attributes:
        heads: Heads; as many as fit if None.
        features: Width of a head; what the heads leave if None.
        multiplier: Hidden width of feed-forward networks, as a multiple.
    """

    heads: int | None
    features: int | None
    multiplier: int


@dataclass(frozen=True)
class Conditions:
    """Sizes of what steers a U-Net; none of each if None.

    Attributes:
        time: Width of the timestep's embedding.
        features: Width of a vector.
        embedding: Width of tokens to attend to.
        channels: Channels of a signal.
        level: Where the signal joins: 0 at the input, 1 and more at that level.
        transform: Whether an STFT at the input transforms the signal too.
    """

    time: int | None
    features: int | None
    embedding: int | None
    channels: int
    level: int
    transform: bool


@dataclass(frozen=True)
class Sizes:
    """Sizes of a U-Net; level i leads from `widths[i]` to `widths[i + 1]` channels.

    Attributes:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        widths: Channels at the input, then after each level.
        factors: How each level divides the length.
        num_blocks: Residual blocks of each level.
        attentions: Transformer blocks of each level; the last entry is that of the bottleneck.
        attention: Sizes of them; None where there are none.
        patch_size: Frames folded into channels at the input.
        groups: Groups of norms.
        mapping_features: Width of the vector that modulates.
        kernel_multiple: Kernel of downsampling, as a multiple of its factor.
        nearest: Upsample by repeating frames.
        skip_scale: Factor on skip connections.
    """

    in_channels: int
    out_channels: int
    widths: tuple[int, ...]
    factors: tuple[int, ...]
    num_blocks: tuple[int, ...]
    attentions: tuple[int, ...]
    attention: AttentionSizes | None
    patch_size: int
    groups: int
    mapping_features: int
    kernel_multiple: int
    nearest: bool
    skip_scale: float

    @property
    def length_multiple(self) -> int:
        """What the length must be a multiple of."""
        return self.patch_size * math.prod(self.factors)


@dataclass(frozen=True)
class Steering:
    """What steers every block of one evaluation.

    Attributes:
        mapping: Modulates residual blocks.
        embedding: Tokens to attend to.
        embedding_mask: False for padding among them.
    """

    mapping: Float[Tensor, "b e"] | None
    embedding: Float[Tensor, "b k f"] | None
    embedding_mask: Bool[Tensor, "b k"] | None


class Level(nn.Module):
    """What levels on the way down and up have in common: residual blocks and a transformer."""

    def __init__(
        self,
        width: int,
        *,
        extra_channels: tuple[int, ...],
        num_transformers: int,
        sizes: Sizes,
        conditions: Conditions,
    ) -> None:
        """Create the layers.

        Args:
            width: Channels of the level.
            extra_channels: Channels that join the input of each block.
            num_transformers: Transformer blocks.
            sizes: Of the network.
            conditions: What steers the network.
        """
        super().__init__()
        self.blocks = nn.ModuleList(
            make_block(width + extra, width, sizes=sizes, conditions=conditions)
            for extra in extra_channels
        )
        self.transformer = make_transformer(
            width, num_transformers, sizes=sizes, conditions=conditions
        )

    def transform(self, x: Float[Tensor, "b c t"], by: Steering) -> Float[Tensor, "b c t"]:
        """Apply the transformer, if there is one."""
        if self.transformer is None:
            return x
        y: Tensor = self.transformer(x, by.embedding, by.embedding_mask)
        return y


class DownLevel(Level):
    """A level on the way down."""

    def __init__(self, index: int, *, sizes: Sizes, conditions: Conditions) -> None:
        joining = conditions.channels if conditions.level == index + 1 else 0
        width = sizes.widths[index + 1]
        super().__init__(
            width,
            extra_channels=tuple(joining * (i == 0) for i in range(sizes.num_blocks[index])),
            num_transformers=sizes.attentions[index],
            sizes=sizes,
            conditions=conditions,
        )
        self.downsample = Downsample(
            sizes.widths[index],
            width,
            factor=sizes.factors[index],
            multiple=sizes.kernel_multiple,
        )

    def forward(
        self, x: Float[Tensor, "b c t"], by: Steering, channels: Float[Tensor, "b d l"] | None
    ) -> tuple[Float[Tensor, "b c2 t2"], list[Float[Tensor, "b c2 t2"]]]:
        """The signal after the level, and what the way up is given.

        Args:
            x: The signal before.
            by: What steers the blocks.
            channels: A signal that joins here, of any length.
        """
        x = join(self.downsample(x), channels)
        skips = []
        for block in self.blocks:
            x = block(x, by.mapping)
            skips.append(x)
        if self.transformer is not None:
            x = self.transform(x, by)
            skips.append(x)
        return x, skips


class UpLevel(Level):
    """A level on the way up."""

    def __init__(self, index: int, *, sizes: Sizes, conditions: Conditions) -> None:
        width = sizes.widths[index + 1]
        blocks = sizes.num_blocks[index] + bool(sizes.attentions[index])
        super().__init__(
            width,
            extra_channels=(width,) * blocks,
            num_transformers=sizes.attentions[index],
            sizes=sizes,
            conditions=conditions,
        )
        self.skip_scale = sizes.skip_scale
        self.upsample = make_upsample(
            width, sizes.widths[index], factor=sizes.factors[index], nearest=sizes.nearest
        )

    def forward(
        self, x: Float[Tensor, "b c t"], by: Steering, skips: list[Float[Tensor, "b c t"]]
    ) -> Float[Tensor, "b c2 t2"]:
        """The signal after the level; the last of `skips` goes into the first block."""
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            x = block(torch.cat((x, skip * self.skip_scale), dim=1), by.mapping)
        y: Tensor = self.upsample(self.transform(x, by))
        return y


class Middle(nn.Module):
    """The bottom, between the way down and the way up."""

    def __init__(self, *, sizes: Sizes, conditions: Conditions) -> None:
        super().__init__()
        width = sizes.widths[-1]
        self.pre_block = make_block(width, width, sizes=sizes, conditions=conditions)
        self.transformer = make_transformer(
            width, sizes.attentions[-1], sizes=sizes, conditions=conditions
        )
        self.post_block = make_block(width, width, sizes=sizes, conditions=conditions)

    def forward(self, x: Float[Tensor, "b c t"], by: Steering) -> Float[Tensor, "b c t"]:
        """Apply the blocks."""
        x = self.pre_block(x, by.mapping)
        if self.transformer is not None:
            x = self.transformer(x, by.embedding, by.embedding_mask)
        y: Tensor = self.post_block(x, by.mapping)
        return y


def join(
    x: Float[Tensor, "b c t"], channels: Float[Tensor, "b d l"] | None
) -> Float[Tensor, "b c2 t"]:
    """Add channels, repeated or left out to the length of the signal."""
    if channels is None:
        return x
    if channels.shape[-1] != x.shape[-1]:
        channels = F.interpolate(channels, x.shape[-1], mode="nearest")
    return torch.cat((x, channels), dim=1)


def make_block(
    in_channels: int, out_channels: int, *, sizes: Sizes, conditions: Conditions
) -> ResnetBlock:
    """A residual block of a network of these sizes."""
    return ResnetBlock(
        in_channels,
        out_channels,
        groups=sizes.groups,
        mapping_features=mapping_features(sizes, conditions),
    )


def make_transformer(
    channels: int, num_blocks: int, *, sizes: Sizes, conditions: Conditions
) -> Transformer | None:
    """The transformer of a level of so many channels, if it has any blocks.

    Raises:
        ValueError: It has, and the network has no sizes for them.
    """
    if not num_blocks:
        return None
    attention = sizes.attention
    if attention is None or (attention.heads is None and attention.features is None):
        raise ValueError("attention needs a multiplier, and heads or their width")
    heads = attention.heads or channels // (attention.features or 1)
    return Transformer(
        channels,
        num_blocks=num_blocks,
        num_heads=heads,
        head_features=attention.features or channels // heads,
        multiplier=attention.multiplier,
        context_features=conditions.embedding,
    )


def mapping_features(sizes: Sizes, conditions: Conditions) -> int | None:
    """Width of the vector that modulates blocks; None if nothing does."""
    steered = conditions.time is not None or conditions.features is not None
    return sizes.mapping_features if steered else None
