"""What datasets yield: single items, and batches of waveforms, latents or codes.

Every dataset yields `Batch`es, which differ in one thing: what `values` are, and what they are
called. Shapes, mask and items are the same everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Item:
    """Where a crop came from, and what is known of it.

    Attributes:
        id: Dataset id and path within it, the same in every epoch.
        path: The file that was read.
        start_sample: First sample of the crop in the audio file, at the experiment's sample rate.
        seconds_start: The same in whole seconds, rounded down, as SAT gives it to conditioners.
        seconds_total: Length of the whole audio file in seconds, rounded up.
        metadata: What conditioners may ask for, by SAT's names: `path`, `relpath`, `timestamps`
            (the crop's start and end as shares of the file), `seconds_start`, `seconds_total`,
            `sample_rate`, and all that captions and custom modules add (`prompt`, ...). SAT's
            `load_time` is left out: items are to be the same each time they are read.
    """

    id: str
    path: str
    start_sample: int
    seconds_start: float
    seconds_total: float
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Sample:
    """One item before it is stacked into a batch.

    Attributes:
        values: Waveform, latents or codes, zeros where there is nothing.
        padding_mask: True where `values` holds the file's content, False where it is padding.
        item: Where it came from.
    """

    values: Shaped[Tensor, "c t"]
    padding_mask: Bool[Tensor, " t"]
    item: Item


@dataclass(frozen=True)
class BadItem:
    """An item that could not be read: left out of its batch and written to the ledger.

    Attributes:
        path: The file.
        reason: Why, in words that name the file.
        offset: First sample of the crop.
    """

    path: str
    reason: str
    offset: int | None


@dataclass(frozen=True)
class Batch:
    """Some items, stacked.

    Attributes:
        values: Of all items; zeros after the end of one.
        padding_mask: True where an item has content, False for padding.
        items: Where each came from.
        number: Of the batch in its loader's stream, from 0: what a run notes to go on with the next
            one. Batches without a readable item are left out of the stream, their numbers too.
    """

    values: Shaped[Tensor, "b c t"]
    padding_mask: Bool[Tensor, "b t"]
    items: tuple[Item, ...]
    number: int = 0

    @classmethod
    def stack(cls, samples: Sequence[Sample]) -> Self:
        """The batch of some items, in their order."""
        return cls(
            torch.stack([sample.values for sample in samples]),
            torch.stack([sample.padding_mask for sample in samples]),
            tuple(sample.item for sample in samples),
        )

    @property
    def metadata(self) -> tuple[Mapping[str, Any], ...]:
        """One mapping per item, as conditioners take it.

        To the item's own come, under SAT's names, `padding_mask` (a list with the item's row) and
        `audio` (its values, be they a waveform or latents).
        """
        rows = zip(self.items, self.padding_mask, self.values, strict=True)
        return tuple(
            {**item.metadata, "padding_mask": [mask], "audio": values}
            for item, mask, values in rows
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same batch on another device; metadata stays where it is."""
        values = self.values.to(device, non_blocking=non_blocking)
        mask = self.padding_mask.to(device, non_blocking=non_blocking)
        return replace(self, values=values, padding_mask=mask)

    def pin_memory(self) -> Self:
        """The same batch in page-locked memory."""
        values, mask = self.values.pin_memory(), self.padding_mask.pin_memory()
        return replace(self, values=values, padding_mask=mask)


@dataclass(frozen=True)
class AudioBatch(Batch):
    """Waveforms in [-1, 1]."""

    @property
    def audio(self) -> Float[Tensor, "b c t"]:
        """The values."""
        return self.values


@dataclass(frozen=True)
class LatentBatch(Batch):
    """Latents of an autoencoder, as its encoder gave them."""

    @property
    def latents(self) -> Float[Tensor, "b d l"]:
        """The values."""
        return self.values


@dataclass(frozen=True)
class CodeBatch(Batch):
    """Codes of a discrete autoencoder, int64."""

    @property
    def codes(self) -> Int[Tensor, "b q l"]:
        """The values."""
        return self.values
