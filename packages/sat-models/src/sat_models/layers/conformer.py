"""The convolution module of a Conformer layer (Gulati et al. 2020, 2005.08100)."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from sat_models.layers.feed_forward import SwiGLU, hide_padding
from sat_models.layers.norm import MakeNorm

KERNEL_SIZE = 17


class ConformerModule(nn.Module):
    """Pointwise map, gate, depthwise convolution, normalisation, SiLU, pointwise map.

    Deviations from the paper, all SAT's: the gate has a projection of its own and is a SiLU, the
    norm in the middle is one of tokens and not of batches, and no map but the gate's has a bias.
    """

    def __init__(self, width: int, *, make_norm: MakeNorm) -> None:
        """Create the layers.

        Args:
            width: Features of a token.
            make_norm: Makes both norms.
        """
        super().__init__()
        self.in_norm = make_norm(width)
        self.pointwise_conv = _pointwise(width)
        self.glu = SwiGLU(width, width)
        self.depthwise_conv = nn.Conv1d(
            width, width, KERNEL_SIZE, padding=KERNEL_SIZE // 2, groups=width, bias=False
        )
        self.mid_norm = make_norm(width)
        self.pointwise_conv_2 = _pointwise(width)

    def forward(
        self, x: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"] | None = None
    ) -> Float[Tensor, "b l e"]:
        """Let each token take in its neighbours.

        Args:
            x: The tokens.
            mask: True for the tokens that are no padding.
        """
        x = self.pointwise_conv(self.in_norm(x).mT).mT
        x = self.depthwise_conv(hide_padding(self.glu(x), mask).mT).mT
        x = functional.silu(self.mid_norm(x))
        result: Tensor = self.pointwise_conv_2(x.mT).mT
        return result


def _pointwise(width: int) -> nn.Conv1d:
    return nn.Conv1d(width, width, 1, bias=False)
