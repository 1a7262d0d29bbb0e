"""Transformers inside the U-Nets of audio-diffusion-pytorch 0.0.94 (Schneider 2023, 2301.13267)."""

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

NORM_GROUPS = 32
NORM_EPS = 1e-6


class AttentionCore(nn.Module):
    """Attention proper, and the projection after it."""

    def __init__(self, features: int, *, head_features: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_out = nn.Linear(head_features * num_heads, features)

    def forward(
        self, q: Float[Tensor, "b l e"], k: Float[Tensor, "b k e"], v: Float[Tensor, "b k e"]
    ) -> Float[Tensor, "b l e2"]:
        """Attend."""
        q, k, v = (rearrange(part, "b l (h e) -> b h l e", h=self.num_heads) for part in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.to_out(rearrange(mixed, "b h l e -> b l (h e)"))
        return out


class Attention(nn.Module):
    """Attention (Vaswani et al. 2017, 1706.03762) with a norm before it on either side."""

    def __init__(
        self, features: int, *, context_features: int, head_features: int, num_heads: int
    ) -> None:
        """Create the layers.

        Args:
            features: Width of the tokens.
            context_features: Width of what they attend to.
            head_features: Width of a head.
            num_heads: Heads.
        """
        super().__init__()
        width = head_features * num_heads
        self.norm = nn.LayerNorm(features)
        self.norm_context = nn.LayerNorm(context_features)
        self.to_q = nn.Linear(features, width, bias=False)
        self.to_kv = nn.Linear(context_features, width * 2, bias=False)
        self.attention = AttentionCore(features, head_features=head_features, num_heads=num_heads)

    def forward(
        self,
        x: Float[Tensor, "b l e"],
        context: Float[Tensor, "b k f"],
        context_mask: Bool[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b l e"]:
        """Attend to a context.

        Args:
            x: The tokens.
            context: What they attend to; the tokens themselves for self-attention.
            context_mask: False for padding. Keys and values of padding become zero; it still gets a
                share of the attention, as in SAT, whose weights count on it.
        """
        q = self.to_q(self.norm(x))
        k, v = self.to_kv(self.norm_context(context)).chunk(2, dim=-1)
        if context_mask is not None:
            shown = context_mask[..., None].to(k.dtype)
            k, v = k * shown, v * shown
        out: Tensor = self.attention(q, k, v)
        return out


class TransformerBlock(nn.Module):
    """Attention to itself, to a context if there is to be one, and a feed-forward network."""

    def __init__(
        self,
        features: int,
        *,
        head_features: int,
        num_heads: int,
        multiplier: int,
        context_features: int | None,
    ) -> None:
        super().__init__()
        heads = {"head_features": head_features, "num_heads": num_heads}
        self.attention = Attention(features, context_features=features, **heads)
        self.cross_attention = (
            None
            if context_features is None
            else Attention(features, context_features=context_features, **heads)
        )
        self.feed_forward = nn.Sequential(
            nn.Linear(features, features * multiplier),
            nn.GELU(),
            nn.Linear(features * multiplier, features),
        )

    def forward(
        self,
        x: Float[Tensor, "b l e"],
        context: Float[Tensor, "b k f"] | None,
        context_mask: Bool[Tensor, "b k"] | None,
    ) -> Float[Tensor, "b l e"]:
        """Apply the block; a `context` is there exactly if the block was made for one."""
        x = self.attention(x, x) + x
        if self.cross_attention is not None and context is not None:
            x = self.cross_attention(x, context, context_mask) + x
        y: Tensor = self.feed_forward(x) + x
        return y


class Transformer(nn.Module):
    """Transformer blocks over frames, without positions; nothing goes around the whole."""

    def __init__(
        self,
        channels: int,
        *,
        num_blocks: int,
        head_features: int,
        num_heads: int,
        multiplier: int,
        context_features: int | None,
    ) -> None:
        """Create the layers.

        Args:
            channels: Channels in and out, a multiple of 32.
            num_blocks: Blocks.
            head_features: Width of a head.
            num_heads: Heads.
            multiplier: Hidden width of feed-forward networks, as a multiple of the channels.
            context_features: Width of a context to attend to; there is none if None.
        """
        super().__init__()
        self.to_in = nn.Sequential(
            nn.GroupNorm(NORM_GROUPS, channels, eps=NORM_EPS), nn.Conv1d(channels, channels, 1)
        )
        self.blocks = nn.ModuleList(
            TransformerBlock(
                channels,
                head_features=head_features,
                num_heads=num_heads,
                multiplier=multiplier,
                context_features=context_features,
            )
            for _ in range(num_blocks)
        )
        self.to_out = nn.Sequential(nn.Identity(), nn.Conv1d(channels, channels, 1))

    def forward(
        self,
        x: Float[Tensor, "b c t"],
        context: Float[Tensor, "b k f"] | None,
        context_mask: Bool[Tensor, "b k"] | None,
    ) -> Float[Tensor, "b c t"]:
        """Apply the blocks."""
        tokens = self.to_in(x).mT
        for block in self.blocks:
            tokens = block(tokens, context, context_mask)
        out: Tensor = self.to_out(tokens.mT)
        return out
