"""Attention between tokens."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_models.layers.rotary import Rotation


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself (Vaswani et al. 2017, 1706.03762).

    No biases; the output projection starts at zero, so that a fresh layer passes its input on.
    """

    def __init__(self, width: int, *, num_heads: int) -> None:
        """Create the projections.

        Raises:
            ValueError: `num_heads` does not divide `width`.
        """
        super().__init__()
        if width % num_heads:
            raise ValueError(f"{num_heads} attention heads do not divide a width of {width}")
        self.num_heads = num_heads
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.to_out.weight)

    def forward(
        self, x: Float[Tensor, "b l e"], *, rotation: Rotation | None
    ) -> Float[Tensor, "b l e"]:
        """Let each token gather from all tokens.

        Args:
            x: The tokens.
            rotation: Turns queries and keys by their positions.
        """
        projected = self.to_qkv(x)
        qkv = rearrange(projected, "b l (n h d) -> n b h l d", n=3, h=self.num_heads)
        query_key, value = qkv[:2], qkv[2]
        if rotation is not None:
            query_key = rotation.apply(query_key)
        query, key = query_key.unbind()
        gathered = functional.scaled_dot_product_attention(query, key, value)  # b h l d
        result: Tensor = self.to_out(rearrange(gathered, "b h l d -> b l (h d)"))
        return result
