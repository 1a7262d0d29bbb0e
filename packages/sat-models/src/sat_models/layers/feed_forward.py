"""The feed-forward half of a transformer layer."""

from jaxtyping import Bool, Float
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


class TokenConv(nn.Conv1d):
    """A convolution along a sequence of tokens, with zeros beyond its ends."""

    def __init__(self, in_width: int, out_width: int, *, kernel_size: int, bias: bool) -> None:
        """Create the weights.

        Args:
            in_width: Features of a token that comes in.
            out_width: Features of a token that goes out.
            kernel_size: Tokens that the kernel covers; odd.
            bias: Whether there is a bias.
        """
        super().__init__(in_width, out_width, kernel_size, padding=kernel_size // 2, bias=bias)

    def forward(self, x: Float[Tensor, "b l e"]) -> Float[Tensor, "b l f"]:
        """Convolve over `l`."""
        return super().forward(x.mT).mT


def hide_padding(
    x: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"] | None
) -> Float[Tensor, "b l e"]:
    """Zeros where the mask is False, so that a convolution sees what it sees beyond the end."""
    return x if mask is None else x.masked_fill(~mask[..., None], 0)


class FeedForward(nn.Module):
    """Widen and narrow again, with a gate or a SiLU in between."""

    def __init__(
        self,
        width: int,
        *,
        hidden_width: int,
        gated: bool,
        bias: bool,
        kernel_size: int | None,
        zero_init: bool,
    ) -> None:
        """Create the layers.

        Args:
            width: Features of a token.
            hidden_width: Features of a token in between.
            gated: Gate the wide tokens (SwiGLU); a SiLU if not.
            bias: Whether there are biases; the projection of the gate has one either way, as in
                SAT.
            kernel_size: Convolve over that many tokens, an odd number, in place of the linear maps;
                the projection of the gate stays linear, as in SAT. None keeps all maps linear.
            zero_init: Start the last map at zero, so that a fresh layer passes its input on.
        """
        super().__init__()

        def make_map(in_width: int, out_width: int) -> nn.Linear | TokenConv:
            if kernel_size is None:
                return nn.Linear(in_width, out_width, bias=bias)
            return TokenConv(in_width, out_width, kernel_size=kernel_size, bias=bias)

        widen: nn.Module = SwiGLU(width, hidden_width)
        if not gated:
            widen = nn.Sequential(
                nn.Identity(), make_map(width, hidden_width), nn.Identity(), nn.SiLU()
            )
        narrow = make_map(hidden_width, width)
        if zero_init:
            for parameter in narrow.parameters():
                nn.init.zeros_(parameter)
        # The empty places are reorderings of axes in SAT; they keep the names of the weights.
        self.ff = nn.Sequential(widen, nn.Identity(), narrow)

        self.convolves = kernel_size is not None

    def forward(
        self, x: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"] | None = None
    ) -> Float[Tensor, "b l e"]:
        """Transform the tokens, each by itself unless there are convolutions.

        Args:
            x: The tokens.
            mask: True for the tokens that are no padding; only convolutions look at it.
        """
        if self.convolves:
            hidden = hide_padding(self.ff[0](hide_padding(x, mask)), mask)
            result: Tensor = self.ff[2](hidden)
        else:
            result = self.ff(x)
        return result
