"""A transformer over continuous tokens."""

from collections.abc import Iterable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sat_models.layers.attention import CrossAttention, SelfAttention
from sat_models.layers.conformer import ConformerModule
from sat_models.layers.feed_forward import FeedForward
from sat_models.layers.norm import LayerScale, MakeNorm
from sat_models.layers.rotary import RotaryEmbedding, Rotation


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
        context: Float[Tensor, "b k f"] | None = None,
        modulation: Float[Tensor, "b e6"] | None = None,
    ) -> Float[Tensor, "b l e"]:
        """Apply the layer to all tokens.

        Args:
            x: The tokens.
            rotation: Positions for the attention to the sequence.
            context: What the second attention attends to; without it that branch is left out.
            modulation: Six numbers per feature, added to the layer's own: scale, shift and gate of
                the attention, then of the feed-forward network. Without it neither is modulated.
        """
        if rotation is None and self.rope is not None:
            rotation = self.rope(x.shape[1])
        first, second = (None, None) if modulation is None else self._modulations(modulation)
        branch = self.self_attn(_shift(self.pre_norm(x), first), rotation=rotation)
        x = x + self.self_attn_scale(_gate(branch, first))
        if self.cross_attn is not None and context is not None:
            branch = self.cross_attn(self.cross_attend_norm(x), context=context)
            x = x + self.cross_attn_scale(branch)
        if self.conformer is not None:
            x = x + self.conformer_scale(self.conformer(x))
        branch = self.ff(_shift(self.ff_norm(x), second))
        result: Tensor = x + self.ff_scale(_gate(branch, second))
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


class ContinuousTransformer(nn.Module):
    """Layers between two projections, without biases.

    SAT recomputes every layer in the backward pass; here activations are kept.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int,
        layers: Iterable[TransformerBlock],
        rotary: RotaryEmbedding | None,
    ) -> None:
        """Put the layers together.

        Args:
            in_channels: Features of a token that comes in.
            out_channels: Features of a token that goes out.
            width: Features of a token inside.
            layers: The layers, first to last.
            rotary: Positions; without it attention does not know them.
        """
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.project_in = nn.Linear(in_channels, width, bias=False)
        self.project_out = nn.Linear(width, out_channels, bias=False)
        self.rotary_pos_emb = rotary

    def forward(
        self, x: Float[Tensor, "b l c"], *, prepended: Float[Tensor, "b k e"]
    ) -> Float[Tensor, "b l c2"]:
        """Transform a sequence.

        Args:
            x: The tokens.
            prepended: Tokens of the inner width, put before the sequence, and left out of the
                result.
        """
        tokens = torch.cat((prepended, self.project_in(x)), dim=1)
        rotation = None if self.rotary_pos_emb is None else self.rotary_pos_emb(tokens.shape[1])
        for layer in self.layers:
            tokens = layer(tokens, rotation=rotation)
        result: Tensor = self.project_out(tokens[:, prepended.shape[1] :])
        return result
