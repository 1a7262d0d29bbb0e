"""Stacks of transformer layers with windowed attention, for the `local_attn` autoencoder."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from sat_models.layers.attention import SelfAttention
from sat_models.layers.feed_forward import FeedForward
from sat_models.layers.norm import plain_layer_norm
from sat_models.layers.rotary import RotaryEmbedding, Rotation
from sat_models.layers.window import Window

MIN_ROTARY_WIDTH = 32


class LocalTransformer(nn.Module):
    """Transformer layers with rotary positions, and attention within a window.

    Deviations from SAT: it cannot build the layers, since its attention no longer takes a window.
    Half of each head is rotated and at least 32 features of it, as there, but heads below 32
    features, where that fails, are rotated whole.
    """

    def __init__(
        self, width: int, *, depth: int, num_heads: int, hidden_width: int, window: Window
    ) -> None:
        """Create the layers.

        Args:
            width: Features of a token.
            depth: Layers.
            num_heads: Attention heads.
            hidden_width: Features inside the feed-forward networks.
            window: How far a token sees.

        Raises:
            ValueError: `num_heads` does not divide `width`.
        """
        super().__init__()
        self.layers = nn.ModuleList(
            _Layer(width, num_heads=num_heads, hidden_width=hidden_width, window=window)
            for _ in range(depth)
        )
        head_width = width // num_heads
        rotary_width = min(max(head_width // 2, MIN_ROTARY_WIDTH), head_width // 2 * 2)
        self.rotary_pos_emb = RotaryEmbedding(rotary_width)

    def forward(self, x: Float[Tensor, "b l e"]) -> Float[Tensor, "b l e"]:
        """Transform a sequence."""
        rotation = self.rotary_pos_emb(x.shape[1])
        for layer in self.layers:
            x = layer(x, rotation=rotation)
        return x


class _Layer(nn.ModuleList):
    """One layer; the names of its parts are their numbers, and number 2 is not used."""

    def __init__(self, width: int, *, num_heads: int, hidden_width: int, window: Window) -> None:
        attention = SelfAttention(
            width,
            num_heads=num_heads,
            qk_norm="none",
            differential=False,
            feature_scale=False,
            zero_init=True,
            window=window,
        )
        feed_forward = FeedForward(
            width,
            hidden_width=hidden_width,
            gated=True,
            bias=False,
            kernel_size=None,
            zero_init=True,
        )
        norms = plain_layer_norm(width), plain_layer_norm(width)
        super().__init__((norms[0], attention, nn.Identity(), norms[1], feed_forward))

    def forward(self, x: Tensor, *, rotation: Rotation) -> Tensor:
        attention_norm, attention, _, feed_forward_norm, feed_forward = self
        x = x + attention(attention_norm(x), rotation=rotation)
        result: Tensor = x + feed_forward(feed_forward_norm(x))
        return result


def local_transformers(
    widths: Sequence[int],
    heads: Sequence[int],
    depths: Sequence[int],
    *,
    hidden_factor: int,
    window: Window,
) -> list[LocalTransformer]:
    """The transformers of all stages.

    Args:
        widths: Features of a token, per stage.
        heads: Attention heads, per stage.
        depths: Layers, per stage.
        hidden_factor: Width of the feed-forward networks, relative to that of the stage.
        window: How far a token sees.

    Raises:
        ValueError: The heads of a stage do not divide its width.
    """
    return [
        LocalTransformer(
            width,
            depth=depth,
            num_heads=num_heads,
            hidden_width=hidden_factor * width,
            window=window,
        )
        for width, num_heads, depth in zip(widths, heads, depths, strict=True)
    ]


def local_window(size: int, *, causal: bool) -> Window:
    """A window of `size` tokens: the token, what is before it, and unless `causal` what is after.

    Of an even number the spare one lies after the token.
    """
    return Window(size - 1, 0) if causal else Window((size - 1) // 2, size // 2)
