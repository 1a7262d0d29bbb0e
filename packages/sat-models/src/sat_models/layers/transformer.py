"""A transformer over continuous tokens."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sat_models.layers.attention import AttentionCache, CrossAttention, SelfAttention
from sat_models.layers.conformer import ConformerModule
from sat_models.layers.feed_forward import FeedForward
from sat_models.layers.norm import LayerScale, MakeNorm
from sat_models.layers.positions import AbsolutePositions, SinusoidalPositions
from sat_models.layers.rotary import RotaryEmbedding, Rotation


@dataclass(frozen=True)
class Tokens:
    """Tokens, some of which may be padding.

    Attributes:
        values: Their features.
        mask: True for those that are no padding; None if none is.
    """

    values: Float[Tensor, "b k e"]
    mask: Bool[Tensor, "b k"] | None = None


class TransformerBlock(nn.Module):
    """One layer: branches that start from normalised tokens, each added back to them.

    In order: attention to the sequence, attention to a context, a conformer module, a feed-forward
    network. All but the first and the last are optional.
    """

    def __init__(
        self,
        width: int,
        *,
        make_norm: MakeNorm,
        attention: SelfAttention,
        cross_attention: CrossAttention | None,
        conformer: ConformerModule | None,
        feed_forward: FeedForward,
        rotary: RotaryEmbedding | None,
        layer_scale: bool,
        modulated: bool,
    ) -> None:
        """Put the layer together.

        Args:
            width: Features of a token.
            make_norm: Makes the norm in front of a branch; the conformer brings its own.
            attention: Attention to the sequence.
            cross_attention: Attention to a context.
            conformer: A convolution module.
            feed_forward: The last branch.
            rotary: Positions for this layer alone; used where the caller gives none.
            layer_scale: Scale what each branch adds by learned factors that start small.
            modulated: Let a condition scale, shift and gate attention and feed-forward network.
        """
        super().__init__()

        def scale() -> nn.Module:
            return LayerScale(width) if layer_scale else nn.Identity()

        self.pre_norm, self.self_attn, self.self_attn_scale = make_norm(width), attention, scale()
        self.cross_attn, self.conformer, self.rope = cross_attention, conformer, rotary
        if cross_attention is not None:
            self.cross_attend_norm, self.cross_attn_scale = make_norm(width), scale()
        if conformer is not None:
            self.conformer_scale = scale()
        self.ff_norm, self.ff, self.ff_scale = make_norm(width), feed_forward, scale()
        if modulated:
            self.to_scale_shift_gate = nn.Parameter(torch.randn(6 * width) / width**0.5)

    def forward(
        self,
        x: Float[Tensor, "b l e"],
        *,
        rotation: Rotation | None = None,
        mask: Bool[Tensor, "b l"] | None = None,
        context: Tokens | None = None,
        modulation: Float[Tensor, "b e6"] | None = None,
        cache: AttentionCache | None = None,
    ) -> Float[Tensor, "b l e"]:
        """Apply the layer to all tokens.

        Args:
            x: The tokens.
            rotation: Positions for the attention to the sequence.
            mask: True for the tokens that are no padding; the others change nothing in these.
            context: What the second attention attends to; without it that branch is left out. It
                may be that of the first items alone: the branch is left out for the others.
            modulation: Six numbers per feature, added to the layer's own: scale, shift and gate of
                the attention, then of the feed-forward network. Without it neither is modulated.
            cache: The tokens before these. Not for layers with convolutions or scaled features.
        """
        if rotation is None and self.rope is not None:
            rotation = self.rope(x.shape[1], start=0 if cache is None else cache.length)
        first, second = (None, None) if modulation is None else self._modulations(modulation)
        shifted = _shift(self.pre_norm(x), first)
        branch = self.self_attn(shifted, rotation=rotation, mask=mask, cache=cache)
        x = x + self.self_attn_scale(_gate(branch, first))
        if self.cross_attn is not None and context is not None:
            count = len(context.values)
            steered = self._cross_attend(
                self.cross_attn,
                x[:count],
                context,
                mask=None if mask is None else mask[:count],
                cache=cache,
            )
            x = steered if count == len(x) else torch.cat((steered, x[count:]))
        if self.conformer is not None:
            x = x + self.conformer_scale(self.conformer(x, mask))
        branch = self.ff(_shift(self.ff_norm(x), second), mask)
        result: Tensor = x + self.ff_scale(_gate(branch, second))
        return result

    def _cross_attend(
        self,
        attention: CrossAttention,
        x: Tensor,
        context: Tokens,
        *,
        mask: Tensor | None,
        cache: AttentionCache | None,
    ) -> Tensor:
        branch = attention(
            self.cross_attend_norm(x),
            context=context.values,
            mask=mask,
            context_mask=context.mask,
            cache=cache,
        )
        result: Tensor = x + self.cross_attn_scale(branch)
        return result

    def _modulations(self, modulation: Tensor) -> tuple[Tensor, Tensor]:
        both = self.to_scale_shift_gate + modulation
        first, second = rearrange(both, "b (n m e) -> n b m 1 e", n=2, m=3)
        return first, second


def _shift(x: Tensor, modulation: Tensor | None) -> Tensor:
    """Adaptive layer norm (Peebles and Xie 2023, 2212.09748), after the norm."""
    if modulation is None:
        return x
    scale, shift, _ = modulation.unbind(1)
    return x * (1 + scale) + shift


def _gate(x: Tensor, modulation: Tensor | None) -> Tensor:
    """Adaptive layer norm, before the sum; a sigmoid keeps the gate between 0 and 1, as in SAT."""
    return x if modulation is None else x * torch.sigmoid(1 - modulation[:, 2])


@dataclass(frozen=True)
class TransformerCache:
    """What a transformer keeps of the tokens that it has seen.

    Attributes:
        layers: Of each layer.
    """

    layers: tuple[AttentionCache, ...]

    @property
    def length(self) -> int:
        """Tokens so far, those that were put before the sequence included."""
        return self.layers[0].length


def _started(cache: TransformerCache | None) -> bool:
    return cache is not None and cache.length > 0


class ContinuousTransformer(nn.Module):
    """Layers between two projections, without biases.

    Inside, the sequence is: memory tokens, prepended tokens, the tokens themselves. Positions count
    through all three, padding included.

    Deviation from SAT: masks are heeded. Where the mask is True the result is what it would be
    without the tokens where it is False, if those are at the end.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int,
        layers: Iterable[TransformerBlock],
        rotary: RotaryEmbedding | None,
        positions: AbsolutePositions | SinusoidalPositions | None,
        num_memory_tokens: int,
        modulated: bool,
        recompute: bool,
    ) -> None:
        """Put the layers together.

        Args:
            in_channels: Features of a token that comes in.
            out_channels: Features of a token that goes out.
            width: Features of a token inside.
            layers: The layers, first to last.
            rotary: Positions for the attention of all layers.
            positions: Positions that are added to the tokens.
            num_memory_tokens: Learned tokens put before everything, and removed at the end (Burtsev
                et al. 2020, 2006.11527).
            modulated: Make the modulation of the layers from a condition.
            recompute: Recompute activations in the backward pass, as SAT always does: less memory,
                about a third slower.
        """
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.project_in = nn.Linear(in_channels, width, bias=False)
        self.project_out = nn.Linear(width, out_channels, bias=False)
        self.rotary_pos_emb, self.pos_emb = rotary, positions
        self.num_memory_tokens, self.recompute = num_memory_tokens, recompute
        if num_memory_tokens:
            self.memory_tokens = nn.Parameter(torch.randn(num_memory_tokens, width))
        if modulated:
            self.global_cond_embedder = nn.Sequential(
                nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 6 * width)
            )

    def forward(
        self,
        x: Float[Tensor, "b l c"],
        *,
        mask: Bool[Tensor, "b l"] | None = None,
        prepended: Tokens | None = None,
        context: Tokens | None = None,
        condition: Float[Tensor, "b e"] | None = None,
        cache: TransformerCache | None = None,
    ) -> Float[Tensor, "b l c2"]:
        """Transform a sequence.

        Args:
            x: The tokens.
            mask: True for the tokens that are no padding.
            prepended: Tokens of the inner width, put before the sequence, and left out of the
                result.
            context: What the layers cross-attend to.
            condition: What their modulation is made from; without it there is none.
            cache: The tokens before these, when a sequence comes in pieces: prepended tokens come
                with the first piece only, and a mask with none.
        """
        tokens, mask = self._enter(x, mask, prepended, started=_started(cache))
        tokens = self._run(self.layers, tokens, mask, context, condition, cache)
        result: Tensor = self.project_out(tokens[:, -x.shape[1] :])
        return result

    def features(
        self,
        x: Float[Tensor, "b l c"],
        *,
        layer: int,
        mask: Bool[Tensor, "b l"] | None = None,
        prepended: Tokens | None = None,
        context: Tokens | None = None,
        condition: Float[Tensor, "b e"] | None = None,
    ) -> Float[Tensor, "b k e"]:
        """The tokens after one layer, without running those behind it.

        Args:
            x: As of `forward`, like the rest.
            layer: Number of the layer, from 0.
            mask: See `forward`.
            prepended: They stay in the result.
            context: See `forward`.
            condition: See `forward`.

        Raises:
            ValueError: There is no such layer.
        """
        if not 0 <= layer < len(self.layers):
            raise ValueError(f"layer {layer} is not one of {len(self.layers)}, from 0")
        tokens, mask = self._enter(x, mask, prepended, started=False)
        tokens = self._run(self.layers[: layer + 1], tokens, mask, context, condition, None)
        return tokens[:, self.num_memory_tokens :]

    def new_cache(self) -> TransformerCache:
        """The cache of a sequence that has not begun."""
        return TransformerCache(tuple(AttentionCache() for _ in self.layers))

    def _enter(
        self, x: Tensor, mask: Tensor | None, prepended: Tokens | None, *, started: bool
    ) -> tuple[Tensor, Tensor | None]:
        """All tokens of the inner width, and their mask if any of them has one."""
        parts = [Tokens(self.project_in(x), mask)]
        if prepended is not None:
            parts.insert(0, prepended)
        if self.num_memory_tokens and not started:
            parts.insert(0, Tokens(self.memory_tokens.expand(x.shape[0], -1, -1)))
        tokens = torch.cat([part.values for part in parts], dim=1)
        if all(part.mask is None for part in parts):
            return tokens, None
        masks = [
            torch.ones_like(part.values[..., 0], dtype=torch.bool)
            if part.mask is None
            else part.mask
            for part in parts
        ]
        return tokens, torch.cat(masks, dim=1)

    def _run(
        self,
        layers: nn.ModuleList,
        tokens: Tensor,
        mask: Tensor | None,
        context: Tokens | None,
        condition: Tensor | None,
        cache: TransformerCache | None,
    ) -> Tensor:
        start, length = 0 if cache is None else cache.length, tokens.shape[1]
        rotation = modulation = None
        if self.rotary_pos_emb is not None:
            rotation = self.rotary_pos_emb(length, start=start)
        if self.pos_emb is not None:
            tokens = tokens + self.pos_emb(length, start=start)
        if condition is not None:
            modulation = self.global_cond_embedder(condition)
        for number, layer in enumerate(layers):
            apply = partial(
                layer,
                rotation=rotation,
                mask=mask,
                context=context,
                modulation=modulation,
                cache=None if cache is None else cache.layers[number],
            )
            if self.recompute and torch.is_grad_enabled():
                tokens = checkpoint(apply, tokens, use_reentrant=False, preserve_rng_state=False)
            else:
                tokens = apply(tokens)
        return tokens
