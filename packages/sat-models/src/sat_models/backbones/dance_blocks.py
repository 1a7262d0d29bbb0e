"""Blocks of Dance Diffusion's U-Net; names of weights are SAT's."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from sat_models.layers.snake import LinearSnake

HEAD_WIDTH = 32
CUBIC = (-0.01171875, -0.03515625, 0.11328125, 0.43359375)
"""One half of a symmetric low-pass filter that halves a length (cubic interpolation)."""


class ConvBlock(nn.Module):
    """Two convolutions, each with norm and activation behind it, and a way around them."""

    def __init__(
        self,
        in_channels: int,
        middle_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        bias: bool,
        snake: bool,
        last: bool,
    ) -> None:
        """Create the layers.

        Args:
            in_channels: Channels that come in.
            middle_channels: Channels between the convolutions.
            out_channels: Channels that go out.
            kernel_size: Frames that a convolution sees, odd.
            bias: Whether convolutions have one.
            snake: Snake activations in place of GELU. SAT 0.0.19 fails on the option; they are
                those of its first versions.
            last: Without norm and activation behind the second convolution.
        """
        super().__init__()

        def conv(channels_in: int, channels_out: int) -> nn.Conv1d:
            half = kernel_size // 2
            return nn.Conv1d(channels_in, channels_out, kernel_size, padding=half, bias=bias)

        def activation(channels: int) -> nn.Module:
            return LinearSnake(channels) if snake else nn.GELU()

        layers = [
            conv(in_channels, middle_channels),
            nn.GroupNorm(1, middle_channels),
            activation(middle_channels),
            conv(middle_channels, out_channels),
        ]
        if not last:
            layers += [nn.GroupNorm(1, out_channels), activation(out_channels)]
        self.main = nn.Sequential(*layers)
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else nn.Conv1d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t"]:
        """Apply the block."""
        y: Tensor = self.main(x) + self.skip(x)
        return y


class SelfAttention(nn.Module):
    """Attention of frames to each other, without positions, added to the input.

    Heads are at least 32 channels wide. Deviation from SAT: there, on a GPU, heads and frames are
    mixed up afterwards; this is what it does on a CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_heads = channels // HEAD_WIDTH
        if not self.num_heads or channels % self.num_heads:
            raise ValueError(f"{channels} channels make no heads of {HEAD_WIDTH} or more")
        self.norm = nn.GroupNorm(1, channels)
        self.qkv_proj = nn.Conv1d(channels, channels * 3, 1)
        self.out_proj = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Attend."""
        qkv = rearrange(
            self.qkv_proj(self.norm(x)), "b (n h e) t -> n b h t e", n=3, h=self.num_heads
        )
        mixed = F.scaled_dot_product_attention(*qkv)
        y: Tensor = x + self.out_proj(rearrange(mixed, "b h t e -> b (h e) t"))
        return y


class CubicDownsample(nn.Module):
    """Half the length, by a fixed filter."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.tensor(CUBIC + CUBIC[::-1]))

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t2"]:
        """Filter each channel, mirrored at the ends, and keep every other frame."""
        channels = x.shape[1]
        weight = self.kernel.to(x.dtype).expand(channels, 1, -1)
        return F.conv1d(F.pad(x, (3, 3), "reflect"), weight, stride=2, groups=channels)


class CubicUpsample(nn.Module):
    """Twice the length, by a fixed filter."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", 2 * torch.tensor(CUBIC + CUBIC[::-1]))

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t2"]:
        """Put zeros between frames and filter each channel, mirrored at the ends."""
        channels = x.shape[1]
        weight = self.kernel.to(x.dtype).expand(channels, 1, -1)
        return F.conv_transpose1d(
            F.pad(x, (2, 2), "reflect"), weight, stride=2, padding=7, groups=channels
        )


class Beside(nn.Module):
    """Layers, and their input as further channels behind their output."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.main = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t"]:
        """Apply the layers."""
        return torch.cat((self.main(x), x), dim=1)


def make_downsample(channels: int, *, stride: int, learned: bool) -> nn.Module:
    """A layer that divides the length; fixed ones halve it."""
    if not learned and stride == 2:
        return CubicDownsample()
    return nn.Conv1d(channels, channels, stride * 2 + 1, stride=stride, padding=stride)


def make_upsample(channels: int, *, stride: int, learned: bool) -> nn.Module:
    """A layer that multiplies the length; fixed ones double it."""
    if not learned and stride == 2:
        return CubicUpsample()
    if stride == 1:
        return nn.Conv1d(channels, channels, 3, padding=1)
    odd = stride % 2
    return nn.ConvTranspose1d(
        channels,
        channels,
        stride * 2,
        stride=stride,
        padding=stride // 2 + odd,
        output_padding=odd,
    )
