"""Reading parts of audio files, at any rate and channel count."""

import logging
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from sat_models.audio.ffmpeg import open_ffmpeg
from sat_models.audio.sndfile import UnknownFormatError, open_sndfile
from sat_models.audio.source import AudioDecoder, AudioInfo, AudioLike, readable
from sat_models.errors import AudioError

logger = logging.getLogger(__name__)

# The zero crossings of torchaudio's sinc kernel and the share of the Nyquist frequency it keeps,
# both passed explicitly because the margins below follow from them.
_CROSSINGS = 6
_ROLLOFF = 0.99


def probe(source: AudioLike) -> AudioInfo:
    """Length, rate and channels of a file.

    Only the end is decoded, to see that it is there. A file that was cut short is noticed wherever
    the format says how long it was meant to be, or how it ends: FLAC, WAV, AIFF and Ogg. The header
    of an MP3 file may be an estimate, so its length is measured.

    Raises:
        AudioError: The file cannot be opened, is not audio, holds no samples, or has lost its end.
    """
    with open_audio(source) as decoder:
        frames = decoder.measure()
    if frames == 0:
        raise AudioError(f"{source}: holds no audio: its length is zero")
    return AudioInfo(frames, decoder.info.sample_rate, decoder.info.channels)


def read_audio(
    source: AudioLike, *, start: int, num_samples: int, sample_rate: int, channels: int
) -> Float[Tensor, "c t"]:
    """Read a part of a file, at any rate and channel count.

    Equals the same part of the whole file read and resampled, within float32 rounding, values
    beyond [-1, 1] clipped as in SAT (lossy decoders and resampling overshoot). One channel is
    copied to several, several are averaged to one; SAT takes the first two of more than two.

    Args:
        source: The file.
        start: First sample, at `sample_rate`.
        num_samples: Samples wanted; fewer come back where the file ends before.
        sample_rate: Hz of the result.
        channels: Channels of the result.

    Returns:
        float32 on the CPU, in [-1, 1].

    Raises:
        AudioError: The file cannot be decoded, holds nothing from `start` on, has values that are
            not finite, or its channels cannot be mixed to `channels`.
    """
    if start < 0 or num_samples < 1:
        raise ValueError(f"need start >= 0 and num_samples >= 1, got {start} and {num_samples}")
    with open_audio(source) as decoder:
        header = decoder.info
        check_channels(source, found=header.channels, wanted=channels)
        part = _source_part(start, num_samples, source=header.sample_rate, target=sample_rate)
        audio = decoder.decode(part.first, part.count)  # c t
    if channels == 1:
        audio = audio.mean(dim=0, keepdim=True)
    audio = _resample(audio, source=header.sample_rate, target=sample_rate)
    audio = audio[:, part.skip : part.skip + num_samples]
    if audio.shape[1] == 0:
        raise AudioError(f"{source}: holds no audio from {_nothing(header, start / sample_rate)}")
    if not (math.isfinite(audio.sum().item()) or torch.isfinite(audio).all()):
        raise AudioError(f"{source}: holds values that are not finite")
    return audio.expand(channels, -1).contiguous().clamp_(-1, 1)


def check_channels(source: AudioLike, *, found: int, wanted: int) -> None:
    """Refuse a file whose channels cannot be mixed to the wanted count.

    Raises:
        AudioError: Neither count is one, and they differ.
    """
    if found != wanted and 1 not in (found, wanted):
        raise AudioError(
            f"{source}: has {found} channels where {wanted} are wanted; one can be copied to"
            " several and several averaged to one, anything else has to be mixed beforehand"
        )


@contextmanager
def open_audio(source: AudioLike) -> Iterator[AudioDecoder]:
    """Open a file by libsndfile, or by FFmpeg where libsndfile does not know the format.

    Raises:
        AudioError: Neither can, or what happens in the block fails.
    """
    with ExitStack() as stack:
        try:
            decoder: AudioDecoder = stack.enter_context(
                open_sndfile(readable(source), name=str(source))
            )
        except UnknownFormatError as error:
            decoder = stack.enter_context(
                open_ffmpeg(readable(source), name=str(source), refused=str(error))
            )
            _note_choice(Path(str(source)).suffix.lower(), decoder.library)
        yield decoder


@lru_cache
def _note_choice(suffix: str, library: str) -> None:
    """Say once per suffix that something else than libsndfile reads it."""
    logger.info("files ending in %s are read by %s: libsndfile does not know them", suffix, library)


def _nothing(header: AudioInfo, seconds: float) -> str:
    promised = header.frames / header.sample_rate
    if seconds >= promised:
        return f"{seconds:.2f} s on"
    return (
        f"{seconds:.2f} s on, although its header promises {promised:.2f} s: it has probably been"
        " cut short"
    )


@dataclass(frozen=True)
class _Part:
    """Frames of a file to decode, and samples to leave out at the start once they are resampled."""

    first: int
    count: int
    skip: int


def _source_part(start: int, num_samples: int, *, source: int, target: int) -> _Part:
    """The frames that a resampled part depends on.

    torchaudio's resampler maps blocks of `source / gcd` frames to blocks of `target / gcd` samples
    with one filter per sample of a block, so a part that begins at a block's start meets the same
    filters as the whole file.
    """
    if source == target:
        return _Part(start, num_samples, 0)
    divisor = math.gcd(source, target)
    block_in, block_out = source // divisor, target // divisor
    reach = math.ceil(_CROSSINGS * block_in / (min(block_in, block_out) * _ROLLOFF))
    block = max(0, start // block_out - math.ceil(reach / block_in))
    last_block = (start + num_samples - 1) // block_out
    first = block * block_in
    return _Part(first, (last_block + 1) * block_in + reach - first, start - block * block_out)


def _resample(audio: Float[Tensor, "c t"], *, source: int, target: int) -> Float[Tensor, "c t"]:
    if source == target or audio.shape[1] == 0:
        return audio
    resampled: Tensor = torchaudio.functional.resample(
        audio.contiguous(), source, target, lowpass_filter_width=_CROSSINGS, rolloff=_ROLLOFF
    )
    return resampled
