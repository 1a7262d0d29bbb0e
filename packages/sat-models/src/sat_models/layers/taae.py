"""What encoder and decoder of a transformer autoencoder share (Parker et al. 2024, 2411.19842)."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from sat_models.layers.attention import SelfAttention
from sat_models.layers.conformer import ConformerModule
from sat_models.layers.feed_forward import FeedForward
from sat_models.layers.norm import LayerNorm
from sat_models.layers.recompute import Recomputed
from sat_models.layers.residual import residual_units
from sat_models.layers.rotary import RotaryEmbedding
from sat_models.layers.snake import Snake
from sat_models.layers.transformer import TransformerBlock
from sat_models.layers.window import Window

HEAD_WIDTH = 128
HIDDEN_FACTOR = 4
NORM_EPSILON = 1e-2


@dataclass(frozen=True)
class TAAEStyle:
    """What all stages of a transformer autoencoder have in common.

    Attributes:
        snake: Snake activations before the convolutions between stages, and in place of ELU in the
            dilated units.
        dilated_units: Put three dilated residual units next to each of these convolutions.
        conformer: Give each transformer layer a convolution module.
        layer_scale: Scale what the branches of a layer add by learned factors that start small.
        window: How far tokens see.
        recompute: Recompute activations in the backward pass.
    """

    snake: bool
    dilated_units: bool
    conformer: bool
    layer_scale: bool
    window: Window
    recompute: bool

    def activation(self, channels: int) -> nn.Module:
        """The activation before a convolution between stages."""
        return Snake(channels) if self.snake else nn.Identity()

    def units(self, channels: int) -> Sequence[nn.Module]:
        """The dilated residual units of a stage, if there are any."""
        return residual_units(channels, snake=self.snake) if self.dilated_units else ()

    def transformer(self, width: int, *, depth: int) -> Recomputed:
        """Transformer layers over the time of a feature map.

        Raises:
            ValueError: The width is above that of a head and no multiple of it.
        """
        layers = (_layer(width, style=self) for _ in range(depth))
        return Recomputed((_Transpose(), *layers, _Transpose()), recompute=self.recompute)

    def stage(self, *layers: nn.Module) -> "TAAEStage":
        """A stage of these layers."""
        return TAAEStage(Recomputed(layers, recompute=self.recompute))


class TAAEStage(nn.Module):
    """One stage, whose layers have the names `layers.0`, `layers.1` ..."""

    def __init__(self, layers: Recomputed) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """Apply the stage."""
        result: Tensor = self.layers(x)
        return result


def has_conv(before: int, after: int, *, stride: int) -> bool:
    """Whether a stage has a convolution; those of stride 1 have none.

    Raises:
        ValueError: It has none, but its width changes.
    """
    if stride == 1 and before != after:
        raise ValueError(
            f"a stage of stride 1 has no convolution and cannot go from {before} to {after}"
            " channels"
        )
    return stride > 1


class _Transpose(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mT


def _layer(width: int, *, style: TAAEStyle) -> TransformerBlock:
    num_heads, rest = divmod(width, HEAD_WIDTH)
    if num_heads and rest:
        raise ValueError(f"a width of {width} does not divide into heads of {HEAD_WIDTH}")
    zero_init = not style.layer_scale
    return TransformerBlock(
        width,
        make_norm=_norm,
        attention=SelfAttention(
            width,
            num_heads=max(num_heads, 1),
            qk_norm="ln",
            differential=False,
            feature_scale=False,
            zero_init=zero_init,
            window=style.window,
        ),
        cross_attention=None,
        conformer=ConformerModule(width, make_norm=_norm) if style.conformer else None,
        feed_forward=FeedForward(
            width,
            hidden_width=HIDDEN_FACTOR * width,
            gated=True,
            bias=True,
            kernel_size=None,
            zero_init=zero_init,
        ),
        rotary=RotaryEmbedding(min(width, HEAD_WIDTH) // 2),
        layer_scale=style.layer_scale,
        modulated=False,
    )


def _norm(width: int) -> LayerNorm:
    return LayerNorm(width, epsilon=NORM_EPSILON, bias=False, fixed_gain=False, in_float32=False)
