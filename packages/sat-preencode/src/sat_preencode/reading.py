"""Audio of planned items, read ahead of the encoder."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.audio import read_audio
from sat_models.errors import AudioError
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
        bad: The items that could not be read.
    """

    items: tuple[PlannedItem, ...]
    audio: Float[Tensor, "b c t"]
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
    for row, planned in enumerate(batch):
        found = _read_item(planned, form)
        if isinstance(found, BadRead):
            bad.append(found)
        else:
            audio[row, :, : found.shape[-1]] = found
    return ReadBatch(items=batch, audio=audio, bad=tuple(bad))


def _read_item(planned: PlannedItem, form: Form) -> Float[Tensor, "c t"] | BadRead:
    item = planned.item
    try:
        audio = read_audio(
            planned.source,
            start=item.start_sample,
            num_samples=item.num_samples,
            sample_rate=form.sample_rate,
            channels=form.channels,
        )  # c t
    except AudioError as error:
        reason = str(error).removeprefix(f"{planned.source}: ")
        return BadRead(planned, reason, item.start_sample)
    if (missing := item.num_samples - audio.shape[-1]) > 0:
        reason = f"ends {missing} samples before its header says: it has probably been cut short"
        return BadRead(planned, reason, item.start_sample)
    return audio
