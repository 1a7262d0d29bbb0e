"""Convolutions whose weight is a direction and a length (Salimans and Kingma 2016, 1602.07868).

The state dict holds `weight_v` (direction, any length), `weight_g` (length, one per slice of the
first axis) and `bias`: the names that stable-audio-tools, encodec and descript-audio-codec store.
A file in which the two were multiplied out to a plain `weight` loads as well.
"""

import math
from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_models.layers.conv import TimeConvolution, conv1d, conv_transpose1d


class WeightNorm(nn.Module, TimeConvolution):
    """A convolution with a normalised weight; the kind of convolution is up to the subclass.

    Initial values are those of torch's own convolutions, drawn in the same order.
    """

    bias: nn.Parameter | None

    def __init__(self, shape: tuple[int, int, int], *, bias_channels: int | None) -> None:
        """Create the parameters.

        Args:
            shape: Shape of the weight.
            bias_channels: Entries of the bias; without it there is none.
        """
        super().__init__()
        direction = torch.empty(shape)
        nn.init.kaiming_uniform_(direction, a=math.sqrt(5))
        bias = None
        if bias_channels is not None:
            bound = 1 / math.sqrt(shape[1] * shape[2])
            bias = nn.Parameter(torch.empty(bias_channels).uniform_(-bound, bound))
        self.register_parameter("bias", bias)
        self.weight_g = nn.Parameter(_length(direction))
        self.weight_v = nn.Parameter(direction)

    def kernel(self) -> Float[Tensor, "n m k"]:
        """The weight that the convolution uses: `weight_v` scaled to the length `weight_g`."""
        # What torch.nn.utils.weight_norm calls; twice as fast as a norm, a division and a product.
        return torch._weight_norm(self.weight_v, self.weight_g, 0)

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Convolve `x`; `c2` and `t2` follow from the subclass's numbers."""

    def folded(self) -> "FoldedConv1d | FoldedConvTranspose1d":
        """The same convolution with a plain weight; the bias is shared."""
        plain = self._unfilled()
        plain.weight = nn.Parameter(self.kernel().detach(), self.weight_v.requires_grad)
        plain.bias = self.bias
        return plain.train(self.training)

    @abstractmethod
    def _unfilled(self) -> "FoldedConv1d | FoldedConvTranspose1d":
        """A plain convolution with the subclass's numbers, whose weights take no memory."""

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        *args: Any,  # noqa: ANN401 - torch's own signature, handed on
    ) -> None:
        # load_state_dict hands every module the same shallow copy, so renaming here is private.
        plain = state_dict.get(f"{prefix}weight")
        if plain is not None and f"{prefix}weight_v" not in state_dict:
            del state_dict[f"{prefix}weight"]
            state_dict[f"{prefix}weight_g"] = _length(plain)
            state_dict[f"{prefix}weight_v"] = plain
        super()._load_from_state_dict(state_dict, prefix, *args)


class WeightNormConv1d(WeightNorm):
    """Convolution over time, with zeros beyond the ends."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int,
        padding: int,
        dilation: int,
        bias: bool,
    ) -> None:
        super().__init__(
            (out_channels, in_channels, kernel_size), bias_channels=out_channels if bias else None
        )
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Convolve `x`."""
        return conv1d(
            x,
            self.current_kernel(),
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )

    def _unfilled(self) -> "FoldedConv1d":
        out_channels, in_channels, kernel_size = self.weight_v.shape
        return FoldedConv1d(
            in_channels,
            out_channels,
            kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            device="meta",
        )


class WeightNormConvTranspose1d(WeightNorm):
    """Transposed convolution over time. Its lengths belong to the *input* channels, as in torch."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int, padding: int
    ) -> None:
        super().__init__((in_channels, out_channels, kernel_size), bias_channels=out_channels)
        self.stride, self.padding = stride, padding

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Upsample `x` by the stride."""
        return conv_transpose1d(
            x, self.current_kernel(), self.bias, stride=self.stride, padding=self.padding
        )

    def _unfilled(self) -> "FoldedConvTranspose1d":
        in_channels, out_channels, kernel_size = self.weight_v.shape
        return FoldedConvTranspose1d(
            in_channels,
            out_channels,
            kernel_size,
            stride=self.stride,
            padding=self.padding,
            device="meta",
        )


class FoldedConv1d(nn.Conv1d, TimeConvolution):
    """A convolution over time whose weight was multiplied out."""

    def kernel(self) -> Float[Tensor, "n m k"]:
        """The weight."""
        return self.weight

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Convolve `x`."""
        return conv1d(
            x,
            self.current_kernel(),
            self.bias,
            stride=self.stride[0],
            padding=int(self.padding[0]),
            dilation=self.dilation[0],
        )


class FoldedConvTranspose1d(nn.ConvTranspose1d, TimeConvolution):
    """A transposed convolution over time whose weight was multiplied out."""

    def kernel(self) -> Float[Tensor, "n m k"]:
        """The weight."""
        return self.weight

    # torch's takes a length as well, which nobody asks for here
    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:  # type: ignore[override]
        """Upsample `x` by the stride."""
        return conv_transpose1d(
            x,
            self.current_kernel(),
            self.bias,
            stride=self.stride[0],
            padding=int(self.padding[0]),
        )


def fold_weight_norm(module: nn.Module) -> nn.Module:
    """Multiply direction and length of every weight-normalised convolution out to a plain weight.

    The output stays the same and takes less work; the state dict then has `weight` in place of
    `weight_g` and `weight_v`, and loads into a module that is not folded, too. Meant for inference:
    training would go another way from here.

    Args:
        module: Any module; convolutions inside it are replaced in place.

    Returns:
        The module, or what replaces it if it is such a convolution itself.
    """
    if isinstance(module, WeightNorm):
        return module.folded()
    for name, child in module.named_children():
        setattr(module, name, fold_weight_norm(child))
    return module


def same_length_conv(
    in_channels: int, out_channels: int, *, kernel_size: int, dilation: int, bias: bool
) -> WeightNormConv1d:
    """A convolution that keeps the length of its input; the kernel size must be odd."""
    return WeightNormConv1d(
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        stride=1,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        bias=bias,
    )


def _length(weight: Float[Tensor, "n m k"]) -> Float[Tensor, "n 1 1"]:
    length: Tensor = torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True)
    return length
