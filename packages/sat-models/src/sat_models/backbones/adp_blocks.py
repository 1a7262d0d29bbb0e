"""Convolutions in the U-Nets of audio-diffusion-pytorch 0.0.94 (Schneider 2023, 2301.13267).

Names of weights are that project's, as SAT has them.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Downsample(nn.Conv1d):
    """A strided convolution over `multiple` times its stride and one frame more.

    What is missing at the ends is filled with zeros, the odd one on the left.
    """

    def __init__(self, in_channels: int, out_channels: int, *, factor: int, multiple: int) -> None:
        super().__init__(in_channels, out_channels, factor * multiple + 1, stride=factor)
        missing = factor * (multiple - 1) + 1
        self.ends = (missing - missing // 2, missing // 2)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """Divide the length, a multiple of the factor, by it."""
        return super().forward(F.pad(x, self.ends))


def make_upsample(in_channels: int, out_channels: int, *, factor: int, nearest: bool) -> nn.Module:
    """A layer that multiplies the length by `factor`.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        factor: 1 leaves the length as it is.
        nearest: Repeat frames and convolve, in place of a transposed convolution.
    """
    if factor == 1:
        return nn.Conv1d(in_channels, out_channels, 3, padding=1)
    if nearest:
        return nn.Sequential(
            nn.Upsample(scale_factor=factor, mode="nearest"),
            nn.Conv1d(in_channels, out_channels, 3, padding=1),
        )
    odd = factor % 2
    return nn.ConvTranspose1d(
        in_channels,
        out_channels,
        factor * 2,
        stride=factor,
        padding=factor // 2 + odd,
        output_padding=odd,
    )


class ConvBlock(nn.Module):
    """Norm, SiLU and a convolution over three frames."""

    def __init__(self, in_channels: int, out_channels: int, *, groups: int) -> None:
        super().__init__()
        self.groupnorm = nn.GroupNorm(groups, in_channels)
        self.activation = nn.SiLU()
        self.project = nn.Conv1d(in_channels, out_channels, 3, padding=1)

    def forward(
        self, x: Float[Tensor, "b c t"], modulation: Float[Tensor, "b m 1"] | None = None
    ) -> Float[Tensor, "b c2 t"]:
        """Apply the block.

        Args:
            x: The signal.
            modulation: Scale, less 1, and shift after the norm, one after the other.
        """
        x = self.groupnorm(x)
        if modulation is not None:
            scale, shift = modulation.chunk(2, dim=1)
            x = x * (scale + 1) + shift
        y: Tensor = self.project(self.activation(x))
        return y


class Modulation(nn.Module):
    """Scale and shift of each channel from a vector."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.to_scale_shift = nn.Sequential(nn.SiLU(), nn.Linear(features, channels * 2))

    def forward(self, mapping: Float[Tensor, "b e"]) -> Float[Tensor, "b m 1"]:
        """Scales, less 1, then shifts."""
        modulation: Tensor = self.to_scale_shift(mapping)[..., None]
        return modulation


class ResnetBlock(nn.Module):
    """Two convolutions, the second modulated, and a way around (He et al. 2015, 1512.03385)."""

    def __init__(
        self, in_channels: int, out_channels: int, *, groups: int, mapping_features: int | None
    ) -> None:
        """Create the layers.

        Args:
            in_channels: Channels that come in.
            out_channels: Channels that go out.
            groups: Groups of the norms; must divide both.
            mapping_features: Width of the vector that modulates; nothing does if None.
        """
        super().__init__()
        self.block1 = ConvBlock(in_channels, out_channels, groups=groups)
        self.to_scale_shift = (
            None if mapping_features is None else Modulation(mapping_features, out_channels)
        )
        self.block2 = ConvBlock(out_channels, out_channels, groups=groups)
        same = in_channels == out_channels
        self.to_out = nn.Identity() if same else nn.Conv1d(in_channels, out_channels, 1)

    def forward(
        self, x: Float[Tensor, "b c t"], mapping: Float[Tensor, "b e"] | None
    ) -> Float[Tensor, "b c2 t"]:
        """Apply the block; a `mapping` is there exactly if the block was made for one."""
        modulation = None
        if self.to_scale_shift is not None and mapping is not None:
            modulation = self.to_scale_shift(mapping)
        y: Tensor = self.block2(self.block1(x), modulation) + self.to_out(x)
        return y


class Patcher(nn.Module):
    """A block, then frames folded into channels."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        patch_size: int,
        mapping_features: int | None,
    ) -> None:
        super().__init__()
        check_patch(out_channels, patch_size)
        self.patch_size = patch_size
        self.block = ResnetBlock(
            in_channels, out_channels // patch_size, groups=1, mapping_features=mapping_features
        )

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights."""
        return self.block.block1.project.weight.dtype

    def forward(
        self, x: Float[Tensor, "b c t"], mapping: Float[Tensor, "b e"] | None
    ) -> Float[Tensor, "b c2 t2"]:
        """Fold a length that is a multiple of the patch size."""
        y: Tensor = rearrange(self.block(x, mapping), "b c (t p) -> b (c p) t", p=self.patch_size)
        return y


class Unpatcher(nn.Module):
    """Channels unfolded into frames, then a block."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        patch_size: int,
        mapping_features: int | None,
    ) -> None:
        super().__init__()
        check_patch(in_channels, patch_size)
        self.patch_size = patch_size
        self.block = ResnetBlock(
            in_channels // patch_size, out_channels, groups=1, mapping_features=mapping_features
        )

    def forward(
        self, x: Float[Tensor, "b c t"], mapping: Float[Tensor, "b e"] | None
    ) -> Float[Tensor, "b c2 t2"]:
        """Unfold."""
        y: Tensor = self.block(rearrange(x, "b (c p) t -> b c (t p)", p=self.patch_size), mapping)
        return y


def check_patch(channels: int, patch_size: int) -> None:
    """Refuse a patch size that does not divide the channels.

    Raises:
        ValueError: It does not.
    """
    if channels % patch_size:
        raise ValueError(f"a patch size of {patch_size} does not divide {channels} channels")
