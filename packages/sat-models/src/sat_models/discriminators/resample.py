"""Resampling as the Descript audio codec's discriminator does it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

ZEROS = 24
"""Zero crossings of the sinc on each side."""
ROLLOFF = 0.945


class SincResample(nn.Module):
    """Resampling by sincs under squared cosines; beyond its ends the signal is held.

    The numbers are those of the package julius (Smith's algorithm). `torchaudio` differs in the
    ends and in the gain, which is exactly one here.

    Args:
        old_rate: Hz that come in.
        new_rate: Hz that go out. Their ratio should be a fraction of small numbers.
    """

    kernels: Tensor

    def __init__(self, *, old_rate: int, new_rate: int) -> None:
        super().__init__()
        divisor = math.gcd(old_rate, new_rate)
        self.old, self.new = old_rate // divisor, new_rate // divisor
        rate = min(self.old, self.new) * ROLLOFF
        self.reach = math.ceil(ZEROS * self.old / rate)
        places = torch.arange(-self.reach, self.reach + self.old) / self.old
        phases = torch.arange(self.new)[:, None] / self.new
        time = ((places - phases) * rate).clamp(-ZEROS, ZEROS)
        kernels = torch.sinc(time) * torch.cos(math.pi / 2 * time / ZEROS).square()
        kernels = kernels / kernels.sum(1, keepdim=True)
        self.register_buffer("kernels", kernels[:, None], persistent=False)

    def forward(self, audio: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t2"]:
        """Resample to `t * new / old` samples, rounded down."""
        if self.old == self.new:
            return audio
        signals = audio.flatten(0, 1)[:, None]
        held = functional.pad(signals, (self.reach, self.reach + self.old), mode="replicate")
        phases = functional.conv1d(held, self.kernels.to(audio.dtype), stride=self.old)
        length = audio.shape[-1] * self.new // self.old
        return phases.mT.flatten(1)[:, :length].reshape(*audio.shape[:2], length)
