"""Distances between magnitude spectra: one STFT, several STFTs, and sum and difference of stereo.

All three take `(input, target)` of shape `b c t`; every channel of every item counts as a signal
of its own, and the result is the mean over signals. They agree with the auraloss package at its
default settings (checked against recorded values), whose further terms and weightings are left out.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

MAGNITUDE_FLOOR = 1e-4
"""Smallest magnitude that the spectra contain: the logarithm of silence stays finite."""


class STFTLoss(nn.Module):
    """Spectral convergence plus log-magnitude distance of one STFT (Arik et al. 2018, 1808.06719).

    Convergence is the Frobenius norm of the difference over that of the target, so swapping the
    arguments changes the value; the second term is the mean absolute difference of the natural
    logarithms. Hann window, centred frames, reflected edges.

    Args:
        fft_size: Samples per transform.
        hop_size: Samples between frames.
        win_length: Samples under the window; at most `fft_size`.
    """

    window: Tensor

    def __init__(self, *, fft_size: int, hop_size: int, win_length: int) -> None:
        super().__init__()
        self.fft_size = fft_size
        self.hop_size = hop_size
        self.win_length = win_length
        self.register_buffer("window", torch.hann_window(win_length), persistent=False)

    def magnitudes(self, signals: Float[Tensor, "s t"]) -> Float[Tensor, "s f n"]:
        """Magnitude spectra, at least `MAGNITUDE_FLOOR`; `f` bins, `n` frames, `s` signals."""
        # Half precision has neither the range nor, on CPU, the kernels for an FFT.
        spectra = torch.stft(
            signals.float(),
            self.fft_size,
            self.hop_size,
            self.win_length,
            self.window.float(),
            return_complex=True,
        )
        power: Tensor = spectra.real.square() + spectra.imag.square()
        return power.clamp(min=MAGNITUDE_FLOOR**2).sqrt()

    def forward(
        self, input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"]
    ) -> Float[Tensor, ""]:
        """The distance; differentiable in both arguments."""
        got = self.magnitudes(input.flatten(0, 1))
        want = self.magnitudes(target.flatten(0, 1))
        difference = torch.linalg.matrix_norm(want - got)
        convergence = (difference / torch.linalg.matrix_norm(want)).mean()
        return convergence + (want.log() - got.log()).abs().mean()


class MultiResolutionSTFTLoss(nn.Module):
    """Mean of `STFTLoss` over several resolutions (Yamamoto et al. 2020, 1910.11480).

    Args:
        fft_sizes: Samples per transform, one entry per resolution.
        hop_sizes: Samples between frames, as many.
        win_lengths: Samples under the window, as many.

    Raises:
        ValueError: The three differ in length.
    """

    def __init__(
        self, *, fft_sizes: Sequence[int], hop_sizes: Sequence[int], win_lengths: Sequence[int]
    ) -> None:
        super().__init__()
        if not len(fft_sizes) == len(hop_sizes) == len(win_lengths) > 0:
            raise ValueError(
                "fft_sizes, hop_sizes and win_lengths need one entry per resolution each; got"
                f" {len(fft_sizes)}, {len(hop_sizes)} and {len(win_lengths)}"
            )
        self.resolutions = nn.ModuleList(
            STFTLoss(fft_size=fft, hop_size=hop, win_length=win)
            for fft, hop, win in zip(fft_sizes, hop_sizes, win_lengths, strict=True)
        )
        self.shortest_signal = max(fft_sizes) // 2 + 1

    def forward(
        self, input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"]
    ) -> Float[Tensor, ""]:
        """The distance; both need at least `shortest_signal` samples."""
        return torch.stack([loss(input, target) for loss in self.resolutions]).mean()


class SumAndDifferenceSTFTLoss(nn.Module):
    """Multi-resolution STFT loss of a stereo signal's sum and difference (Steinmetz et al. 2020).

    Hears what a listener hears of the stereo image, where a loss per channel does not.

    Args:
        loss: Applied to the sums and to the differences.
        sum_weight: Factor of the first.
        difference_weight: Factor of the second; the result is half of the weighted sum.
    """

    def __init__(
        self,
        loss: MultiResolutionSTFTLoss,
        *,
        sum_weight: float,
        difference_weight: float,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.sum_weight = sum_weight
        self.difference_weight = difference_weight

    def forward(
        self, input: Float[Tensor, "b 2 t"], target: Float[Tensor, "b 2 t"]
    ) -> Float[Tensor, ""]:
        """The distance of two stereo signals."""
        sums = self.loss(input.sum(1, keepdim=True), target.sum(1, keepdim=True))
        differences = self.loss(input[:, :1] - input[:, 1:], target[:, :1] - target[:, 1:])
        weighted: Tensor = self.sum_weight * sums + self.difference_weight * differences
        return weighted / 2
