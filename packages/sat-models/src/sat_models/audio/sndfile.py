"""Decoding by libsndfile: WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF and their like."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.audio.endings import mp3_counts_frames, ogg_is_whole
from sat_models.audio.source import AudioDecoder, AudioInfo
from sat_models.errors import AudioError

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

# What libsndfile notes while it opens a file whose end is missing. A chunk of at least 0x7ff00000
# bytes was written by a program that could not go back to fill its length in.
_SHORT_CHUNK = re.compile(r"^ *(?:data|SSND) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNFILLED_CHUNK = 0x7FF00000

# Formats that are libsndfile's own: a file so named that it does not recognise is broken.
_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".aif", ".aiff")
_UNRECOGNISED, _UNSUPPORTED_ENCODING = 1, 4


class UnknownFormatError(Exception):
    """libsndfile does not know the format or its encoding; something else may."""


class SndfileDecoder(AudioDecoder):
    """A file that libsndfile has opened."""

    def __init__(self, file: "_Reader", *, source: Path | io.BytesIO, name: str) -> None:
        """Use an open file.

        Args:
            file: The file.
            source: Its bytes.
            name: What messages call it.
        """
        self._file = file
        self._source = source
        self._name = name
        self.info = AudioInfo(file.frames, file.samplerate, file.channels)
        self.library = f"libsndfile {soundfile.__libsndfile_version__}"

    def measure(self) -> int:
        """The length in frames, as far as the end of the file confirms it."""
        self._refuse_missing_end()
        frames = self.info.frames
        if frames >= _UNKNOWN_LENGTH:
            return self._count_frames()
        tail = min(frames, _MP3_LEAD)
        try:
            self._file.seek(frames - tail)
            found = len(self._file.read(tail, dtype="float32", always_2d=True))
        except soundfile.LibsndfileError:
            found = 0
        if found == 0 < tail:
            if self._file.format != "MP3":
                raise self._cut_short(frames)
            return self._measure_mp3(frames)
        return int(frames - tail + found)

    def decode(self, first: int, count: int) -> Float[Tensor, "c t"]:
        """Frames `first` to `first + count`, fewer where the file ends."""
        file = self._file
        if first >= file.frames:
            return torch.empty(file.channels, 0)
        begin = self._seek_point(first)
        if begin > 0:
            file.seek(begin)
        count = min(count, file.frames - first)  # the reader makes room for all that it is asked
        frames = file.read(first - begin + count, dtype="float32", always_2d=True)
        return torch.from_numpy(frames[first - begin :]).T  # c t

    def _seek_point(self, first: int) -> int:
        """Where decoding has to begin for frame `first` to come out right."""
        file = self._file
        if file.format == "MP3":
            return max(0, first - _MP3_LEAD)
        if file.subtype == "VORBIS":
            tail: int = file.frames - _VORBIS_TAIL_SECONDS * file.samplerate
            return min(first, max(0, tail))
        return first

    def _refuse_missing_end(self) -> None:
        """Formats whose length libsndfile quietly corrects to what is there."""
        if self._file.format == "OGG" and not ogg_is_whole(self._source):
            seconds = self.info.frames / self.info.sample_rate
            raise AudioError(
                f"{self._name}: has been cut short: it ends after {seconds:.2f} s without a whole"
                " last page, which closes every Ogg file"
            )
        for promised, found in _SHORT_CHUNK.findall(self._file.extra_info):
            if int(found) < int(promised) < _UNFILLED_CHUNK:
                raise self._cut_short(self.info.frames * int(promised) // max(int(found), 1))

    def _measure_mp3(self, promised: int) -> int:
        """The length of a file whose header promises more than there is."""
        self._file.seek(0)
        frames = self._count_frames()
        if mp3_counts_frames(self._source) and frames < promised - _MP3_LEAD:
            raise self._cut_short(promised)
        return frames

    def _cut_short(self, frames: int) -> AudioError:
        seconds = frames / self.info.sample_rate
        return AudioError(f"{self._name}: has been cut short: its header promises {seconds:.2f} s")

    def _count_frames(self) -> int:
        frames = 0
        while block := len(self._file.read(_BLOCK, dtype="float32", always_2d=True)):
            frames += block
        return frames


@contextmanager
def open_sndfile(file: Path | io.BytesIO, *, name: str) -> Iterator[SndfileDecoder]:
    """Open a file by libsndfile, with every failure inside the block told as an AudioError.

    Raises:
        UnknownFormatError: The format or its encoding is none of libsndfile's.
        AudioError: The file is broken.
    """
    try:
        reader = _Reader(file)
    except soundfile.LibsndfileError as error:
        foreign = error.code == _UNRECOGNISED and not name.lower().endswith(_SUFFIXES)
        if foreign or error.code == _UNSUPPORTED_ENCODING:
            raise UnknownFormatError(reason(error)) from error
        raise AudioError(f"{name}: cannot be decoded: {reason(error)}") from error
    with reader:
        try:
            yield SndfileDecoder(reader, source=file, name=name)
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError(f"{name}: cannot be decoded: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What went wrong, without libsndfile's frills."""
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    text = error.strerror or text if isinstance(error, OSError) else text
    return text.removeprefix("Error : ").strip().rstrip(".") or type(error).__name__


class _Reader(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """A SoundFile that does not seek to where it is after every read.

    SoundFile does that in files that can seek; it costs time, lossy formats do not resume exactly,
    and at the end of a FLAC file of unknown length it fails.
    """

    def seekable(self) -> bool:
        """No, to SoundFile; `seek` works all the same."""
        return False
