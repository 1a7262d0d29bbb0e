"""Bringing waveforms into the rate, channels and length that a model takes."""

from collections.abc import Sequence

import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def mix_channels(audio: Float[Tensor, "*b c t"], *, channels: int) -> Float[Tensor, "*b c2 t"]:
    """Audio with another number of channels.

    To one channel, all are averaged; one is copied to several; of more than are wanted, the first
    ones are taken, as in SAT.

    Raises:
        ValueError: Several channels are too few.
    """
    found = audio.shape[-2]
    if channels == 1:
        return audio.mean(dim=-2, keepdim=True)
    if found == 1:
        return audio.expand(*audio.shape[:-2], channels, -1)
    if found < channels:
        raise ValueError(f"expected one channel or at least {channels}, got {found}")
    return audio[..., :channels, :]


def fit_length(audio: Float[Tensor, "*b t"], *, num_samples: int) -> Float[Tensor, "*b t2"]:
    """Audio cut, or followed by zeros, to a length."""
    cut = audio[..., :num_samples]
    return functional.pad(cut, (0, num_samples - cut.shape[-1]))


def prepare_audio(
    audio: Float[Tensor, "c t"],
    *,
    source_rate: int,
    sample_rate: int,
    num_samples: int,
    channels: int,
) -> Float[Tensor, "1 c2 t2"]:
    """A batch of one waveform.

    Args:
        audio: Samples at `source_rate`.
        source_rate: Hz of the audio.
        sample_rate: Hz that is wanted.
        num_samples: Samples that are wanted, at that rate.
        channels: Channels that are wanted.

    Raises:
        ValueError: The channels cannot be mixed.
    """
    resampled = _resample(audio, source=source_rate, target=sample_rate)
    return mix_channels(fit_length(resampled, num_samples=num_samples), channels=channels)[None]


def prepare_batch(
    clips: Sequence[Float[Tensor, "_ _"]],
    *,
    source_rates: Sequence[int],
    sample_rate: int,
    channels: int,
    multiple: int,
) -> Float[Tensor, "b c t"]:
    """A batch of several waveforms, of any rates, lengths and channels.

    Args:
        clips: Channels and samples of each.
        source_rates: Hz of each.
        sample_rate: Hz that is wanted.
        channels: Channels that are wanted.
        multiple: The length is that of the longest waveform, rounded up to a multiple of this; a
            model's `hop_length`.

    Raises:
        ValueError: There is not one rate for each waveform, or channels cannot be mixed.
    """
    if len(clips) != len(source_rates):
        raise ValueError(f"expected a rate per clip, got {len(source_rates)} for {len(clips)}")
    resampled = [
        _resample(clip, source=rate, target=sample_rate)
        for clip, rate in zip(clips, source_rates, strict=True)
    ]
    longest = max(clip.shape[-1] for clip in resampled)
    length = -(-longest // multiple) * multiple
    fitted = [fit_length(clip, num_samples=length) for clip in resampled]
    return torch.stack([mix_channels(clip, channels=channels) for clip in fitted])


def _resample(audio: Float[Tensor, "c t"], *, source: int, target: int) -> Float[Tensor, "c t2"]:
    resampled: Tensor = torchaudio.functional.resample(audio, source, target)
    return resampled
