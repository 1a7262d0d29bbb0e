"""The one distance that validations report, whatever loss a model was trained with."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

SIZES = (2048, 512, 128)
MAGNITUDE_FLOOR = 1e-4
"""Smallest magnitude that the spectra contain: the logarithm of silence stays finite."""


class SpectralDistance(nn.Module):
    """Multi-resolution STFT distance with fixed settings, so that runs can be compared.

    Spectral convergence plus log-magnitude distance, averaged over transforms of 2048, 512 and 128
    samples with a hop of a quarter and a Hann window of the full length, the true signal as
    reference. 0 is a perfect copy. What returning silence costs depends on the signal, which is why
    validations report that too. Sizes are in samples: values at different sample rates do not
    compare.

    Sums are taken over everything that is measured before they are divided. The mean of one
    quotient per item, as a loss has it, would be ruled by the quietest item: before a recording
    begins, any sound at all is many times the true one.
    """

    def sums(
        self, audio: Float[Tensor, "b c t"], reference: Float[Tensor, "b c t"]
    ) -> Float[Tensor, "3 4"]:
        """What `value` needs, to be added up over items: one row per resolution.

        Squared difference and squared reference of the magnitudes, absolute difference of their
        logarithms, and how many there are. Very short signals are padded with zeros.
        """
        missing = max(0, SIZES[0] - reference.shape[-1])
        got, want = (functional.pad(x, (0, missing)).flatten(0, 1) for x in (audio, reference))
        return torch.stack([_sums(_magnitudes(got, n), _magnitudes(want, n)) for n in SIZES])

    def value(self, sums: Float[Tensor, "3 4"]) -> Float[Tensor, ""]:
        """The distance that added sums amount to."""
        difference, reference, logarithms, count = sums.unbind(1)
        result: Tensor = ((difference / reference).sqrt() + logarithms / count).mean()
        return result

    def forward(
        self, audio: Float[Tensor, "b c t"], reference: Float[Tensor, "b c t"]
    ) -> Float[Tensor, ""]:
        """The distance of `audio` from `reference`."""
        return self.value(self.sums(audio, reference))


def _magnitudes(signals: Float[Tensor, "s t"], size: int) -> Float[Tensor, "s f n"]:
    # In float32 whatever the model computes in: FFTs need the range, and sums need more still.
    signals = signals.float()
    window = torch.hann_window(size, dtype=signals.dtype, device=signals.device)
    spectra = torch.stft(signals, size, size // 4, window=window, return_complex=True)
    power = spectra.real.square() + spectra.imag.square()
    return power.clamp(min=MAGNITUDE_FLOOR**2).sqrt().double()


def _sums(made: Float[Tensor, "s f n"], true: Float[Tensor, "s f n"]) -> Float[Tensor, " 4"]:
    return torch.stack(
        [
            (true - made).square().sum(),
            true.square().sum(),
            (true.log() - made.log()).abs().sum(),
            torch.tensor(float(true.numel()), dtype=torch.float64, device=true.device),
        ]
    )
