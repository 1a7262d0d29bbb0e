"""What encoder and decoder of the Descript audio codec share (Kumar et al. 2023, 2306.06546)."""

from jaxtyping import Float
from torch import Tensor, nn

from sat_models.layers.residual import DILATIONS, REACH
from sat_models.layers.snake import LinearSnake
from sat_models.layers.tiles import in_pieces
from sat_models.layers.weight_norm import same_length_conv


class DACResidualUnit(nn.Module):
    """Snake, dilated convolution of 7 taps, snake, convolution of 1 tap, plus the input."""

    def __init__(self, channels: int, *, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            LinearSnake(channels),
            same_length_conv(channels, channels, kernel_size=7, dilation=dilation, bias=True),
            LinearSnake(channels),
            same_length_conv(channels, channels, kernel_size=1, dilation=1, bias=True),
        )

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Add the unit's output to `x`."""
        branch: Tensor = self.block(x)
        return branch.add_(x)  # the convolution's own result is not needed again


class DACStage(nn.Module):
    """The layers of one stage, three dilated residual units among them."""

    def __init__(self, *layers: nn.Module, width: int, up: int = 1, down: int = 1) -> None:
        """Put the layers one after the other.

        Args:
            layers: The layers.
            width: Channels of the residual units.
            up: Factor by which the stage lengthens.
            down: Factor by which it shortens.
        """
        super().__init__()
        self.block = nn.Sequential(*layers)
        self.width, self.up, self.down = width, up, down

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Apply the stage."""
        return in_pieces(self.block, x, width=self.width, reach=REACH, up=self.up, down=self.down)


def dac_residual_units(channels: int) -> list[DACResidualUnit]:
    """The residual units of one stage, in order of their dilations."""
    return [DACResidualUnit(channels, dilation=dilation) for dilation in DILATIONS]
