"""The one distance that validations report, whatever loss a model was trained with."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_train.losses.stft import MultiResolutionSTFTLoss

SIZES = (2048, 512, 128)


class SpectralDistance(nn.Module):
    """Multi-resolution STFT distance with fixed settings, so that runs can be compared.

    Spectral convergence plus log-magnitude distance (`STFTLoss`), averaged over transforms of
    2048, 512 and 128 samples with a hop of a quarter and a Hann window of the full length, each
    channel for itself, the true signal as reference. 0 is a perfect copy. What returning silence
    costs depends on the signal, which is why validations report that too. Sizes are in samples:
    values at different sample rates do not compare.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loss = MultiResolutionSTFTLoss(
            fft_sizes=SIZES, hop_sizes=[size // 4 for size in SIZES], win_lengths=SIZES
        )

    def forward(
        self, audio: Float[Tensor, "b c t"], reference: Float[Tensor, "b c t"]
    ) -> Float[Tensor, ""]:
        """The distance of `audio` from `reference`; both are zero-padded if they are very short."""
        missing = max(0, SIZES[0] - reference.shape[-1])
        result: Tensor = self.loss(
            functional.pad(audio, (0, missing)), functional.pad(reference, (0, missing))
        )
        return result
