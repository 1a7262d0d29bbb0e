"""Integrated loudness by ITU-R BS.1770-4, at any sample rate.

The two filters are given in the recommendation for 48 kHz; here they come from their analogue
prototypes (frequencies, gain and qualities as De Man, "Evaluation of implementations of the EBU
R128 loudness measurement", 2018, gives them). torchaudio's measure, which SAT uses, has rounded
ones and reads 0.3 dB low.
"""

import math

import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_HIGHPASS_HZ, _HIGHPASS_Q = 38.13547087602444, 0.5003270373238773
_BLOCK_SECONDS, _STEP_SECONDS = 0.4, 0.1
_OFFSET, _LOWEST, _RELATIVE = -0.691, -70.0, -10.0
_SURROUND_WEIGHT = 1.41


def loudness(audio: Float[Tensor, "c t"], *, sample_rate: int) -> float:
    """Integrated loudness in LUFS; minus infinity if no block is above the gate of -70.

    Audio shorter than a block of 0.4 s counts as one block. Of more than three channels, those from
    the fourth on are taken for surround channels.
    """
    block, step = (round(seconds * sample_rate) for seconds in (_BLOCK_SECONDS, _STEP_SECONDS))
    filtered = _weigh(audio.double(), sample_rate=sample_rate)
    block = min(block, filtered.shape[1])
    energy = filtered.square().unfold(1, block, step).mean(dim=2)  # c blocks
    gains = energy.new_tensor([1.0, 1.0, 1.0] + [_SURROUND_WEIGHT] * max(0, audio.shape[0] - 3))
    power = (gains[: audio.shape[0], None] * energy).sum(dim=0)
    loud = power[_level(power) > _LOWEST]
    if not len(loud):
        return -math.inf
    gated = loud[_level(loud) > _level(loud.mean()) + _RELATIVE]
    return float(_level(gated.mean()))


def _level(power: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return _OFFSET + 10 * torch.log10(power.clamp(min=1e-30))


def _weigh(audio: Float[Tensor, "c t"], *, sample_rate: int) -> Float[Tensor, "c t"]:
    """The K-weighting: a shelf for the head, and a high pass."""
    k = math.tan(math.pi * _SHELF_HZ / sample_rate)
    high = 10 ** (_SHELF_DB / 20)
    band = high**0.4996667741545416
    shelved = _filter(
        audio,
        numerator=_terms(high, band / _SHELF_Q, k),
        denominator=_terms(1.0, 1 / _SHELF_Q, k),
    )
    k = math.tan(math.pi * _HIGHPASS_HZ / sample_rate)
    lowest = _terms(1.0, 1 / _HIGHPASS_Q, k)
    # The recommendation's numerator is 1, -2, 1 before the denominator is brought to 1.
    return _filter(shelved, numerator=(lowest[0], -2 * lowest[0], lowest[0]), denominator=lowest)


def _terms(first: float, second: float, k: float) -> tuple[float, float, float]:
    return first + second * k + k * k, 2 * (k * k - first), first - second * k + k * k


def _filter(
    audio: Float[Tensor, "c t"],
    *,
    numerator: tuple[float, float, float],
    denominator: tuple[float, float, float],
) -> Float[Tensor, "c t"]:
    b = audio.new_tensor(numerator) / denominator[0]
    a = audio.new_tensor(denominator) / denominator[0]
    filtered: Tensor = torchaudio.functional.lfilter(audio, a, b, clamp=False)
    return filtered
