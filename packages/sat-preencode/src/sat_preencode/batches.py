"""Batches of a plan, read and encoded while earlier ones are written."""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, TypeVar

import torch
from jaxtyping import Shaped
from numpy import ndarray
from torch import Tensor

from sat_preencode.encoding import Encoder
from sat_preencode.plan import PlannedItem
from sat_preencode.reading import BadRead, Form, ReadPart, read_parts

T = TypeVar("T")


@dataclass(frozen=True)
class EncodedItem:
    """What is to be written of an item.

    Attributes:
        planned: The item.
        values: Latents or tokens in the format that they are stored in.
        metadata: What is known of it.
    """

    planned: PlannedItem
    values: Shaped[ndarray, "d l"]
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class EncodedBatch:
    """A batch of the plan.

    Attributes:
        planned: Its items.
        items: Those that were encoded, in order.
        bad: The others.
    """

    planned: tuple[PlannedItem, ...]
    items: tuple[EncodedItem, ...]
    bad: tuple[BadRead, ...]


def encode_batches(
    batches: Iterable[tuple[PlannedItem, ...]],
    *,
    encoder: Encoder,
    batch_size: int,
    num_workers: int,
    stop: Callable[[], bool],
) -> Generator[EncodedBatch, None, None]:
    """Encode batches in order; the next one is computed while one is used.

    Args:
        batches: Groups of planned items; asked for in other threads.
        encoder: The autoencoder.
        batch_size: Windows that go through it at a time.
        num_workers: Parts of batches that are read ahead of it; 0 reads each when it is wanted.
        stop: Asked before each part of a batch whether to stop; a batch that is whole still comes.
    """
    form = Form(
        batch_size=batch_size,
        channels=encoder.settings.channels,
        hop_length=encoder.autoencoder.hop_length,
        sample_rate=encoder.settings.sample_rate,
    )
    parts = read_parts(batches, form=form, num_workers=num_workers)
    return ahead(_encode(parts, encoder, stop))


def ahead(source: Generator[T, None, None]) -> Generator[T, None, None]:
    """The same, each made in another thread while the one before is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="encode") as executor:
        try:
            coming = executor.submit(next, source, None)
            while (found := coming.result()) is not None:
                coming = executor.submit(next, source, None)
                yield found
        finally:
            coming.cancel()
            executor.submit(source.close).result()


def _encode(
    parts: Generator[ReadPart, None, None], encoder: Encoder, stop: Callable[[], bool]
) -> Generator[EncodedBatch, None, None]:
    features: dict[str, list[Tensor]] = defaultdict(list)
    metadata: dict[str, Mapping[str, Any]] = {}
    bad: dict[str, BadRead] = {}
    with closing(parts):
        for part in takewhile(lambda _: not stop(), parts):
            for found in part.bad:
                bad.setdefault(found.planned.item.id, found)
            metadata |= part.metadata
            if any(window.planned.item.id not in bad for window in part.windows):
                _keep(features, part, encoder)
            if part.last:
                items = [p for p in part.batch if p.item.id not in bad]
                done = [_finish(p, features, metadata, encoder) for p in items]
                yield EncodedBatch(part.batch, tuple(done), tuple(bad.values()))
                features, metadata, bad = defaultdict(list), {}, {}


def _finish(
    planned: PlannedItem,
    features: Mapping[str, Sequence[Tensor]],
    metadata: Mapping[str, Mapping[str, Any]],
    encoder: Encoder,
) -> EncodedItem:
    name = planned.item.id
    values = encoder.finish(torch.cat(list(features[name]), dim=-1), name)
    return EncodedItem(planned, values, {**metadata[name], "dtype": encoder.settings.dtype})


def _keep(features: dict[str, list[Tensor]], part: ReadPart, encoder: Encoder) -> None:
    """Encode a part, and keep of each window what is far from its edges."""
    names = [window.planned.item.id for window in part.windows]
    found = encoder.features(part.audio, ids=names)  # b d2 l
    for row, (name, window) in enumerate(zip(names, part.windows, strict=True)):
        chunk = window.chunk
        kept = slice(chunk.keep_start - chunk.start, chunk.keep_stop - chunk.start)
        features[name].append(found[row : row + 1, :, kept].clone())
