"""Convolutions over time that keep the order in which a signal lies in memory.

Where the channels of each moment lie side by side (`channels_last`), a processor convolves faster,
most of all in bfloat16; torch has that order for two axes only, so the second has length one here.

Where there are far more weights than samples, as next to the latents, a processor spends its time
on reordering the weights before it convolves. There, convolutions that change the length are
written as the one matrix product that they are.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS_PER_FRAME = 1 << 14
"""From how many weights per frame of the shorter side on a matrix product is faster."""


class TimeConvolution(ABC):
    """What a convolution over time has for those who call it often: a kernel that can be held.

    Attributes:
        held: The kernel, while it is held.
    """

    held: Tensor | None = None

    @abstractmethod
    def kernel(self) -> Float[Tensor, "n m k"]:
        """The weight that the convolution uses."""

    def current_kernel(self) -> Float[Tensor, "n m k"]:
        """The held kernel, or a new one."""
        return self.kernel() if self.held is None else self.held


@contextmanager
def held_kernels(layers: nn.Module) -> Iterator[None]:
    """Compute the kernels of all convolutions once, in the order that `channels_last` signals need.

    Args:
        layers: What the convolutions are in; their weights must not change meanwhile.
    """
    found = [module for module in layers.modules() if isinstance(module, TimeConvolution)]
    for convolution in found:
        convolution.held = channels_last(convolution.kernel())
    try:
        yield
    finally:
        for convolution in found:
            convolution.held = None


def channels_last(x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
    """The same values, with the channels of each moment side by side in memory."""
    if x.stride(1) == 1 and x.stride(2) == x.shape[1]:
        return x
    batch, channels, length = x.shape
    return x.new_empty(batch, length, channels).mT.copy_(x)


def conv1d(
    x: Float[Tensor, "b c t"],
    weight: Float[Tensor, "c2 c k"],
    bias: Float[Tensor, " c2"] | None,
    *,
    stride: int,
    padding: int,
    dilation: int,
) -> Float[Tensor, "b c2 t2"]:
    """`torch.nn.functional.conv1d`; the result lies in memory as `x` does."""
    if stride > 1 and dilation == 1 and _is_heavy(weight, x, frames=x.shape[-1] // stride):
        return _as_laid_out(x, _gathering(x, weight, bias, stride=stride, padding=padding))
    if x.stride(1) != 1:
        return functional.conv1d(x, weight, bias, stride=stride, padding=padding, dilation=dilation)
    return functional.conv2d(
        x.unsqueeze(2),
        weight.unsqueeze(2),
        bias,
        stride=(1, stride),
        padding=(0, padding),
        dilation=(1, dilation),
    ).squeeze(2)


def conv_transpose1d(
    x: Float[Tensor, "b c t"],
    weight: Float[Tensor, "c c2 k"],
    bias: Float[Tensor, " c2"] | None,
    *,
    stride: int,
    padding: int,
) -> Float[Tensor, "b c2 t2"]:
    """`torch.nn.functional.conv_transpose1d`; as `conv1d`."""
    if weight.shape[-1] == 2 * stride and _is_heavy(weight, x, frames=x.shape[-1]):
        return _as_laid_out(x, _overlapping(x, weight, bias, padding=padding))
    if x.stride(1) != 1:
        return functional.conv_transpose1d(x, weight, bias, stride=stride, padding=padding)
    return functional.conv_transpose2d(
        x.unsqueeze(2), weight.unsqueeze(2), bias, stride=(1, stride), padding=(0, padding)
    ).squeeze(2)


def _is_heavy(weight: Tensor, x: Tensor, *, frames: int) -> bool:
    return x.device.type == "cpu" and weight.numel() >= WEIGHTS_PER_FRAME * frames


def _as_laid_out(x: Tensor, result: Tensor) -> Tensor:
    return result if x.stride(1) == 1 else result.contiguous()


def _gathering(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int
) -> Tensor:
    """A convolution, where a row of a matrix holds all that a result sees."""
    seen = functional.pad(x, (padding, padding)).unfold(-1, weight.shape[-1], stride)
    rows = seen.transpose(1, 2)  # b t2 c k
    if weight.stride(1) == 1:
        rows, weight = rows.mT, weight.mT
    return functional.linear(rows.flatten(2), weight.flatten(1), bias).mT


def _overlapping(x: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int) -> Tensor:
    """A transposed convolution, where each frame becomes two strides of samples."""
    _, channels, taps = weight.shape
    stride = taps // 2
    if weight.stride(1) == 1:
        product = (x.mT @ weight.mT.flatten(1)).view(*x.shape[::2], taps, channels)
    else:
        product = (x.mT @ weight.flatten(1)).view(*x.shape[::2], channels, taps).mT  # b t k c2
    early = functional.pad(product[..., :stride, :], (0, 0, 0, 0, 0, 1))
    late = functional.pad(product[..., stride:, :], (0, 0, 0, 0, 1, 0))
    samples = (early + late).flatten(1, 2)  # b t2 c2
    cut = samples[:, padding : samples.shape[1] - padding]
    return (cut if bias is None else cut + bias).mT
