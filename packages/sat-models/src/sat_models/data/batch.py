"""What datasets yield: single items, and batches of waveforms or latents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Item:
    """Where a crop came from.

    Attributes:
        id: Dataset id and path within it, the same in every epoch.
        path: The file that was read.
        start_sample: First sample of the crop in the audio file, at the experiment's sample rate.
        seconds_start: The same in whole seconds, rounded down, as SAT gives it to conditioners.
        seconds_total: Length of the whole audio file in seconds, rounded up.
    """

    id: str
    path: str
    start_sample: int
    seconds_start: float
    seconds_total: float


@dataclass(frozen=True)
class Sample:
    """One item before it is stacked into a batch.

    Attributes:
        values: Waveform or latents, zeros where there is nothing.
        padding_mask: True where `values` holds the file's content, False where it is padding.
        item: Where it came from.
    """

    values: Float[Tensor, "c t"]
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
class AudioBatch:
    """Waveforms.

    Attributes:
        audio: In [-1, 1], zeros after the end of a file.
        padding_mask: True for samples of the file, False for padding.
        items: Where each came from.
    """

    audio: Float[Tensor, "b c t"]
    padding_mask: Bool[Tensor, "b t"]
    items: tuple[Item, ...]

    @classmethod
    def stack(cls, samples: Sequence[Sample]) -> Self:
        """The batch of some items, in their order."""
        return cls(*_stack(samples))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same batch on another device."""
        audio = self.audio.to(device, non_blocking=non_blocking)
        mask = self.padding_mask.to(device, non_blocking=non_blocking)
        return type(self)(audio, mask, self.items)

    def pin_memory(self) -> Self:
        """The same batch in page-locked memory."""
        return type(self)(self.audio.pin_memory(), self.padding_mask.pin_memory(), self.items)


@dataclass(frozen=True)
class LatentBatch:
    """Latents of an autoencoder.

    Attributes:
        latents: As the encoder gave them, zeros after the end of an item.
        padding_mask: True for frames that hold audio, False for padding.
        items: Where each came from.
    """

    latents: Float[Tensor, "b d l"]
    padding_mask: Bool[Tensor, "b l"]
    items: tuple[Item, ...]

    @classmethod
    def stack(cls, samples: Sequence[Sample]) -> Self:
        """The batch of some items, in their order."""
        return cls(*_stack(samples))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same batch on another device."""
        latents = self.latents.to(device, non_blocking=non_blocking)
        mask = self.padding_mask.to(device, non_blocking=non_blocking)
        return type(self)(latents, mask, self.items)

    def pin_memory(self) -> Self:
        """The same batch in page-locked memory."""
        return type(self)(self.latents.pin_memory(), self.padding_mask.pin_memory(), self.items)


def _stack(samples: Sequence[Sample]) -> tuple[Tensor, Tensor, tuple[Item, ...]]:
    values = torch.stack([sample.values for sample in samples])
    masks = torch.stack([sample.padding_mask for sample in samples])
    return values, masks, tuple(sample.item for sample in samples)
