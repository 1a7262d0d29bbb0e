"""What audio is read from, what its header says, and how errors name it."""

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import msgspec
from jaxtyping import Float
from torch import Tensor

from sat_models.errors import AudioError


class AudioInfo(msgspec.Struct, frozen=True, array_like=True):
    """What is known of an audio file without decoding it.

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


@dataclass(frozen=True)
class AudioBytes:
    """An audio file in memory: a member of a shard, or an object of a bucket.

    Attributes:
        name: What messages call it; ends in the suffix of its format.
        content: The whole file.
    """

    name: str
    content: bytes

    def __str__(self) -> str:
        return self.name


AudioLike = str | Path | AudioBytes
"""A file, by its path or as it is in memory."""


class AudioDecoder(ABC):
    """An open audio file.

    Attributes:
        info: What its header says; some formats only estimate the length.
        library: What decodes it, in words.
    """

    info: AudioInfo
    library: str

    @abstractmethod
    def measure(self) -> int:
        """The length in frames, as far as the end of the file confirms it.

        Raises:
            AudioError: The file has lost its end.
        """

    @abstractmethod
    def decode(self, first: int, count: int) -> Float[Tensor, "c t"]:
        """Frames `first` to `first + count`, fewer where the file ends."""


def readable(source: AudioLike) -> Path | io.BytesIO:
    """What a decoder can open: the path of a file that is there, or its bytes.

    Raises:
        AudioError: There is no such file, it is empty, or it may not be read.
    """
    if isinstance(source, AudioBytes):
        if not source.content:
            raise AudioError(f"{source}: the file is empty")
        return io.BytesIO(source.content)
    path = Path(source)
    try:
        if not path.is_file():
            raise AudioError(f"{path}: no such file")
        if path.stat().st_size == 0:
            raise AudioError(f"{path}: the file is empty")
        with path.open("rb"):  # decoders call a missing permission "System error"
            pass
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror or error}") from error
    return path
