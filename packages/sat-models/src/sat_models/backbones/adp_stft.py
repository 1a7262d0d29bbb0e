"""Working on a short-time Fourier transform of the signal, its bins as channels."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class STFT(nn.Module):
    """A short-time Fourier transform and back, of every channel.

    Deviations from SAT, whose way back does not run with current torch: frames are padded with
    zeros to a multiple that the network can take, and the signal that comes back has the length of
    the one that went in rather than the closest power of two. Transforms are in float32.
    """

    window: Tensor

    def __init__(
        self,
        *,
        num_fft: int,
        hop_length: int,
        window_length: int | None,
        length: int | None,
        use_complex: bool,
    ) -> None:
        """Compute the window.

        Args:
            num_fft: Length of the Fourier transform.
            hop_length: Samples from frame to frame.
            window_length: Length of the window; that of the transform if None.
            length: Samples that come back; as many as went in if None.
            use_complex: Real and imaginary part, in place of magnitude and phase.
        """
        super().__init__()
        self.num_fft, self.hop_length, self.length = num_fft, hop_length, length
        self.use_complex = use_complex
        self.register_buffer("window", torch.hann_window(window_length or num_fft))

    @property
    def channels_per_channel(self) -> int:
        """Channels that a channel of the signal becomes: two per bin."""
        return 2 * (self.num_fft // 2 + 1)

    def encode(self, x: Float[Tensor, "b c t"], *, multiple: int) -> Float[Tensor, "b c2 l"]:
        """The transform, all first parts before all second ones.

        Args:
            x: The signal.
            multiple: The number of frames is made a multiple of this.
        """
        spectrum = torch.stft(
            rearrange(x, "b c t -> (b c) t").float(),
            self.num_fft,
            hop_length=self.hop_length,
            win_length=len(self.window),
            window=self.window.float(),
            normalized=True,
            return_complex=True,
        )
        parts = (
            (spectrum.real, spectrum.imag)
            if self.use_complex
            else (spectrum.abs(), spectrum.angle())
        )
        frames = [rearrange(part, "(b c) f l -> b (c f) l", b=len(x)) for part in parts]
        return F.pad(torch.cat(frames, dim=1), (0, -frames[0].shape[-1] % multiple)).to(x.dtype)

    def decode(self, frames: Float[Tensor, "b c l"], *, samples: int) -> Float[Tensor, "b c2 t"]:
        """The signal.

        Args:
            frames: As `encode` gives them.
            samples: Length of the signal that was encoded.
        """
        bins = self.num_fft // 2 + 1
        first, second = (
            rearrange(part, "b (c f) l -> (b c) f l", f=bins)
            for part in frames.float().chunk(2, dim=1)
        )
        spectrum = torch.complex(first, second) if self.use_complex else torch.polar(first, second)
        wave = torch.istft(
            spectrum[..., : samples // self.hop_length + 1],
            self.num_fft,
            hop_length=self.hop_length,
            win_length=len(self.window),
            window=self.window.float(),
            normalized=True,
            length=self.length or samples,
        )
        return rearrange(wave, "(b c) t -> b c t", b=len(frames)).to(frames.dtype)
