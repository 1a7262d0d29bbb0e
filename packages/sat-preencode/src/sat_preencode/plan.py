"""Which items a dataset is cut into: decided before anything is encoded, the same at every start.

An item is a stretch of `sample_size` samples of one file. Stretches follow one another without gaps
or overlaps from the file's first sample; there is no chance in it, and no sign is ever flipped.
What remains at the end of a file is an item too, padded with zeros, unless it is shorter than a
quarter of `sample_size` and not all there is of the file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sat_config.node import Node
from sat_models.data.custom import CustomModule

MIN_TAIL = 4
"""The last stretch of a file counts from one part in so many of `sample_size`."""


class Item(Node, kw_only=True):
    """One latent to be made.

    Attributes:
        id: Dataset id, relative path and, in twelve digits, first sample; the same wherever the
            data lies.
        dataset: Id of the dataset.
        relpath: The audio file below the dataset's folder, with forward slashes.
        start_sample: First sample, at the experiment's sample rate.
        num_samples: Samples of audio in it; the rest of the item is zeros.
        frames: Latent frames.
        valid_frames: Latent frames that audio reaches.
        seconds_start: First sample in seconds, rounded down, as training on audio has it.
        seconds_total: Length of the whole file in seconds, rounded up.
        content_sha256: Of the audio file; another one means another latent.
        metadata_sha256: Of captions and of code that adds to them.
    """

    id: str
    dataset: str
    relpath: str
    start_sample: int
    num_samples: int
    frames: int
    valid_frames: int
    seconds_start: float
    seconds_total: float
    content_sha256: str
    metadata_sha256: str


@dataclass(frozen=True)
class Source:
    """An audio file that can be read.

    Attributes:
        dataset: Id of its dataset.
        relpath: Its path below the dataset's folder, with forward slashes.
        path: Where it is.
        num_samples: Its length in samples, at the experiment's sample rate.
        content: SHA-256 of the file.
        captions: What lies beside it says.
        described: SHA-256 of captions and of the code that adds to them.
        custom: That code.
    """

    dataset: str
    relpath: str
    path: Path
    num_samples: int
    content: str
    captions: Mapping[str, Any]
    described: str
    custom: CustomModule | None


@dataclass(frozen=True)
class PlannedItem:
    """An item and the file that it is read from."""

    item: Item
    source: Source

    def metadata(self, *, sample_rate: int) -> dict[str, Any]:
        """What is known of the item, under SAT's names; its columns in the manifest included."""
        item, length = self.item, self.source.num_samples
        mask = [1] * item.valid_frames + [0] * (item.frames - item.valid_frames)
        return {
            **self.source.captions,
            **msgspec.structs.asdict(item),
            "path": str(self.source.path),
            "timestamps": (
                item.start_sample / length,
                (item.start_sample + item.num_samples) / length,
            ),
            "sample_rate": sample_rate,
            "padding_mask": mask,
        }


@dataclass(frozen=True)
class Plan:
    """All items of a dataset, in their order.

    Attributes:
        items: Ordered by file and, within a file, by time.
        batch_size: Items per batch.
        seconds: Audio in all items.
        left_out_seconds: Audio in tails that are too short for an item.
        beyond_limit: Items that are left out because they lie behind the last batch allowed.
    """

    items: tuple[PlannedItem, ...]
    batch_size: int
    seconds: float
    left_out_seconds: float
    beyond_limit: int = 0


def group(items: Sequence[PlannedItem], *, batch_size: int) -> list[tuple[PlannedItem, ...]]:
    """Put items into batches; the last one may hold fewer.

    Args:
        items: In the plan's order.
        batch_size: Items per batch.
    """
    starts = range(0, len(items), batch_size)
    return [tuple(items[start : start + batch_size]) for start in starts]


def stretches(num_samples: int, *, sample_size: int) -> list[tuple[int, int]]:
    """Cut a file: first sample and number of samples of each item.

    Args:
        num_samples: Length of the file, at least 1.
        sample_size: Samples per item.
    """
    whole, tail = divmod(num_samples, sample_size)
    cuts = [(index * sample_size, sample_size) for index in range(whole)]
    if tail and (not cuts or tail * MIN_TAIL >= sample_size):
        cuts.append((whole * sample_size, tail))
    return cuts


def plan_items(
    sources: Sequence[Source],
    *,
    sample_rate: int,
    sample_size: int,
    hop_length: int,
    batch_size: int,
    limit_batches: int | None = None,
) -> Plan:
    """Cut every file into items.

    Args:
        sources: The files, in order.
        sample_rate: Hz that lengths are counted at.
        sample_size: Samples per item, a multiple of `hop_length`.
        hop_length: Samples per latent frame.
        batch_size: Items that are encoded together.
        limit_batches: Batches that are planned, from the first; all of them if left out.
    """
    items = []
    total = 0
    for source in sources:
        total += source.num_samples
        for start, length in stretches(source.num_samples, sample_size=sample_size):
            item = Item(
                id=f"{source.dataset}/{source.relpath}#{start:012d}",
                dataset=source.dataset,
                relpath=source.relpath,
                start_sample=start,
                num_samples=length,
                frames=sample_size // hop_length,
                valid_frames=-(-length // hop_length),
                seconds_start=float(start // sample_rate),
                seconds_total=float(-(-source.num_samples // sample_rate)),
                content_sha256=source.content,
                metadata_sha256=source.described,
            )
            items.append(PlannedItem(item, source))
    kept = items if limit_batches is None else items[: limit_batches * batch_size]
    return Plan(
        items=tuple(kept),
        batch_size=batch_size,
        seconds=_samples_in(kept) / sample_rate,
        left_out_seconds=(total - _samples_in(items)) / sample_rate,
        beyond_limit=len(items) - len(kept),
    )


def _samples_in(items: Sequence[PlannedItem]) -> int:
    return sum(planned.item.num_samples for planned in items)
