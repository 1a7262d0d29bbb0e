"""Convolutions of discriminators: weight-normalised, in one or two dimensions, with groups.

Names in the state dict are `bias`, `weight_g` (lengths) and `weight_v` (directions), those of
`torch.nn.utils.weight_norm`; initial values are those of torch's convolutions.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class _Normed(nn.Module):
    """Lengths and directions in place of a weight."""

    weight_g: nn.Parameter
    weight_v: nn.Parameter

    def _split(self, weight: Tensor) -> None:
        del self.weight
        axes = tuple(range(1, weight.ndim))
        length = torch.linalg.vector_norm(weight.detach(), dim=axes, keepdim=True)
        self.weight_g = nn.Parameter(length)
        self.weight_v = nn.Parameter(weight.detach())

    def kernel(self) -> Tensor:
        """The weight that the convolution uses: `weight_v` scaled to the length `weight_g`."""
        # What torch.nn.utils.weight_norm calls; faster than a norm, a division and a product.
        return torch._weight_norm(self.weight_v, self.weight_g, 0)


class NormedConv1d(_Normed, nn.Conv1d):
    """`torch.nn.Conv1d` with a weight-normalised kernel; takes the same arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - torch's own signature
        super().__init__(*args, **kwargs)
        self._split(self.weight)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Convolve `x`."""
        result: Tensor = self._conv_forward(x, self.kernel(), self.bias)
        return result


class NormedConv2d(_Normed, nn.Conv2d):
    """`torch.nn.Conv2d` with a weight-normalised kernel; takes the same arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - torch's own signature
        super().__init__(*args, **kwargs)
        self._split(self.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Convolve `x`."""
        result: Tensor = self._conv_forward(x, self.kernel(), self.bias)
        return result
