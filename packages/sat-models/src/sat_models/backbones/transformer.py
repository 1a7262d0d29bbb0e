"""From the options that all transformers share to a transformer."""

from functools import partial

from sat_config.audio.transformer import FeedForwardConfig, NormConfig, TransformerOptions
from sat_models.layers.attention import CrossAttention, SelfAttention
from sat_models.layers.conformer import ConformerModule
from sat_models.layers.feed_forward import FeedForward
from sat_models.layers.norm import DynamicTanh, LayerNorm, MakeNorm
from sat_models.layers.positions import AbsolutePositions, SinusoidalPositions
from sat_models.layers.rotary import RotaryEmbedding
from sat_models.layers.transformer import ContinuousTransformer, TransformerBlock
from sat_models.layers.window import Window

MIN_ROTARY_WIDTH = 32


def build_transformer(
    options: TransformerOptions,
    *,
    in_channels: int,
    out_channels: int,
    depth: int,
    context_width: int | None,
    modulated: bool,
    causal: bool,
) -> ContinuousTransformer:
    """Build a transformer, with fresh weights.

    Deviations from SAT: the sliding window is heeded everywhere, there only where flash-attn is
    installed; and in a causal transformer the whole context is seen, there a token sees as many
    tokens of the context as there are tokens before it.

    Args:
        options: What can be set in every transformer.
        in_channels: Features of a token that comes in.
        out_channels: Features of a token that goes out.
        depth: Layers.
        context_width: Features of what the layers cross-attend to; None for no cross-attention.
        modulated: Let a condition modulate the layers.
        causal: Tokens see only earlier ones.

    Raises:
        ValueError: Widths and heads do not fit each other.
    """
    width, head_width = options.width, options.head_width
    if options.rotary_pos_emb and head_width < MIN_ROTARY_WIDTH:
        raise ValueError(
            f"heads of {head_width} features are too narrow for rotary positions, which need"
            f" {MIN_ROTARY_WIDTH}"
        )
    last = options.final_cross_attn_ix
    layers = [
        _build_layer(
            options,
            context_width=context_width if last == -1 or number <= last else None,
            modulated=modulated,
            causal=causal,
        )
        for number in range(depth)
    ]
    rotary = RotaryEmbedding(max(head_width // 2, MIN_ROTARY_WIDTH))
    return ContinuousTransformer(
        in_channels,
        out_channels,
        width=width,
        layers=layers,
        rotary=rotary if options.rotary_pos_emb else None,
        positions=_build_positions(options),
        num_memory_tokens=options.num_memory_tokens,
        modulated=modulated,
        recompute=options.checkpointing,
    )


def _build_layer(
    options: TransformerOptions, *, context_width: int | None, modulated: bool, causal: bool
) -> TransformerBlock:
    width = options.width
    zero_init = options.zero_init_branch_outputs and not options.layer_scale
    make_layer_norm = _norm_maker(options.norm_kwargs)
    return TransformerBlock(
        width,
        make_norm=DynamicTanh if options.remove_norms else make_layer_norm,
        attention=_build_self_attention(options, causal=causal, zero_init=zero_init),
        cross_attention=None
        if context_width is None
        else _build_cross_attention(options, context_width=context_width, zero_init=zero_init),
        conformer=ConformerModule(width, make_norm=make_layer_norm) if options.conformer else None,
        feed_forward=_build_feed_forward(options.ff_kwargs, width=width, zero_init=zero_init),
        rotary=RotaryEmbedding(options.head_width // 2) if options.add_rope else None,
        layer_scale=options.layer_scale,
        modulated=modulated,
    )


def _build_self_attention(
    options: TransformerOptions, *, causal: bool, zero_init: bool
) -> SelfAttention:
    config = options.attn_kwargs
    return SelfAttention(
        options.width,
        num_heads=options.width // options.head_width,
        qk_norm=config.qk_norm,
        differential=config.differential,
        feature_scale=config.feat_scale,
        zero_init=zero_init,
        window=_window(options.sliding_window, causal=causal),
    )


def _build_cross_attention(
    options: TransformerOptions, *, context_width: int, zero_init: bool
) -> CrossAttention:
    config = options.attn_kwargs
    return CrossAttention(
        options.width,
        context_width=context_width,
        num_heads=options.width // options.head_width,
        qk_norm=config.qk_norm,
        differential=config.differential,
        feature_scale=config.feat_scale,
        zero_init=zero_init,
    )


def _build_feed_forward(config: FeedForwardConfig, *, width: int, zero_init: bool) -> FeedForward:
    return FeedForward(
        width,
        hidden_width=int(config.mult * width),
        gated=config.glu,
        bias=not config.no_bias,
        kernel_size=config.conv_kernel_size if config.use_conv else None,
        zero_init=zero_init,
    )


def _norm_maker(config: NormConfig) -> MakeNorm:
    return partial(
        LayerNorm,
        epsilon=config.eps,
        bias=config.bias,
        fixed_gain=config.fix_scale,
        in_float32=config.force_fp32,
    )


def _build_positions(
    options: TransformerOptions,
) -> AbsolutePositions | SinusoidalPositions | None:
    if options.use_abs_pos_emb:
        length = options.abs_pos_emb_max_length + options.num_memory_tokens
        return AbsolutePositions(options.width, max_length=length)
    return SinusoidalPositions(options.width) if options.use_sinusoidal_emb else None


def _window(limits: tuple[int, ...] | None, *, causal: bool) -> Window:
    before, after = (None if limit == -1 else limit for limit in limits or (-1, -1))
    return Window(before, 0 if causal else after)
