"""Distance of mel spectra at several resolutions, as the Descript audio codec is trained."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_models.losses.bands import mel_bands

FLOOR = 1e-5
"""Smallest magnitude of a band inside the logarithm."""


class MultiResolutionMelLoss(nn.Module):
    """Mean absolute differences of mel magnitudes and of their logarithms (2306.06546).

    The loss is the *sum* over resolutions. Hann windows, a quarter of which lies between frames;
    centred frames with reflected edges; computed in single precision. Deviation from SAT: the
    exponent is taken as a factor of the logarithm, which cannot underflow.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        num_bands: Sequence[int],
        win_lengths: Sequence[int],
        exponent: float,
        log_weight: float,
        magnitude_weight: float,
    ) -> None:
        """Compute the filters.

        Args:
            sample_rate: Hz.
            num_bands: Mel bands, one entry per resolution.
            win_lengths: Samples under the window and per transform, as many.
            exponent: Power of the magnitudes inside the logarithm.
            log_weight: Factor of the distance of logarithms (base 10).
            magnitude_weight: Factor of the distance of magnitudes.

        Raises:
            ValueError: The sequences differ in length.
        """
        super().__init__()
        if len(num_bands) != len(win_lengths):
            raise ValueError(
                "num_bands and win_lengths need one entry per resolution each; got"
                f" {len(num_bands)} and {len(win_lengths)}"
            )
        self.exponent = exponent
        self.log_weight, self.magnitude_weight = log_weight, magnitude_weight
        self.spectrograms = nn.ModuleList(
            _MelSpectrogram(sample_rate=sample_rate, num_bands=bands, win_length=length)
            for bands, length in zip(num_bands, win_lengths, strict=True)
        )

    def forward(
        self, input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"]
    ) -> Float[Tensor, ""]:
        """The distance, differentiable in both arguments."""
        with torch.autocast(input.device.type, enabled=False):
            x, y = input.float().flatten(0, 1), target.float().flatten(0, 1)
            return torch.stack([self._distance(mel(x), mel(y)) for mel in self.spectrograms]).sum()

    def _distance(self, x: Float[Tensor, "s m n"], y: Float[Tensor, "s m n"]) -> Tensor:
        logs = x.clamp(min=FLOOR).log10() - y.clamp(min=FLOOR).log10()
        return (
            self.log_weight * self.exponent * logs.abs().mean()
            + self.magnitude_weight * (x - y).abs().mean()
        )


class _MelSpectrogram(nn.Module):
    window: Tensor
    bands: Tensor

    def __init__(self, *, sample_rate: int, num_bands: int, win_length: int) -> None:
        super().__init__()
        bands = mel_bands(sample_rate=sample_rate, fft_size=win_length, num_bands=num_bands)
        self.register_buffer("window", torch.hann_window(win_length), persistent=False)
        self.register_buffer("bands", bands, persistent=False)

    def forward(self, signals: Float[Tensor, "s t"]) -> Float[Tensor, "s m n"]:
        size = len(self.window)
        spectra = torch.stft(
            signals, size, size // 4, window=self.window.float(), return_complex=True
        )
        return self.bands.float() @ spectra.abs()
