"""Convolutions over time that keep the order in which a signal lies in memory.

Where the channels of each moment lie side by side (`channels_last`), a processor convolves faster,
most of all in bfloat16; torch has that order for two axes only, so the second has length one here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


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
    """`torch.nn.functional.conv_transpose1d`; the result lies in memory as `x` does."""
    if x.stride(1) != 1:
        return functional.conv_transpose1d(x, weight, bias, stride=stride, padding=padding)
    return functional.conv_transpose2d(
        x.unsqueeze(2), weight.unsqueeze(2), bias, stride=(1, stride), padding=(0, padding)
    ).squeeze(2)
