"""From a dataset node to batches."""

import math
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch.utils.data import DataLoader, Sampler

from sat_config.audio.dataset import DatasetNode
from sat_config.audio.experiment import AudioExperiment
from sat_models.data.batch import BadItem, Batch, Sample
from sat_models.data.build import build_dataset
from sat_models.data.dataset import Draw, ItemDataset
from sat_models.data.ledger import Ledger, Tally
from sat_models.data.sampler import EpochStream, OnePass

VALIDATION_CROPS = 16
"""What a validation measures at least, where it may crop files at several places."""


def build_loader(
    experiment: AudioExperiment,
    node: DatasetNode,
    *,
    training: bool,
    ledger: Ledger,
    first_batch: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> "BatchLoader":
    """Build the loader of a dataset.

    Training never ends: the loader has no length, and epochs follow each other in one stream (see
    `EpochStream`), so that a dataset smaller than a batch, or a batch size that does not divide it,
    trains like any other. Validation is one pass in order, the last batch included; where crops are
    drawn at random, they are the same at every validation, and a small dataset gives several per
    file (`VALIDATION_CROPS` in all). Which items a batch holds depends on the seed and the batch's
    number only, never on the number of workers.

    Args:
        experiment: Gives the shape of items, batch size, workers and seed.
        node: The dataset; one of the experiment's.
        training: Training or validation.
        ledger: Where bad files go.
        first_batch: Number of the first batch: where an earlier part of the run has ended in this
            process, one more than the last `Batch.number`; training only.
        rank: Which of the training processes this is. Lightning must not put in a sampler of its
            own.
        world_size: How many processes train.

    Raises:
        DataError: The dataset has nothing to yield.
    """
    known = len(ledger.files)
    dataset = build_dataset(
        node,
        sample_rate=experiment.sample_rate,
        sample_size=experiment.sample_size,
        channels=experiment.audio_channels,
        seed=experiment.seed,
        training=training,
        ledger=ledger,
    )
    if not isinstance(dataset, ItemDataset):
        raise TypeError(f"{type(dataset).__name__} must derive from {ItemDataset.__name__}")
    tally = Tally(ledger, items=len(dataset), max_bad_share=experiment.max_bad_share)
    tally.check_opened(bad=len(ledger.files) - known)
    batches: Sampler[list[Draw]]
    if training:
        batches = EpochStream(
            dataset.order,
            num_items=len(dataset),
            batch_size=experiment.batch_size,
            seed=experiment.seed,
            carry_over=node.drop_last,
            first_batch=first_batch,
            rank=rank,
            world_size=world_size,
        )
    else:
        batches = OnePass(
            len(dataset),
            batch_size=experiment.batch_size,
            epochs=math.ceil(VALIDATION_CROPS / len(dataset)) if dataset.draws_crops else 1,
            rank=rank,
            world_size=world_size,
        )
    return BatchLoader(
        dataset,
        batches,
        first_batch=first_batch,
        tally=tally,
        num_workers=experiment.num_workers,
        pin_memory=experiment.accelerator != "cpu" and torch.cuda.is_available(),
        seed=experiment.seed,
    )


class Collate:
    """Stacks items to a batch, and hands on those that could not be read."""

    def __init__(self, dataset: ItemDataset) -> None:
        self._dataset = dataset

    def __call__(
        self, samples: Sequence[Sample | BadItem]
    ) -> tuple[Batch | None, tuple[BadItem, ...]]:
        """The batch of the good items, None if there are none, and the bad items."""
        good = [sample for sample in samples if isinstance(sample, Sample)]
        bad = tuple(sample for sample in samples if isinstance(sample, BadItem))
        return self._dataset.stack(good) if good else None, bad


class BatchLoader(DataLoader[Sample | BadItem]):
    """A DataLoader that knows its place in the stream and keeps account of what was left out.

    Workers hand bad items over; the main process writes them down when their batch is due, so that
    a run that is stopped and goes on counts none twice.
    """

    def __init__(
        self,
        dataset: ItemDataset,
        batches: Sampler[list[Draw]],
        *,
        first_batch: int,
        tally: Tally,
        num_workers: int,
        pin_memory: bool,
        seed: int,
    ) -> None:
        """Describe the stream; workers start with the first batch.

        Args:
            dataset: The items.
            batches: Which items make up which batch.
            first_batch: Number of the first of them.
            tally: Counts what is left out.
            num_workers: Processes that read; 0 reads in this one.
            pin_memory: Whether batches come in page-locked memory.
            seed: Of what torch hands to its workers.
        """
        super().__init__(
            dataset,
            batch_sampler=batches,
            num_workers=num_workers,
            collate_fn=Collate(dataset),
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            worker_init_fn=prepare_worker if num_workers > 0 else None,
            # Without a generator of its own, each pass would take a number from the one that
            # training uses.
            generator=torch.Generator().manual_seed(seed),
        )
        self._first_batch = first_batch
        self._tally = tally

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """One pass of batches; a training loader's never ends.

        Raises:
            DataError: A bad item that may not be skipped, or too many of them.
        """
        for number, (batch, bad) in enumerate(super().__iter__(), start=self._first_batch):
            self._tally.count(good=0 if batch is None else len(batch.items), bad=bad)
            if batch is not None:
                yield replace(batch, number=number)

    def check_worker_number_rationality(self) -> None:
        """Say nothing: torch warns where `num_workers`, even by default, exceeds the processors."""


def prepare_worker(_worker: int) -> None:
    """Leave Ctrl-C to the main process, which still wants batches until it has saved its work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
