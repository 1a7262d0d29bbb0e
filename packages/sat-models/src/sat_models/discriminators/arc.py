"""Heads that turn features of a diffusion transformer into scores (ARC, Novack et al. 2025).

Adversarial relativistic-contrastive post-training, 2505.08175. A head only scores; losses, prompts
and penalties belong to the training method.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import singledispatch
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.arc import ARCHeadNode, ConvHeadNode, ConvNeXtHeadNode
from sat_models.build import load_builtin, missing_builder
from sat_models.discriminators.conv import NormedConv1d

GROUPS = 32
MIN_TOKENS = 64
BLOCKS = 3
"""Blocks of a stage where the configuration does not say."""


class ARCHead(nn.Module, ABC):
    """Scores the features of a sequence.

    Attributes:
        min_tokens: The shortest sequence that can be scored.
    """

    min_tokens: int

    @abstractmethod
    def forward(self, features: Float[Tensor, "b e l"]) -> Float[Tensor, "b 1 l2"]:
        """Score a sequence."""


class ConvHead(ARCHead):
    """Four convolutions that halve the length, with group norm, and one that scores.

    Args:
        channels: Width of the features, a multiple of 32.
        soft_clip_scale: Size to which tanh limits the scores; None sets no limit.

    Raises:
        ValueError: The width is no multiple of 32.
    """

    min_tokens = MIN_TOKENS

    def __init__(self, channels: int, *, soft_clip_scale: float | None) -> None:
        super().__init__()
        if channels % GROUPS:
            raise ValueError(f"the features need a multiple of {GROUPS} channels; got {channels}")
        layers: list[nn.Module] = []
        for _ in range(4):
            layers += [
                nn.Conv1d(channels, channels, 4, stride=2, padding=1),
                nn.GroupNorm(GROUPS, channels),
                nn.SiLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv1d(channels, 1, 4))
        self.soft_clip_scale = soft_clip_scale

    def forward(self, features: Float[Tensor, "b e l"]) -> Float[Tensor, "b 1 l2"]:
        """Score a sequence.

        Raises:
            ValueError: It has fewer than 64 tokens.
        """
        if features.shape[-1] < MIN_TOKENS:
            raise ValueError(
                f"the head needs at least {MIN_TOKENS} tokens; got {features.shape[-1]}"
            )
        scores: Tensor = self.layers(features)
        if self.soft_clip_scale is None:
            return scores
        return self.soft_clip_scale * torch.tanh(scores / self.soft_clip_scale)


class ConvNeXtHead(ARCHead):
    """Stages of ConvNeXt blocks (Liu et al. 2022, 2201.03545) and strided convolutions.

    As in SAT the blocks do not start as the identity: its attempt at it sets only their last bias
    to zero. Nothing is recomputed in the backward pass; the training method may do so for the head
    as a whole.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        widths: Sequence[int],
        strides: Sequence[int],
        num_blocks: Sequence[int],
        kernel_size: int,
        expansion: int,
        gated: bool,
    ) -> None:
        """Create the layers.

        Args:
            in_channels: Width of the features.
            widths: Channels before the first stage and after each stage.
            strides: Factor by which each stage shortens; one fewer than `widths`.
            num_blocks: Blocks of each stage, as many.
            kernel_size: Taps of the convolutions that see neighbours, odd.
            expansion: Width inside a block, as a multiple of that outside.
            gated: Gate the inside of a block.
        """
        super().__init__()
        self.min_tokens = 1
        for stride in reversed(strides):
            kernel, padding = _window(stride)
            self.min_tokens = max(1, (self.min_tokens - 1) * stride + kernel - 2 * padding)
        stages = [
            _Stage(
                before,
                after,
                stride=stride,
                blocks=[
                    _ConvNeXtBlock(
                        before, kernel_size=kernel_size, expansion=expansion, gated=gated
                    )
                    for _ in range(count)
                ],
            )
            for (before, after), stride, count in zip(
                pairwise(widths), strides, num_blocks, strict=True
            )
        ]
        self.encoder = _Encoder(
            NormedConv1d(in_channels, widths[0], 7, padding=3),
            nn.Sequential(*stages, NormedConv1d(widths[-1], 1, 3, padding=1)),
        )

    def forward(self, features: Float[Tensor, "b e l"]) -> Float[Tensor, "b 1 l2"]:
        """Score a sequence, which must survive the strides."""
        scores: Tensor = self.encoder(features)
        return scores


class _Encoder(nn.Module):
    def __init__(self, proj_in: nn.Module, layers: nn.Module) -> None:
        super().__init__()
        self.proj_in = proj_in
        self.layers = layers

    def forward(self, features: Float[Tensor, "b e l"]) -> Float[Tensor, "b 1 l2"]:
        scores: Tensor = self.layers(self.proj_in(features))
        return scores


class _Stage(nn.Module):
    def __init__(
        self, before: int, after: int, *, stride: int, blocks: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(blocks)
        kernel, padding = _window(stride)
        self.downsample = NormedConv1d(before, after, kernel, stride=stride, padding=padding)

    def forward(self, x: Float[Tensor, "b c l"]) -> Float[Tensor, "b c2 l2"]:
        for block in self.layers:
            x = block(x)
        result: Tensor = self.downsample(x)
        return result


def _window(stride: int) -> tuple[int, int]:
    """Taps and padding of a convolution that shortens a signal."""
    return 2 * stride, math.ceil(stride / 2)


class _ConvNeXtBlock(nn.Module):
    """A depthwise convolution, and two of one tap with the activation between them; residual."""

    def __init__(self, channels: int, *, kernel_size: int, expansion: int, gated: bool) -> None:
        super().__init__()
        inner = channels * expansion
        self.dw_conv = NormedConv1d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
        )
        self.gated = gated
        self.proj_up = NormedConv1d(channels, 2 * inner if gated else inner, 1)
        self.activation = nn.SiLU() if gated else nn.GELU()
        self.proj_down = NormedConv1d(inner, channels, 1)
        if self.proj_down.bias is not None:
            nn.init.zeros_(self.proj_down.bias)

    def forward(self, x: Float[Tensor, "b c l"]) -> Float[Tensor, "b c l"]:
        inner = self.proj_up(self.dw_conv(x))
        if self.gated:
            value, gate = inner.chunk(2, dim=1)
            inner = value * torch.sigmoid(gate)
        branch: Tensor = self.proj_down(self.activation(inner))
        return x + branch


@singledispatch
def build_arc_head(node: ARCHeadNode, *, in_channels: int) -> ARCHead:
    """Build the head of a node, with fresh weights.

    Args:
        node: A head node.
        in_channels: Width of the features.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_arc_head(node, in_channels=in_channels)
    raise missing_builder(node)


@build_arc_head.register
def build_conv_head(node: ConvHeadNode, *, in_channels: int) -> ConvHead:
    """Build a head of plain convolutions."""
    return ConvHead(in_channels, soft_clip_scale=node.config.soft_clip_scale)


@build_arc_head.register
def build_convnext_head(node: ConvNeXtHeadNode, *, in_channels: int) -> ConvNeXtHead:
    """Build a ConvNeXt head; strides beyond the last stage have no effect, as in SAT."""
    config, stages = node.config, len(node.config.c_mults)
    return ConvNeXtHead(
        in_channels,
        widths=[config.channels * factor for factor in (1, *config.c_mults)],
        strides=config.strides[:stages],
        num_blocks=config.num_blocks or [BLOCKS] * stages,
        kernel_size=config.conv_args.kernel_size,
        expansion=config.conv_args.mult,
        gated=config.conv_args.glu,
    )
