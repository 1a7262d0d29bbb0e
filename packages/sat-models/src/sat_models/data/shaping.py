"""What is done to a waveform on its way into a batch: silences and loudness."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.audio import loudness

_SILENT_ENERGY = 1e-6
_PEAK_AFTER_CLIPPING = 0.95


def peak_db(audio: Float[Tensor, "c t"]) -> float:
    """The highest sample in dB of full scale; minus infinity for digital silence."""
    peak = audio.abs().max().item()
    return 20 * math.log10(peak) if peak > 0 else -math.inf


def normalize_loudness(
    audio: Float[Tensor, "c t"], *, target: float, sample_rate: int
) -> Float[Tensor, "c t"]:
    """Bring audio to a loudness in LUFS; a peak above full scale brings all down to 0.95.

    Silence stays as it is.
    """
    if audio.square().mean() < _SILENT_ENERGY:
        return audio
    found = loudness(audio, sample_rate=sample_rate)
    if math.isinf(found):
        return audio
    louder = audio * 10 ** ((target - found) / 20)
    peak = louder.abs().max()
    return louder * (_PEAK_AFTER_CLIPPING / peak) if peak > 1 else louder


def shorten_silences(
    audio: Float[Tensor, "c t"], *, threshold: float, longest: int, kept: int
) -> Float[Tensor, "c u"]:
    """Shorten stretches where every channel is silent.

    Of a long silence its first and last halves of `kept` samples stay, so that sounds end and begin
    as they did. SAT keeps a random part, and does it in mono files only.

    Args:
        audio: A whole file.
        threshold: Amplitude below which a sample is silent.
        longest: Samples that a silence may last.
        kept: Samples that are left of a longer one, if it has more.
    """
    silent = (audio.abs() < threshold).all(dim=0)
    edges = torch.diff(silent.int(), prepend=torch.zeros(1), append=torch.zeros(1))
    starts, ends = (torch.nonzero(edges == sign).flatten().tolist() for sign in (1, -1))
    keep = torch.ones(audio.shape[1], dtype=torch.bool)
    for start, end in zip(starts, ends, strict=True):
        if end - start > max(longest, kept):
            keep[start + kept // 2 : end - (kept - kept // 2)] = False
    return audio[:, keep]


def sounding_length(audio: Float[Tensor, "c t"], *, threshold: float) -> int:
    """Samples up to and with the last one that is not silent; 0 if all are."""
    loud = torch.nonzero((audio.abs() >= threshold).any(dim=0))
    return int(loud[-1].item()) + 1 if len(loud) else 0
