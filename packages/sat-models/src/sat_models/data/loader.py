"""From a dataset node to batches."""

import math
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Sampler

from sat_config.audio.dataset import DatasetNode
from sat_config.audio.experiment import AudioExperiment
from sat_models.data.batch import AudioBatch, BadItem, LatentBatch, Sample
from sat_models.data.build import build_dataset
from sat_models.data.dataset import Draw, ItemDataset
from sat_models.data.ledger import Ledger
from sat_models.data.sampler import EpochStream, OnePass
from sat_models.errors import DataError

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
        first_batch: Batches that an earlier part of the run has consumed in this process; training
            only.
        rank: Which of the training processes this is. Lightning must not put in a sampler of its
            own.
        world_size: How many processes train.

    Raises:
        DataError: The dataset has nothing to yield.
    """
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
    batches: Sampler[list[Draw]]
    if training:
        batches = EpochStream(
            len(dataset),
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
        batch_sampler=batches,
        num_workers=experiment.num_workers,
        collate_fn=Collate(dataset, ledger),
        pin_memory=experiment.accelerator != "cpu" and torch.cuda.is_available(),
        persistent_workers=experiment.num_workers > 0,
        worker_init_fn=prepare_worker if experiment.num_workers > 0 else None,
        # Without a generator of its own, each pass would take a number from the one that training
        # uses.
        generator=torch.Generator().manual_seed(experiment.seed),
    )


@dataclass(frozen=True)
class Refusal:
    """Why a worker made no batch: its message, for the main process to raise."""

    message: str


class Collate:
    """Stacks items to a batch, without those that could not be read."""

    def __init__(self, dataset: ItemDataset, ledger: Ledger) -> None:
        self._dataset = dataset
        self._ledger = ledger

    def __call__(self, samples: Sequence[Sample | BadItem]) -> AudioBatch | LatentBatch | Refusal:
        """The batch of the good items, once the bad ones are in the ledger."""
        good = [sample for sample in samples if isinstance(sample, Sample)]
        bad = [sample for sample in samples if isinstance(sample, BadItem)]
        try:
            for item in bad:
                self._ledger.record(item.path, item.reason, item.offset)
            if not good:
                raise DataError(_empty(bad))
        except DataError as error:
            return Refusal(str(error))
        return self._dataset.stack(good)


class BatchLoader(DataLoader[Sample | BadItem]):
    """A DataLoader that raises in the main process what a worker found out.

    torch wraps an exception of a worker into one whose message is a traceback; people are to read
    the message itself.
    """

    def __iter__(self) -> Iterator[AudioBatch | LatentBatch]:  # type: ignore[override]
        """One pass of batches; a training loader's never ends.

        Raises:
            DataError: A bad file that may not be skipped, or a batch without any good one.
        """
        for batch in super().__iter__():
            if isinstance(batch, Refusal):
                raise DataError(batch.message)
            yield batch

    def check_worker_number_rationality(self) -> None:
        """Say nothing: torch warns where `num_workers`, even by default, exceeds the processors."""


def prepare_worker(_worker: int) -> None:
    """Leave Ctrl-C to the main process, which still wants batches until it has saved its work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _empty(bad: Sequence[BadItem]) -> str:
    listed = "\n".join(f"  {item.reason}" for item in bad[:5])
    more = f"\n  and {len(bad) - 5} more" if len(bad) > 5 else ""
    return f"not one of the {len(bad)} items of a batch could be read:\n{listed}{more}"
