"""Audio of planned items, window by window, read ahead of the encoder."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.audio import AudioLike, read_audio
from sat_models.errors import AudioError, DataError
from sat_models.models.chunks import Chunk
from sat_preencode.errors import StoreError
from sat_preencode.plan import PlannedItem


@dataclass(frozen=True)
class Form:
    """What a part of a batch looks like.

    Attributes:
        batch_size: Rows; a part of fewer windows is filled up with silence.
        channels: Audio channels.
        hop_length: Samples per latent frame.
        sample_rate: Hz.
    """

    batch_size: int
    channels: int
    hop_length: int
    sample_rate: int


@dataclass(frozen=True)
class BadRead:
    """An item that cannot be read.

    Attributes:
        planned: The item.
        reason: Why.
        offset: First sample of what cannot be read.
    """

    planned: PlannedItem
    reason: str
    offset: int


@dataclass(frozen=True)
class Window:
    """A row of a part.

    Attributes:
        planned: Its item.
        chunk: Which frames of the item it holds, and which of them are kept.
    """

    planned: PlannedItem
    chunk: Chunk


@dataclass(frozen=True)
class ReadPart:
    """Some windows of a batch with their audio.

    Attributes:
        batch: All items of the batch.
        windows: The windows, in the order of the rows.
        audio: Always `batch_size` rows; rows of no window and of unreadable ones are silence.
        metadata: What is known of the items that begin here, by id.
        bad: The items that could not be read.
        last: Whether the batch ends here.
    """

    batch: tuple[PlannedItem, ...]
    windows: tuple[Window, ...]
    audio: Float[Tensor, "b c t"]
    metadata: Mapping[str, Mapping[str, Any]]
    bad: tuple[BadRead, ...]
    last: bool


def read_parts(
    batches: Iterable[tuple[PlannedItem, ...]], *, form: Form, num_workers: int
) -> Generator[ReadPart, None, None]:
    """Read batches in order, in parts of as many windows as go through the encoder at a time.

    Decoding and resampling release Python's lock, so threads suffice to keep an encoder busy.

    Args:
        batches: Groups of planned items.
        form: Shape and rate of the audio.
        num_workers: Parts that are read at the same time, ahead of the encoder; 0 reads each when
            it is asked for.
    """
    if num_workers == 0:
        yield from (_read_part(*part, form=form) for part in _parts(batches, form.batch_size))
        return
    executor = ThreadPoolExecutor(num_workers, thread_name_prefix="read-audio")
    waiting: deque[Future[ReadPart]] = deque()
    try:
        for part in _parts(batches, form.batch_size):
            waiting.append(executor.submit(_read_part, *part, form=form))
            if len(waiting) > num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def _parts(
    batches: Iterable[tuple[PlannedItem, ...]], rows: int
) -> Iterator[tuple[tuple[PlannedItem, ...], tuple[Window, ...], bool]]:
    """Batches, the windows of a part of each, and whether it is the last one."""
    for batch in batches:
        windows = tuple(Window(planned, chunk) for planned in batch for chunk in planned.windows)
        for start in range(0, len(windows), rows):
            yield batch, windows[start : start + rows], start + rows >= len(windows)


def _read_part(
    batch: tuple[PlannedItem, ...], windows: tuple[Window, ...], last: bool, *, form: Form
) -> ReadPart:
    audio = torch.zeros(form.batch_size, form.channels, batch[0].window * form.hop_length)
    opened: dict[str, AudioLike] = {}
    bad, metadata = [], {}
    for row, window in enumerate(windows):
        planned = window.planned
        offset = planned.item.start_sample + window.chunk.start * form.hop_length
        try:
            if planned.source.path not in opened:
                opened[planned.source.path] = planned.source.audio.open().audio
            found = _read_window(opened[planned.source.path], window, form)
            audio[row, :, : found.shape[-1]] = found
            if window.chunk.start == 0:
                known = planned.metadata(sample_rate=form.sample_rate)
                metadata[planned.item.id] = known | _described(planned, known, audio[row])
        except (AudioError, DataError) as error:
            reason = str(error).removeprefix(f"{planned.source.path}: ")
            bad.append(BadRead(planned, reason, offset))
    _check_unchanged(windows)
    return ReadPart(batch, windows, audio, metadata, tuple(bad), last)


def _check_unchanged(windows: tuple[Window, ...]) -> None:
    """A file that is not what the plan describes is neither encoded nor given up.

    Raises:
        StoreError: One has changed or gone.
    """
    for source in {
        window.planned.source.path: window.planned.source for window in windows
    }.values():
        if source.audio.has_changed():
            raise StoreError(
                f"{source.path} has changed or gone since it was looked at. What is finished is"
                " kept; give the same command again, once the file is what it should be"
            )


def _described(
    planned: PlannedItem, metadata: dict[str, Any], audio: Float[Tensor, "c t"]
) -> dict[str, Any]:
    """What custom code adds to an item's metadata, as JSON knows it.

    Raises:
        DataError: The code fails, rejects the item, or gives what no file of latents can keep.
    """
    custom = planned.source.custom
    if custom is None:
        return {}
    found = custom.describe(metadata, audio)
    if found.pop("__reject__", False):
        raise DataError(f"rejected by {custom.path}")
    if "__audio__" in found:
        raise DataError(f"{custom.path}: __audio__ is for training on audio: it cannot be encoded")
    plain = {
        key: value.tolist() if isinstance(value, Tensor) else value for key, value in found.items()
    }
    try:
        msgspec.json.encode(plain)
    except TypeError as error:
        raise DataError(f"{custom.path}: metadata that JSON cannot keep: {error}") from error
    return plain


def _read_window(audio: AudioLike, window: Window, form: Form) -> Float[Tensor, "c t"]:
    item, chunk = window.planned.item, window.chunk
    first, hop = chunk.start * form.hop_length, form.hop_length
    wanted = min(item.num_samples, chunk.stop * hop) - first
    found = read_audio(
        audio,
        start=item.start_sample + first,
        num_samples=wanted,
        sample_rate=form.sample_rate,
        channels=form.channels,
    )  # c t
    if (missing := wanted - found.shape[-1]) > 0:
        raise AudioError(
            f"ends {missing} samples before its header says: it has probably been cut short"
        )
    return found
