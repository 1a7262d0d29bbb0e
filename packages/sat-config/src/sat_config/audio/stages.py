"""What encoder and decoder configurations of one architecture share: their stages."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from sat_config.node import Node, NonNegative, Positive

Multipliers = Annotated[tuple[Positive, ...], Meta(min_length=1)]
Strides = Annotated[tuple[Positive, ...], Meta(min_length=1)]
Widths = Annotated[tuple[Positive, ...], Meta(min_length=1)]
Depths = Annotated[tuple[NonNegative, ...], Meta(min_length=1)]

Window = Annotated[tuple[Annotated[int, Meta(ge=-1)], ...], Meta(min_length=2, max_length=2)]
"""Positions to the left and to the right that a query sees; -1 sets no limit on that side."""


class StagedConfig(Node, kw_only=True):
    """A network of stages, described by parallel lists with one entry per stage."""

    counted: ClassVar[str] = "c_mults"
    """The list whose length is the number of stages."""

    parallel: ClassVar[tuple[str, ...]] = ("strides",)
    """The lists that need an entry for every stage."""

    def per_stage(self, key: str) -> tuple[int, ...]:
        """The list `key`, as far as there are stages for it."""
        entries: tuple[int, ...] = getattr(self, key)
        return entries[: len(getattr(self, self.counted))]


class TAAEConfig(StagedConfig, kw_only=True):
    """Half of a transformer autoencoder (TAAE; Parker et al. 2024, arXiv 2411.19842).

    A stage is a strided convolution and a stack of transformer blocks with windowed attention.
    Stages at least 128 channels wide have heads of 128 channels, narrower ones a single head.

    Attributes:
        channels: Base width; stage i is `c_mults[i]` times as wide, which must be 6 to 127 or a
            multiple of 128.
        latent_dim: Channels on the side of the latents; for an encoder twice the latent width
            before a VAE bottleneck.
        c_mults: Width multiplier of each stage, from the signal to the latents.
        strides: Factor of each stage, from the signal to the latents; 1 leaves the convolution
            out.
        transformer_depths: Transformer blocks of each stage; more cost time and memory.
        use_snake: Snake activations before the convolutions, and in place of ELU in the dilated
            units.
        sliding_window: Positions left and right that attention sees; wider costs more. SAT heeds
            it only where flash-attn is installed and attends everywhere otherwise.
        checkpointing: Recompute activations on the way back: less memory, about a third slower.
        conformer: Add a convolution module to each transformer block.
        layer_scale: Scale the output of every branch by a learned factor that starts small.
        use_dilated_conv: Add three dilated residual units to each stage.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "channels",
        "latent_dim",
        "c_mults",
        "strides",
        "transformer_depths",
        "use_snake",
        "conformer",
        "layer_scale",
        "use_dilated_conv",
    )
    harmless_keys: ClassVar[tuple[str, ...]] = ("checkpointing",)

    parallel: ClassVar[tuple[str, ...]] = ("strides", "transformer_depths")

    channels: Positive = 128
    latent_dim: Positive = 32
    c_mults: Multipliers = (1, 2, 4, 8)
    strides: Strides = (2, 4, 8, 8)
    transformer_depths: Depths = (3, 3, 3, 3)
    use_snake: bool = False
    sliding_window: Window = (63, 64)
    checkpointing: bool = False
    conformer: bool = False
    layer_scale: bool = True
    use_dilated_conv: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage, from the signal to the latents."""
        return tuple(multiplier * self.channels for multiplier in self.c_mults)

    @property
    def incoming_widths(self) -> tuple[int, ...]:
        """Channels on the signal's side of each stage; the first stage does not change width."""
        return (self.widths[0], *self.widths[:-1])


class LocalAttentionConfig(StagedConfig, kw_only=True):
    """Half of an autoencoder of transformers with windowed attention.

    A stage is a stack of transformer layers and a linear map that merges neighbouring frames, or
    splits them. SAT 0.0.19 builds it with empty stages only.

    Attributes:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        heads: Attention heads of each stage; its width must divide by them.
        depths: Transformer layers of each stage; the number of entries is the number of stages.
        ratios: Frames that each stage merges or splits, in the order of the stages.
        local_attn_window_size: Frames that attention sees; wider costs more.
        causal: Attend to the past only.
        ff_mult: Width of the feed-forward layers relative to the stage.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "in_channels",
        "out_channels",
        "heads",
        "depths",
        "ratios",
        "ff_mult",
    )

    counted: ClassVar[str] = "depths"
    parallel: ClassVar[tuple[str, ...]] = ("embed_dims", "heads", "ratios")

    in_channels: Positive
    out_channels: Positive
    heads: Widths = (12, 12, 12, 12)
    depths: Depths = (3, 3, 3, 3)
    ratios: Strides = (2, 2, 2, 2)
    local_attn_window_size: Positive = 64
    causal: bool = False
    ff_mult: Positive = 2
