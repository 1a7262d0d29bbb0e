"""A transformer over continuous tokens."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_models.layers.attention import SelfAttention
from sat_models.layers.feed_forward import FeedForward
from sat_models.layers.norm import LayerNorm
from sat_models.layers.rotary import RotaryEmbedding, Rotation


class TransformerBlock(nn.Module):
    """One layer: attention and a feed-forward network, each on normalised tokens and added back."""

    def __init__(self, width: int, *, attention: SelfAttention, feed_forward: FeedForward) -> None:
        super().__init__()
        self.pre_norm = LayerNorm(width)
        self.self_attn = attention
        self.ff_norm = LayerNorm(width)
        self.ff = feed_forward

    def forward(
        self, x: Float[Tensor, "b l e"], *, rotation: Rotation | None
    ) -> Float[Tensor, "b l e"]:
        """Apply the layer to all tokens."""
        x = x + self.self_attn(self.pre_norm(x), rotation=rotation)
        result: Tensor = x + self.ff(self.ff_norm(x))
        return result


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
