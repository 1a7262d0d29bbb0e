"""Decoding by FFmpeg, through PyAV, of what libsndfile does not know: M4A, AAC, WMA, WebM, ..."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.audio.source import AudioDecoder, AudioInfo
from sat_models.errors import AudioError

if TYPE_CHECKING:
    import av.container

# Containers that date every packet to the sample; in others, Matroska with its milliseconds among
# them, decoding begins at the start of the file.
_DATED = {"mov", "mp4", "m4a"}
# Lossy decoders settle within a few frames after a seek.
_LEAD_SECONDS = 1.0


class FFmpegDecoder(AudioDecoder):
    """A file that FFmpeg has opened."""

    def __init__(self, container: "av.container.InputContainer", *, name: str) -> None:
        """Use an open file with a stream of audio.

        Args:
            container: The file.
            name: What messages call it.
        """
        import av

        self._container = container
        self._name = name
        self._stream = container.streams.audio[0]
        rate, channels = self._stream.rate, self._stream.channels
        seconds = float((self._stream.duration or 0) * (self._stream.time_base or 0))
        self.info = AudioInfo(round(seconds * rate), rate, channels)
        codec = self._stream.codec_context.name
        self.library = f"FFmpeg (PyAV {av.__version__}, {codec})"

    def measure(self) -> int:
        """The length in frames: all is decoded, since headers of these formats only estimate it."""
        return sum(block.shape[1] for _, block in self._blocks(0))

    def decode(self, first: int, count: int) -> Float[Tensor, "c t"]:
        """Frames `first` to `first + count`, fewer where the file ends."""
        found = []
        for begin, block in self._blocks(first):
            part = block[:, max(first - begin, 0) : max(first + count - begin, 0)]
            if part.shape[1]:
                found.append(part)
            if begin + block.shape[1] >= first + count:
                break
        return torch.cat(found, dim=1) if found else torch.empty(self.info.channels, 0)

    def _blocks(self, first: int) -> Iterator[tuple[int, Float[Tensor, "c t"]]]:
        """Decoded blocks from somewhere before `first` on, each with its place."""
        import av

        lead = first - round(_LEAD_SECONDS * self.info.sample_rate)
        dated = bool(_DATED & set(self._container.format.name.split(","))) and lead > 0
        origin = self._seek(lead) if dated else 0
        resampler = av.AudioResampler(format="fltp")
        place = 0
        for number, frame in enumerate(self._container.decode(self._stream)):
            if dated and number == 0:
                place = _place(frame) - origin
            for planar in resampler.resample(frame):
                block = torch.from_numpy(planar.to_ndarray().copy())
                yield place, block
                place += block.shape[1]

    def _seek(self, frame: int) -> int:
        """Go to a packet at or before a frame; returns the date of the file's first one."""
        import av

        origin = _place(next(self._container.decode(self._stream)))
        seconds = (origin + frame) / self.info.sample_rate
        self._container.seek(int(seconds * av.time_base))
        return origin


def _place(frame: "av.AudioFrame") -> int:
    place: int = round((frame.pts or 0) * float(frame.time_base) * frame.sample_rate)
    return place


@contextmanager
def open_ffmpeg(file: Path | io.BytesIO, *, name: str, refused: str) -> Iterator[FFmpegDecoder]:
    """Open a file by FFmpeg, with every failure inside the block told as an AudioError.

    Args:
        file: The file.
        name: What messages call it.
        refused: Why libsndfile has refused it.

    Raises:
        AudioError: It cannot be decoded, or the extra is not installed.
    """
    try:
        import av
    except ImportError:
        raise AudioError(
            f"{name}: cannot be decoded: {refused}. FFmpeg may know the format:"
            " pip install 'sat-models[ffmpeg]'"
        ) from None
    try:
        with av.open(str(file) if isinstance(file, Path) else file) as container:
            if not container.streams.audio:
                raise AudioError(f"{name}: cannot be decoded: {refused}; it holds no audio")
            yield FFmpegDecoder(container, name=name)
    except (av.FFmpegError, StopIteration) as error:
        text = getattr(error, "strerror", None) or "nothing in it can be decoded"
        raise AudioError(f"{name}: cannot be decoded: {refused}; nor by FFmpeg: {text}") from error
