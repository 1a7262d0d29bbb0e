"""What validation measures on reconstructions besides the distance that it always reports."""

from abc import ABC, abstractmethod

import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sat_config.audio.loss import AutoencoderEvals, EvalSISDR
from sat_models.extras import import_extra
from sat_models.losses.build import build_mel_measure, build_stft_measure
from sat_models.losses.ratios import si_sdr_db
from sat_models.losses.stft import STFTLoss

PESQ_RATE = 16000


class Measure(ABC):
    """A figure for a signal and its reference, both `1 c t` and float32, in single precision."""

    @abstractmethod
    def __call__(self, got: Float[Tensor, "1 c t"], want: Float[Tensor, "1 c t"]) -> float:
        """Measure a reconstruction against its original."""


class SpectrumMeasure(Measure):
    """A distance of spectra; signals shorter than its transform are followed by silence.

    As in SAT the original is the reference.

    Args:
        loss: The distance.
    """

    def __init__(self, loss: STFTLoss) -> None:
        self.loss = loss

    def __call__(self, got: Float[Tensor, "1 c t"], want: Float[Tensor, "1 c t"]) -> float:
        """The distance."""
        missing = max(0, self.loss.fft_size - want.shape[-1])
        got, want = (functional.pad(signal, (0, missing)) for signal in (got, want))
        distance: Tensor = self.loss.to(got.device)(got, want)
        return float(distance.mean())


class DistortionMeasure(Measure):
    """The scale-invariant signal-to-distortion ratio in dB; higher is better.

    Args:
        node: Its settings.
    """

    def __init__(self, node: EvalSISDR) -> None:
        self.node = node

    def __call__(self, got: Float[Tensor, "1 c t"], want: Float[Tensor, "1 c t"]) -> float:
        """The mean, or the sum, over channels."""
        ratios = si_sdr_db(got, want, zero_mean=self.node.zero_mean, epsilon=self.node.eps)
        return float(ratios.mean() if self.node.reduction == "mean" else ratios.sum())


class SpeechQuality(Measure):
    """PESQ, the perceived quality of speech from about 1 to 4.6 (ITU-T P.862.2), at 16 kHz.

    The mean over channels; a channel without speech has no score and counts as NaN.

    Args:
        sample_rate: Hz of the signals.
    """

    def __init__(self, *, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        purpose = "training.eval_loss_configs.pesq"
        self.package = import_extra("pesq", extra="pesq", purpose=purpose, distribution="sat-train")

    def __call__(self, got: Float[Tensor, "1 c t"], want: Float[Tensor, "1 c t"]) -> float:
        """The score."""
        got, want = (
            torchaudio.functional.resample(signal[0].cpu(), self.sample_rate, PESQ_RATE)
            for signal in (got, want)
        )
        scores = [self._score(*pair) for pair in zip(want, got, strict=True)]
        return float(torch.tensor(scores).mean())

    def _score(self, want: Float[Tensor, " t"], got: Float[Tensor, " t"]) -> float:
        try:
            return float(self.package.pesq(PESQ_RATE, want.numpy(), got.numpy(), "wb"))
        except self.package.NoUtterancesError:
            return float("nan")


def build_measures(node: AutoencoderEvals | None, *, sample_rate: int) -> dict[str, Measure]:
    """The measures of a configuration by their names.

    Raises:
        MissingExtraError: A package that one of them needs is not installed.
        UserError: One cannot be computed.
    """
    measures: dict[str, Measure] = {}
    if node is None:
        return measures
    if node.pesq is not None:
        measures["pesq"] = SpeechQuality(sample_rate=sample_rate)
    if node.stft is not None:
        measures["stft"] = SpectrumMeasure(build_stft_measure(node.stft, sample_rate=sample_rate))
    if node.sisdr is not None:
        measures["sisdr"] = DistortionMeasure(node.sisdr)
    if node.mel is not None:
        measures["mel"] = SpectrumMeasure(build_mel_measure(node.mel, sample_rate=sample_rate))
    return measures
