"""Transformers: the options that all of them share, and the diffusion transformer (DiT)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from sat_config.audio.stages import Window
from sat_config.node import Node, NonNegative, Positive, PositiveFloat

Objective = Literal["v", "rectified_flow", "rf_denoiser"]
"""What a diffusion model predicts: v of a cosine schedule, the velocity of a straight path, or the
same trained on from a rectified flow to few steps, which differs in sampling only."""

LayerIndex = Annotated[int, Meta(ge=-1)]

_GONE = "stable-audio-tools names it and no longer has it; leave transformer_type out"
TransformerType = Annotated[
    Literal["continuous_transformer"], Meta(extra={"refused": {"x-transformers": _GONE}})
]


class AttentionConfig(Node, kw_only=True):
    """Attention, of a block to itself and to a condition.

    Attributes:
        qk_norm: How queries and keys are normalised; anything but none steadies long training.
        differential: Subtract a second attention map from the first; needs up to 5/3 of the
            weights of attention.
        feat_scale: Learn to scale the mean and the rest of the output apart.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("qk_norm", "differential", "feat_scale")

    qk_norm: Literal["none", "l2", "ln", "dyt"] = "none"
    differential: bool = False
    feat_scale: bool = False


class FeedForwardConfig(Node, kw_only=True):
    """The feed-forward network of a block.

    Attributes:
        mult: Hidden width as a multiple of the block's; more capacity, at proportional cost.
        no_bias: Leave out the biases, except that of a gated input layer.
        glu: Gate the hidden layer (SwiGLU) in place of a plain SiLU.
        use_conv: Convolve over time in place of linear layers; a gated input layer stays linear.
        conv_kernel_size: Frames that such a convolution sees, odd.
        dim_out: Width that goes out; only the block's own can work.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "mult",
        "no_bias",
        "glu",
        "use_conv",
        "conv_kernel_size",
    )

    mult: PositiveFloat = 4.0
    no_bias: bool = False
    glu: bool = True
    use_conv: bool = False
    conv_kernel_size: Positive = 3
    dim_out: Positive | None = None


class NormConfig(Node, kw_only=True):
    """The layer norms of a block.

    Attributes:
        bias: Learn an offset.
        fix_scale: Do not learn the gain.
        force_fp32: Normalise in float32 whatever the precision of the rest.
        eps: Added to the variance; larger is more robust to near-silent input.
    """

    training_keys: ClassVar[tuple[str, ...]] = ("bias", "fix_scale")

    bias: bool = False
    fix_scale: bool = False
    force_fp32: bool = False
    eps: PositiveFloat = 1e-5


class TransformerOptions(Node, kw_only=True):
    """What can be set in every transformer, beside its sizes.

    Attributes:
        final_cross_attn_ix: Last layer that attends to the condition; -1 for all.
        rotary_pos_emb: Rotary positions, shared by the layers; heads must be at least 32 wide.
        zero_init_branch_outputs: Start every branch at zero, so that a fresh network is shallow.
        conformer: Add a convolution module to each layer.
        use_sinusoidal_emb: Add sinusoidal positions to the input.
        use_abs_pos_emb: Add learned positions to the input, in place of sinusoidal ones.
        abs_pos_emb_max_length: Most tokens, prepended ones included, that have a learned position.
        num_memory_tokens: Learned tokens put before the input and removed at the end.
        sliding_window: Positions left and right that attention to itself sees, -1 for all. SAT
            heeds it only where flash-attn is installed and attends everywhere otherwise.
        remove_norms: Dynamic tanh in place of the layer norms.
        add_rope: Rotary positions of each layer's own, where there are no shared ones.
        layer_scale: Scale the output of every branch by a learned factor that starts at 1e-5.
        checkpointing: Recompute activations on the way back: far less memory in training, about a
            third slower. SAT always does so, and does not take the key.
        attn_kwargs: Attention.
        ff_kwargs: Feed-forward networks.
        norm_kwargs: Layer norms.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "final_cross_attn_ix",
        "rotary_pos_emb",
        "conformer",
        "use_sinusoidal_emb",
        "use_abs_pos_emb",
        "abs_pos_emb_max_length",
        "num_memory_tokens",
        "remove_norms",
        "add_rope",
        "layer_scale",
    )
    training_keys: ClassVar[tuple[str, ...]] = ("zero_init_branch_outputs",)
    harmless_keys: ClassVar[tuple[str, ...]] = ("checkpointing",)

    final_cross_attn_ix: LayerIndex = -1
    rotary_pos_emb: bool = True
    zero_init_branch_outputs: bool = True
    conformer: bool = False
    use_sinusoidal_emb: bool = False
    use_abs_pos_emb: bool = False
    abs_pos_emb_max_length: Positive = 10_000
    num_memory_tokens: NonNegative = 0
    sliding_window: Window | None = None
    remove_norms: bool = False
    add_rope: bool = False
    layer_scale: bool = False
    checkpointing: Annotated[bool, Meta(extra={"ours": "SAT always recomputes"})] = False
    attn_kwargs: AttentionConfig = AttentionConfig()
    ff_kwargs: FeedForwardConfig = FeedForwardConfig()
    norm_kwargs: NormConfig = NormConfig()

    @property
    def width(self) -> int:
        """Features of a token."""
        raise NotImplementedError

    @property
    def head_width(self) -> int:
        """Features of a head; the width should be a multiple of it."""
        raise NotImplementedError


class DiTOptions(TransformerOptions, kw_only=True):
    """What all diffusion transformers (Peebles and Xie 2023, arXiv 2212.09748) share.

    Attributes:
        embed_dim: Width of the transformer.
        depth: Layers.
        num_heads: Attention heads; `embed_dim / num_heads` is the head width.
        patch_size: Frames folded into one token; the length must be a multiple, and attention gets
            cheaper by its square.
        transformer_type: The only implementation.
        global_cond_type: How the timestep and global conditions enter: as a token put before the
            input, or as scale, shift and gate of every layer (adaLN), with more weights.
        timestep_cond_type: Whether the timestep goes with the global conditions or, as channels, to
            the input. SAT 0.0.19 cannot do the latter unless `timestep_embed_dim` is 1.
        timestep_embed_dim: Channels of the timestep at the input; needed there, unused otherwise.
        causal: Tokens see only earlier ones.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "embed_dim",
        "depth",
        "num_heads",
        "patch_size",
        "global_cond_type",
        "timestep_cond_type",
        "timestep_embed_dim",
    )

    embed_dim: Positive = 768
    depth: Positive = 12
    num_heads: Positive = 8
    patch_size: Positive = 1
    transformer_type: TransformerType = "continuous_transformer"
    global_cond_type: Literal["prepend", "adaLN"] = "prepend"
    timestep_cond_type: Literal["global", "input_concat"] = "global"
    timestep_embed_dim: Positive | None = None
    causal: bool = False

    @property
    def width(self) -> int:
        """Features of a token."""
        return self.embed_dim

    @property
    def head_width(self) -> int:
        """Features of a head."""
        return self.embed_dim // self.num_heads


class DiTUncondConfig(DiTOptions, kw_only=True):
    """An unconditional diffusion transformer, on latents or audio.

    Attributes:
        in_channels: Channels of the signal, in and out.
        diffusion_objective: What the network predicts and how it is sampled.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("in_channels",)

    in_channels: Positive
    diffusion_objective: Objective = "v"


class DiTConfig(DiTOptions, kw_only=True):
    """A diffusion transformer that conditions steer; its objective stands beside `config`.

    Attributes:
        io_channels: Channels of the signal, in and out.
        cond_token_dim: Width of what it cross-attends to; 0 for no cross-attention.
        project_cond_tokens: Bring that to the width of the transformer; otherwise it gets as many
            key-value heads as fit, each of which serves several query heads.
        global_cond_dim: Width of all global conditions together; 0 for none.
        project_global_cond: Bring that to the width of the transformer.
        input_concat_dim: Channels of all conditions that are joined to the input; 0 for none.
        prepend_cond_dim: Width of the conditions put before the input; 0 for none.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "io_channels",
        "cond_token_dim",
        "project_cond_tokens",
        "global_cond_dim",
        "input_concat_dim",
        "prepend_cond_dim",
    )
    harmless_keys: ClassVar[tuple[str, ...]] = ("project_global_cond",)

    io_channels: Positive = 32
    cond_token_dim: NonNegative = 0
    project_cond_tokens: bool = True
    global_cond_dim: NonNegative = 0
    project_global_cond: bool = True
    input_concat_dim: NonNegative = 0
    prepend_cond_dim: NonNegative = 0


class DiTAutoencoderConfig(DiTOptions, kw_only=True):
    """The diffusion transformer of a diffusion autoencoder; latents are its only condition.

    Attributes:
        io_channels: Channels of the signal, in and out.
        input_concat_dim: Channels of the latents, or of what the decoder makes of them.
        diffusion_objective: What the network predicts. SAT trains v whatever stands here.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("io_channels", "input_concat_dim")

    io_channels: Positive = 32
    input_concat_dim: NonNegative = 0
    diffusion_objective: Objective
