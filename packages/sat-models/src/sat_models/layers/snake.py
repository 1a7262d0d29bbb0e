"""The snake activation for periodic signals.

Ziyin et al. 2020, 2006.08195; with the two parameters per channel of BigVGAN, Lee et al. 2022,
2206.04658.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

EPSILON = 1e-9
"""Keeps the division by beta finite; part of the numerics of stored checkpoints."""


class Snake(nn.Module):
    """x + sin^2(alpha x) / beta, elementwise; alpha and beta per channel, stored as logarithms.

    Only the input is kept for the backward pass; autograd on the written-out formula would keep
    four tensors of that size. Arithmetic is in float32 at least, and the result has the input's
    dtype (stable-audio-tools leaves it in float32 under autocast).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Apply the activation."""
        wide = torch.promote_types(x.dtype, torch.float32)
        frequency = self.alpha.to(wide).exp()[:, None]  # c 1
        height = (self.beta.to(wide).exp() + EPSILON).reciprocal()[:, None]  # c 1
        return _snake(x, frequency, height)


class LinearSnake(nn.Module):
    """x + sin^2(alpha x) / alpha, elementwise; alpha per channel, stored as it is.

    The one-parameter form of Ziyin et al., as in descript-audio-codec. Memory and dtypes are those
    of `Snake`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Apply the activation."""
        frequency = self.alpha[0].to(torch.promote_types(x.dtype, torch.float32))  # c 1
        height = (frequency + EPSILON).reciprocal()
        return _snake(x, frequency, height)


def _snake(x: Tensor, frequency: Tensor, height: Tensor) -> Tensor:
    """Add height * sin^2(frequency * x) to x."""
    if not torch.is_grad_enabled():  # a function of autograd takes as long to call as short pieces
        return _snake_values(x, frequency, height)
    result: Tensor = _SnakeFunction.apply(x, frequency, height)  # type: ignore[no-untyped-call]
    return result


def _snake_values(x: Tensor, frequency: Tensor, height: Tensor) -> Tensor:
    wide = x.to(frequency.dtype)  # once: arithmetic on two dtypes at a time is slow
    wave = (wide * frequency).sin_().square_()
    return torch.addcmul(wide, wave, height, out=wave).to(x.dtype)


class _SnakeFunction(torch.autograd.Function):
    """The same, and its derivatives by all three."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frequency: Tensor, height: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x, frequency, height)
        return _snake_values(x, frequency, height)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:  # noqa: ANN401
        x, frequency, height = ctx.saved_tensors
        (grad,) = grads
        # d/dx sin^2(f x) = f sin(2 f x), and sin^2(f x) = (1 - cos(2 f x)) / 2
        angle = (x * frequency).mul_(2)
        slope = angle.sin().mul_(grad)
        grad_x = torch.addcmul(grad, slope, frequency * height).to(x.dtype)
        if not (ctx.needs_input_grad[1] or ctx.needs_input_grad[2]):
            return grad_x, None, None
        grad_frequency = _per_channel(slope.mul_(x)) * height
        grad_height = (_per_channel(grad) - _per_channel(angle.cos_().mul_(grad))) / 2
        return grad_x, grad_frequency, grad_height


def _per_channel(x: Float[Tensor, "b c t"]) -> Float[Tensor, "c 1"]:
    return x.sum(dim=(0, 2), dtype=torch.promote_types(x.dtype, torch.float32))[:, None]
