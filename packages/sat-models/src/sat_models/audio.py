"""Audio files: length, parts of them, writing.

A crop costs what it needs: the decoder seeks to it, and only a margin beside it is decoded for the
resampler. Whatever the format, a crop equals the same samples of the file read whole.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from sat_models.errors import AudioError
from sat_models.files import replacing

WRITE_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".aif": ("AIFF", "PCM_16"),
    ".aiff": ("AIFF", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}

# The zero crossings of torchaudio's sinc kernel and the share of the Nyquist frequency it keeps,
# both passed explicitly because the margins below follow from them.
_CROSSINGS = 6
_ROLLOFF = 0.99

# MP3 frames borrow bits from earlier ones, at low bit rates from more than the decoder goes back by
# itself.
_MP3_LEAD = 16 * 1152
# libsndfile 1.2 dates the last Ogg page of a Vorbis file from its end, which encoders trim; a seek
# into that page comes out late. A page holds at most 64 KiB, so it is reached by decoding from
# before it.
_VORBIS_TAIL_SECONDS = 10

# libsndfile gives the largest integer as the length of a FLAC file that was written to a pipe.
_UNKNOWN_LENGTH = 1 << 62
_BLOCK = 1 << 16


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    Attributes:
        frames: Samples per channel, at the file's own rate.
        sample_rate: Hz.
        channels: Channels in the file.
    """

    frames: int
    sample_rate: int
    channels: int

    def length_at(self, sample_rate: int) -> int:
        """Samples per channel after resampling to `sample_rate`."""
        return -(-self.frames * sample_rate // self.sample_rate)


def probe(path: str | Path) -> AudioInfo:
    """Length, rate and channels of a file.

    Only the end is decoded, to see that it is there. A file that was cut short is noticed where the
    format says how long it was meant to be (FLAC); WAV and Ogg files are merely shorter then. The
    header of an MP3 file may be an estimate, so its length is measured.

    Raises:
        AudioError: The file cannot be opened, is not audio, holds no samples, or has lost its end.
    """
    path = Path(path)
    with _open(path) as file:
        info = AudioInfo(_measure(file, path), file.samplerate, file.channels)
    if info.frames == 0:
        raise AudioError(f"{path}: holds no audio: its length is zero")
    return info


def read_audio(
    path: str | Path, *, start: int, num_samples: int, sample_rate: int, channels: int
) -> Float[Tensor, "c t"]:
    """Read a part of a file, at any rate and channel count.

    Equals the same part of the whole file read and resampled, within float32 rounding, values
    beyond [-1, 1] clipped as in SAT (lossy decoders and resampling overshoot). One channel is
    copied to several, several are averaged to one; SAT takes the first two of more than two.

    Args:
        path: The file.
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
    path = Path(path)
    if start < 0 or num_samples < 1:
        raise ValueError(f"need start >= 0 and num_samples >= 1, got {start} and {num_samples}")
    with _open(path) as file:
        check_channels(path, found=file.channels, wanted=channels)
        part = _source_part(start, num_samples, source=file.samplerate, target=sample_rate)
        audio = _decode(file, first=part.first, count=part.count)  # c t
        header = AudioInfo(file.frames, file.samplerate, file.channels)
    if channels == 1:
        audio = audio.mean(dim=0, keepdim=True)
    audio = _resample(audio, source=header.sample_rate, target=sample_rate)
    audio = audio[:, part.skip : part.skip + num_samples]
    if audio.shape[1] == 0:
        raise AudioError(f"{path}: holds no audio from {_nothing(header, start / sample_rate)}")
    if not torch.isfinite(audio).all():
        raise AudioError(f"{path}: holds values that are not finite")
    return audio.clamp(-1, 1).expand(channels, -1).contiguous()


def check_channels(path: str | Path, *, found: int, wanted: int) -> None:
    """Refuse a file whose channels cannot be mixed to the wanted count.

    Raises:
        AudioError: Neither count is one, and they differ.
    """
    if found != wanted and 1 not in (found, wanted):
        raise AudioError(
            f"{path}: has {found} channels where {wanted} are wanted; one can be copied to several"
            " and several averaged to one, anything else has to be mixed beforehand"
        )


def write_audio(path: str | Path, audio: Float[Tensor, "c t"], *, sample_rate: int) -> None:
    """Write a file in the format that its suffix names; integer formats get 16 bits.

    The file appears under its name only when it is whole. Values beyond [-1, 1] are clipped.

    Raises:
        AudioError: The suffix is unknown, or the format does not take this rate or channel count.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITE_FORMATS:
        raise AudioError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'!r};"
            f" expected one of {', '.join(WRITE_FORMATS)}"
        )
    container, encoding = WRITE_FORMATS[path.suffix.lower()]
    samples = audio.detach().to("cpu", torch.float32).clamp(-1, 1).T.contiguous().numpy()
    try:
        with (
            replacing(path) as temporary,
            soundfile.SoundFile(
                temporary,
                "w",
                samplerate=sample_rate,
                channels=audio.shape[0],
                format=container,
                subtype=encoding,
            ) as file,
        ):
            # In blocks, because the Vorbis encoder overflows its stack on long ones.
            for at in range(0, len(samples), _BLOCK):
                file.write(samples[at : at + _BLOCK])
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path}: cannot be written: {_reason(error)}") from error


class _Reader(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """A SoundFile that does not seek to where it is after every read.

    SoundFile does that in files that can seek; it costs time, lossy formats do not resume exactly,
    and at the end of a FLAC file of unknown length it fails.
    """

    def seekable(self) -> bool:
        """No, to SoundFile; `seek` works all the same."""
        return False


@contextmanager
def _open(path: Path) -> Iterator[_Reader]:
    """An open file, with every failure inside the block told as an AudioError."""
    try:
        if not path.is_file():
            raise AudioError(f"{path}: no such file")
        if path.stat().st_size == 0:
            raise AudioError(f"{path}: the file is empty")
        with path.open("rb"):  # libsndfile calls a missing permission "System error"
            pass
        with _Reader(path) as file:
            yield file
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path}: cannot be decoded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    text = error.strerror or text if isinstance(error, OSError) else text
    return text.removeprefix("Error : ").strip().rstrip(".") or type(error).__name__


def _nothing(header: AudioInfo, seconds: float) -> str:
    promised = header.frames / header.sample_rate
    if header.frames >= _UNKNOWN_LENGTH or seconds >= promised:
        return f"{seconds:.2f} s on"
    return (
        f"{seconds:.2f} s on, although its header promises {promised:.2f} s: it has probably been"
        " cut short"
    )


def _measure(file: _Reader, path: Path) -> int:
    """The length in frames, as far as the end of the file confirms it."""
    if file.frames >= _UNKNOWN_LENGTH:
        return _count_frames(file)
    tail = min(file.frames, _MP3_LEAD)
    try:
        file.seek(file.frames - tail)
        found = len(file.read(tail, dtype="float32", always_2d=True))
    except soundfile.LibsndfileError:
        found = 0
    if found == 0 < tail:
        if file.format == "MP3":
            file.seek(0)
            return _count_frames(file)
        seconds = file.frames / file.samplerate
        raise AudioError(f"{path}: has been cut short: its header promises {seconds:.2f} s")
    return int(file.frames - tail + found)


def _count_frames(file: _Reader) -> int:
    frames = 0
    while block := len(file.read(_BLOCK, dtype="float32", always_2d=True)):
        frames += block
    return frames


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


def _decode(file: _Reader, *, first: int, count: int) -> Float[Tensor, "c t"]:
    """Frames `first` to `first + count`, fewer where the file ends."""
    if first >= file.frames:
        return torch.empty(file.channels, 0)
    begin = _seek_point(file, first)
    if begin > 0:
        file.seek(begin)
    count = min(count, file.frames - first)  # the reader makes room for all that it is asked for
    frames = file.read(first - begin + count, dtype="float32", always_2d=True)[first - begin :]
    return torch.from_numpy(frames).T  # c t


def _seek_point(file: _Reader, first: int) -> int:
    """Where decoding has to begin for frame `first` to come out right."""
    if file.format == "MP3":
        return max(0, first - _MP3_LEAD)
    if file.subtype == "VORBIS":
        tail: int = file.frames - _VORBIS_TAIL_SECONDS * file.samplerate
        return min(first, max(0, tail))
    return first


def _resample(audio: Float[Tensor, "c t"], *, source: int, target: int) -> Float[Tensor, "c t"]:
    if source == target or audio.shape[1] == 0:
        return audio
    resampled: Tensor = torchaudio.functional.resample(
        audio.contiguous(), source, target, lowpass_filter_width=_CROSSINGS, rolloff=_ROLLOFF
    )
    return resampled
