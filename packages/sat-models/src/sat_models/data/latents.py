"""Latents or codes that were encoded beforehand."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from sat_config.audio.dataset import PreEncodedNode
from sat_models.bottlenecks.vae import sample_gaussian
from sat_models.data.audio_dir import check_ids
from sat_models.data.batch import BadItem, Batch, CodeBatch, Item, LatentBatch, Sample
from sat_models.data.build import build_dataset
from sat_models.data.dataset import (
    DatasetRecord,
    Draw,
    ItemDataset,
    as_draw,
    fingerprint_of,
    item_draws,
)
from sat_models.data.latent_details import LatentDetails, check_alike
from sat_models.data.latent_files import LatentSource, to_float
from sat_models.data.latent_folders import find_latents, read_silence
from sat_models.data.ledger import Ledger
from sat_models.data.order import Order, by_weight
from sat_models.errors import DataError


class LatentDataset(ItemDataset):
    """One crop per item and epoch, or whole items.

    Every item has the same number of frames, filled up where it holds fewer: with the folder's
    latents of silence if it has some, else with zeros. Of a folder that keeps mean and scale,
    latents are drawn anew in each epoch, as an autoencoder in the loop would. A random crop stays
    within the frames that hold audio, and the item's start moves along with it, which SAT forgets.
    """

    def __init__(
        self,
        sources: Sequence[LatentSource],
        *,
        length: int,
        seed: int,
        random_crop: bool,
        order: Order,
    ) -> None:
        """Describe the items.

        Args:
            sources: What to read.
            length: Frames of every item.
            seed: Decides crops, with epoch and index.
            random_crop: Whether crops lie at random places.
            order: In which order an epoch goes through them.
        """
        super().__init__(order)
        self.sources = tuple(sources)
        self._length = length
        self._seed = seed
        self._random_crop = random_crop
        silences = {folder: read_silence(folder) for folder in {d.folder for d in self.details}}
        self._silences = {
            folder: to_float(array, bfloat16=False)
            for folder, array in silences.items()
            if array is not None
        }

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def details(self) -> tuple[LatentDetails, ...]:
        """What the folders say of their latents, one each."""
        return tuple({source.details.folder: source.details for source in self.sources}.values())

    @property
    def codes(self) -> bool:
        """Whether items are codes rather than continuous latents."""
        return self.sources[0].facts.codes

    def __getitem__(self, index: int | Draw) -> Sample | BadItem:
        """The crop of one item in one epoch."""
        draw = as_draw(index, length=len(self))
        source = self.sources[draw.index]
        place, noise = item_draws(self._seed, draw, count=2)
        choices = source.facts.valid_frames - self._length + 1
        first = int(place * choices) if self._random_crop and choices > 1 else 0
        try:
            return self._sample(source, first, noise=noise)
        except DataError as error:
            return BadItem(source.path, str(error), source.start_sample)

    def stack(self, samples: Sequence[Sample]) -> Batch:
        """The batch of some items."""
        return (CodeBatch if self.codes else LatentBatch).stack(samples)

    def record(self) -> DatasetRecord:
        """What a run notes of the latents."""
        custom = {s.custom.path: s.custom.sha256 for s in self.sources if s.custom is not None}
        facts: list[tuple[str | int, ...]] = [
            (s.id, s.facts.frames, s.details.settings_fingerprint or "") for s in self.sources
        ]
        facts += [("custom", digest) for digest in custom.values()]
        folders = ", ".join(details.folder for details in self.details)
        return DatasetRecord(
            summary=f"{len(self)} encoded item{'' if len(self) == 1 else 's'} in {folders}",
            items=len(self),
            fingerprint=fingerprint_of(facts),
            custom_code=custom,
        )

    def _sample(self, source: LatentSource, first: int, *, noise: float) -> Sample:
        stored = source.read_metadata()
        values = source.read_values()[:, first : first + self._length]
        if source.details.drawn:
            generator = torch.Generator().manual_seed(int(noise * 2**53))
            values, _ = sample_gaussian(values[None], sample=True, generator=generator)
            values = values[0]
        mask = torch.arange(self._length) < source.facts.valid_frames - first
        seconds_start, start_sample = source.seconds_at(first, stored)
        total = source.facts.seconds_total
        metadata: dict[str, Any] = {
            **stored,
            "latent_filename": source.path,
            "seconds_start": seconds_start,
            "latent_crop_length": self._length,
            "latent_crop_start": first,
        }
        if source.custom is not None:
            info = {**metadata, "padding_mask": [mask[: values.shape[1]]]}
            values = self._describe(source, metadata, info, values)
        metadata.pop("padding_mask", None)  # the batch has it
        return Sample(
            values=self._fill(source, values),
            padding_mask=mask,
            item=Item(
                id=source.id,
                path=source.path,
                start_sample=start_sample,
                seconds_start=seconds_start,
                seconds_total=0.0 if total is None else total,
                metadata=metadata,
            ),
        )

    def _describe(
        self,
        source: LatentSource,
        metadata: dict[str, Any],
        info: dict[str, Any],
        values: Shaped[Tensor, "d l"],
    ) -> Shaped[Tensor, "d l"]:
        """Let the custom module add to the metadata; returns the latents, which it may replace."""
        assert source.custom is not None  # noqa: S101 - the caller has looked
        found = source.custom.describe(info, values)
        if found.pop("__reject__", False):
            raise DataError(f"rejected by {source.custom.path}")
        replaced = found.pop("__replace__", None)
        metadata |= found
        if replaced is None:
            return values
        if not isinstance(replaced, Tensor) or replaced.shape[:-1] != values.shape[:-1]:
            raise DataError(
                f"{source.custom.path}: __replace__ has to be a tensor of ({values.shape[0]}"
                " channels, frames)"
            )
        return replaced[:, : self._length].to(values.dtype)

    def _fill(self, source: LatentSource, values: Shaped[Tensor, "d l"]) -> Shaped[Tensor, "d l"]:
        """Bring an item to the common length."""
        missing = self._length - values.shape[1]
        if missing <= 0:
            return values
        silence = self._silences.get(source.details.folder)
        if silence is None or silence.shape[0] != values.shape[0]:
            return torch.cat([values, values.new_zeros(values.shape[0], missing)], dim=1)
        repeated = silence.repeat(1, -(-missing // silence.shape[1]))[:, :missing]
        return torch.cat([values, repeated.to(values.dtype)], dim=1)


@build_dataset.register
def build_latents(
    node: PreEncodedNode,
    *,
    sample_rate: int,
    sample_size: int,
    channels: int,
    seed: int,
    training: bool,
    ledger: Ledger,
) -> LatentDataset:
    """Build the dataset of a `pre_encoded` node; sample size and channels play no part in it.

    Raises:
        DataError: A folder is not finished or does not fit the others or the sample rate, or no
            item is as long as the crop.
    """
    check_ids([folder.id for folder in node.datasets])
    sources = within(find_latents(node, ledger=ledger), node.min_length_sec, node.max_length_sec)
    check_alike([source.details for source in sources], sample_rate=sample_rate)
    weights = {folder.id: folder.weight for folder in node.datasets}
    return LatentDataset(
        sources,
        length=common_length(sources, node.latent_crop_length),
        seed=seed,
        random_crop=training and node.random_crop,
        order=by_weight([weights[source.dataset] for source in sources]),
    )


def within(
    sources: Sequence[LatentSource], shortest: float | None, longest: float | None
) -> list[LatentSource]:
    """Items whose audio file has a length in seconds between two bounds; None bounds nothing.

    Raises:
        DataError: There is none.
    """
    low, high = shortest or 0.0, longest if longest is not None else float("inf")
    kept = [s for s in sources if low <= (s.facts.seconds_total or 0.0) <= high]
    if not kept:
        raise DataError(
            f"none of {len(sources)} encoded items comes from a file of {low:g} to {high:g} s:"
            " change min_length_sec or max_length_sec"
        )
    return kept


def common_length(sources: Sequence[LatentSource], wanted: int | None) -> int:
    """Frames of every item: those that are wanted, else as many as the longest item has.

    Raises:
        DataError: Items differ in kind, or none is that long.
    """
    kinds = {(source.facts.channels, source.facts.codes) for source in sources}
    if len(kinds) > 1:
        described = ", ".join(f"{count} of {'codes' if c else 'latents'}" for count, c in kinds)
        raise DataError(f"the items do not have the same channels: {described}")
    longest = max(source.facts.frames for source in sources)
    if wanted is not None and wanted > longest:
        raise DataError(
            f"latent_crop_length is {wanted}, and the longest item has {longest} frames; set it to"
            f" {longest} or less, or encode longer items (preencode.sample_size)"
        )
    return wanted or longest
