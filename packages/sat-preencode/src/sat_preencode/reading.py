"""Audio of planned items, read ahead of the encoder."""

from collections import deque
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.audio import read_audio
from sat_models.errors import AudioError, DataError
from sat_preencode.plan import PlannedItem


@dataclass(frozen=True)
class Form:
    """What a batch of audio looks like.

    Attributes:
        batch_size: Rows; a batch of fewer items is filled up with silence.
        channels: Audio channels.
        sample_size: Samples per item.
        sample_rate: Hz.
    """

    batch_size: int
    channels: int
    sample_size: int
    sample_rate: int


@dataclass(frozen=True)
class BadRead:
    """An item that cannot be read.

    Attributes:
        planned: The item.
        reason: Why.
        offset: First sample of the item.
    """

    planned: PlannedItem
    reason: str
    offset: int


@dataclass(frozen=True)
class ReadBatch:
    """A batch of the plan with its audio.

    Attributes:
        items: The items, in the order of the rows.
        audio: Always `batch_size` rows; rows of no item and of unreadable ones are silence.
        metadata: What is known of each item.
        bad: The items that could not be read.
    """

    items: tuple[PlannedItem, ...]
    audio: Float[Tensor, "b c t"]
    metadata: tuple[Mapping[str, Any], ...]
    bad: tuple[BadRead, ...]


def read_batches(
    batches: Iterable[tuple[PlannedItem, ...]], *, form: Form, num_workers: int
) -> Generator[ReadBatch, None, None]:
    """Read batches in order.

    Decoding and resampling release Python's lock, so threads suffice to keep an encoder busy.

    Args:
        batches: Groups of planned items.
        form: Shape and rate of the audio.
        num_workers: Batches that are read at the same time, ahead of the encoder; 0 reads each when
            it is asked for.
    """
    if num_workers == 0:
        yield from (_read_batch(batch, form) for batch in batches)
        return
    executor = ThreadPoolExecutor(num_workers, thread_name_prefix="read-audio")
    waiting: deque[Future[ReadBatch]] = deque()
    try:
        for batch in batches:
            waiting.append(executor.submit(_read_batch, batch, form))
            if len(waiting) > num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def _read_batch(batch: tuple[PlannedItem, ...], form: Form) -> ReadBatch:
    audio = torch.zeros(form.batch_size, form.channels, form.sample_size)
    bad = []
    tables = []
    for row, planned in enumerate(batch):
        metadata = planned.metadata(sample_rate=form.sample_rate)
        found = _read_item(planned, form)
        if not isinstance(found, BadRead):
            audio[row, :, : found.shape[-1]] = found
            try:
                metadata |= _described(planned, metadata, audio[row])
            except DataError as error:
                found = BadRead(planned, str(error), planned.item.start_sample)
        if isinstance(found, BadRead):
            bad.append(found)
        tables.append(metadata)
    return ReadBatch(items=batch, audio=audio, metadata=tuple(tables), bad=tuple(bad))


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


def _read_item(planned: PlannedItem, form: Form) -> Float[Tensor, "c t"] | BadRead:
    item = planned.item
    try:
        audio = read_audio(
            planned.source.path,
            start=item.start_sample,
            num_samples=item.num_samples,
            sample_rate=form.sample_rate,
            channels=form.channels,
        )  # c t
    except AudioError as error:
        reason = str(error).removeprefix(f"{planned.source.path}: ")
        return BadRead(planned, reason, item.start_sample)
    if (missing := item.num_samples - audio.shape[-1]) > 0:
        reason = f"ends {missing} samples before its header says: it has probably been cut short"
        return BadRead(planned, reason, item.start_sample)
    return audio
