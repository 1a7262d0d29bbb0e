"""Where latents are stored, one by one: in files of their own or within shards."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from sat_models.data.custom import CustomModule
from sat_models.data.latent_details import LatentDetails
from sat_models.data.storage import Storage
from sat_models.errors import DataError

BFLOAT16 = "bfloat16"
"""A number format that numpy lacks: stored as the bits, in uint16."""


class LatentFacts(msgspec.Struct, array_like=True, frozen=True):
    """What is known of stored latents without reading them.

    Attributes:
        channels: Their channels; of codes, quantizers.
        frames: Their frames.
        valid_frames: How many of them, from the first, hold audio.
        seconds_total: Length of the source in seconds, rounded up; None if nothing says.
        codes: Whether they are codes rather than continuous.
        turned: Whether the array has frames before channels, as SAT stores some codes.
    """

    channels: int
    frames: int
    valid_frames: int
    seconds_total: float | None
    codes: bool
    turned: bool = False


@dataclass(frozen=True)
class Span:
    """A part of a file.

    Attributes:
        name: The file within its storage.
        start: First byte.
        stop: The one after the last; None reads to the end.
    """

    name: str
    start: int = 0
    stop: int | None = None

    def read(self, storage: Storage) -> bytes:
        """The bytes.

        Raises:
            DataError: They cannot be had, or the file has become shorter.
        """
        where = storage.where(self.name)
        try:
            content = storage.read(self.name, self.start, self.stop)
        except OSError as error:
            raise DataError(f"{where}: {error.strerror or error}") from error
        if self.stop is not None and len(content) != self.stop - self.start:
            raise DataError(f"{where}: ends after {len(content)} of {self.stop - self.start} bytes")
        return content


@dataclass(frozen=True)
class LatentSource:
    """The latents of one item, wherever they are.

    Attributes:
        id: Names the item.
        dataset: Id of its entry in the configuration.
        storage: What holds its files.
        values: Its latents, as `.npy`.
        metadata: Its metadata, as JSON; None if there is none.
        facts: What is known of it.
        details: What its folder says.
        start_sample: First sample in the audio file, where that is known exactly.
        custom: The module that adds to its metadata.
    """

    id: str
    dataset: str
    storage: Storage
    values: Span
    metadata: Span | None
    facts: LatentFacts
    details: LatentDetails
    start_sample: int | None
    custom: CustomModule | None

    @property
    def path(self) -> str:
        """The file, for messages and metadata."""
        return self.storage.where(self.values.name)

    def read_metadata(self) -> dict[str, Any]:
        """What was stored along with the latents.

        Raises:
            DataError: It is damaged.
        """
        return {} if self.metadata is None else read_table(self.metadata, self.storage)

    def read_values(self) -> Shaped[Tensor, "d l"]:
        """The latents in float32, or the codes in int64.

        Raises:
            DataError: They are damaged, or other than what was known of them.
        """
        array = load_array(self.values.read(self.storage), where=self.path)
        facts = self.facts
        if facts.turned:
            array = array.T
        if array.shape != (facts.channels, facts.frames):
            expected = (facts.channels, facts.frames)
            raise DataError(f"{self.path}: has shape {array.shape}, and {expected} was expected")
        if facts.codes:
            return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
        values = to_float(array, bfloat16=self.details.dtype == BFLOAT16)
        if not torch.isfinite(values).all():
            raise DataError(f"{self.path}: holds values that are not finite")
        return values

    def seconds_at(self, frame: int, metadata: Mapping[str, Any]) -> tuple[float, int]:
        """Where a frame lies in the audio file: whole seconds, and the sample.

        Exact where the folder tells the hop length. Else the length of a frame is estimated from
        the stretch that the item covers, and the place is right to within a second.
        """
        rate, hop = self.details.sample_rate, self.details.hop_length
        begin = float(metadata.get("seconds_start") or 0.0)
        start = self.start_sample
        if start is None and isinstance(metadata.get("start_sample"), int):
            start = metadata["start_sample"]
        if rate is not None and hop is not None and start is not None:
            sample = start + frame * hop
            return float(sample // rate), sample
        seconds = begin + frame * self._seconds_per_frame(metadata)
        return float(math.floor(seconds)), int(seconds * float(metadata.get("sample_rate") or 0))

    def _seconds_per_frame(self, metadata: Mapping[str, Any]) -> float:
        rate = metadata.get("sample_rate")
        if self.details.sample_size is not None and rate:
            return self.details.sample_size / self.facts.frames / float(rate)
        start, end = metadata.get("timestamps") or (0.0, 1.0)
        total = float(metadata.get("seconds_total") or 0.0)
        return (float(end) - float(start)) * total / max(self.facts.valid_frames, 1)


def read_table(span: Span, storage: Storage) -> dict[str, Any]:
    """The JSON table in a part of a file.

    Raises:
        DataError: It is damaged.
    """
    content, where = span.read(storage), storage.where(span.name)
    try:
        return dict(msgspec.json.decode(content, type=dict[str, Any]))
    except msgspec.MsgspecError as error:
        raise DataError(f"{where}: no metadata: {error}") from error


def load_array(content: bytes, *, where: str) -> np.ndarray:
    """The array in a `.npy` file, of two axes; a leading one of length 1 is dropped.

    Raises:
        DataError: It is damaged, or has other axes.
    """
    try:
        array: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{where}: no array: {error}") from error
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise DataError(f"{where}: has shape {array.shape}; channels and frames were expected")
    return array


def to_float(array: np.ndarray, *, bfloat16: bool) -> Shaped[Tensor, "d l"]:
    """Stored latents as float32."""
    if bfloat16:
        bits = torch.from_numpy(np.ascontiguousarray(array).view(np.int16))
        return bits.view(torch.bfloat16).float()
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def facts_of(
    shape: tuple[int, ...], dtype: np.dtype, metadata: Mapping[str, Any], *, where: str
) -> LatentFacts:
    """What an array's header and its metadata say.

    Codes with more rows than columns have their axes the other way round: SAT stores some so, and
    no codec has more quantizers than frames.

    Raises:
        DataError: The array has other than two axes.
    """
    shape = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    if len(shape) != 2:
        raise DataError(f"{where}: has shape {shape}; channels and frames were expected")
    codes = bool(np.issubdtype(dtype, np.integer)) and metadata.get("dtype") != BFLOAT16
    turned = codes and shape[0] > shape[1]
    channels, frames = reversed(shape) if turned else shape
    mask = metadata.get("padding_mask")
    valid = frames
    if isinstance(mask, list) and len(mask) == frames and any(mask):
        valid = frames - mask[::-1].index(1)
    total = metadata.get("seconds_total")
    seconds = float(total) if isinstance(total, int | float) else None
    return LatentFacts(channels, frames, valid, seconds, codes, turned)
