"""Convolutions whose weight has spectral norm one (Miyato et al. 2018, 1802.05957).

The state dict holds `weight_orig` (the weight before normalisation), `bias`, and the buffers
`weight_u` and `weight_v`, estimates of the weight's first singular vectors: the names that encodec
stores. torch's own hooks use them too, but get in the way of copying a module.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-12


class SpectralNorm(nn.Module, ABC):
    """A convolution with a normalised weight; the kind of convolution is up to the subclass.

    In training mode every use of the weight brings the estimates a step nearer to the truth.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, plain: nn.Conv1d | nn.ConvTranspose1d, *, axis: int) -> None:
        """Take over weights.

        Args:
            plain: A convolution; its weight and bias become this module's.
            axis: The axis of the weight that holds the channels which go out.
        """
        super().__init__()
        self.axis = axis
        self.bias = plain.bias
        self.weight_orig = plain.weight
        rows, columns = self._matrix().shape
        for name, size in (("weight_u", rows), ("weight_v", columns)):
            self.register_buffer(name, functional.normalize(torch.randn(size), dim=0, eps=EPSILON))

    def kernel(self) -> Float[Tensor, "n m k"]:
        """The weight that the convolution uses."""
        matrix = self._matrix()
        if self.training:
            self._approach(matrix.detach())
        # Copies, since the next step changes the estimates before this one's backward pass may run.
        left, right = self.weight_u.clone(), self.weight_v.clone()
        return self.weight_orig / torch.dot(left, torch.mv(matrix, right))

    @torch.no_grad()
    def _approach(self, matrix: Tensor) -> None:
        """One step of the power iteration."""
        right = functional.normalize(torch.mv(matrix.mT, self.weight_u), dim=0, eps=EPSILON)
        left = functional.normalize(torch.mv(matrix, right), dim=0, eps=EPSILON)
        self.weight_u.copy_(left)
        self.weight_v.copy_(right)

    def _matrix(self) -> Float[Tensor, "c2 f"]:
        return self.weight_orig.movedim(self.axis, 0).flatten(1)

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Convolve `x`."""


class SpectralNormConv1d(SpectralNorm):
    """Convolution over time, without padding."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int, dilation: int
    ) -> None:
        super().__init__(nn.Conv1d(in_channels, out_channels, kernel_size), axis=0)
        self.stride, self.dilation = stride, dilation

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Convolve `x`."""
        return functional.conv1d(
            x, self.kernel(), self.bias, stride=self.stride, dilation=self.dilation
        )


class SpectralNormConvTranspose1d(SpectralNorm):
    """Transposed convolution over time."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int
    ) -> None:
        super().__init__(nn.ConvTranspose1d(in_channels, out_channels, kernel_size), axis=1)
        self.stride = stride

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Upsample `x` by the stride."""
        return functional.conv_transpose1d(x, self.kernel(), self.bias, stride=self.stride)
