"""The feed-forward half of a transformer layer."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class SwiGLU(nn.Module):
    """A linear map whose one half is gated by the SiLU of its other (Shazeer 2020, 2002.05202)."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_width, 2 * out_width)

    def forward(self, x: Float[Tensor, "*b e"]) -> Float[Tensor, "*b f"]:
        """Project and gate; the second half of the projection is the gate."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        result: Tensor = value * functional.silu(gate)
        return result


class FeedForward(nn.Module):
    """Widen with a gate, and narrow again.

    The narrowing map starts at zero, so that a fresh layer passes its input on.
    """

    def __init__(self, width: int, *, hidden_width: int) -> None:
        super().__init__()
        narrow = nn.Linear(hidden_width, width)
        nn.init.zeros_(narrow.weight)
        nn.init.zeros_(narrow.bias)
        # The second place is a reordering of axes in SAT; keeping it empty keeps the state names.
        self.ff = nn.Sequential(SwiGLU(width, hidden_width), nn.Identity(), narrow)

    def forward(self, x: Float[Tensor, "*b e"]) -> Float[Tensor, "*b e"]:
        """Transform each token by itself."""
        result: Tensor = self.ff(x)
        return result
