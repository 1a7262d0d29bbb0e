"""Audio and latents to train on."""

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import msgspec

from sat_config import UserError
from sat_config.audio.experiment import AudioExperiment
from sat_models.data.batch import BadItem, Batch, Sample
from sat_models.data.dataset import ItemDataset
from sat_models.data.ledger import Ledger
from sat_models.data.loader import BatchLoader, build_loader
from sat_models.errors import DataError
from sat_train.callbacks.signals import SIGNALS
from sat_train.family import DataModule, build_datamodule

TRIED_ITEMS = 8
"""Items that are read before training starts."""


@dataclass(frozen=True)
class AudioData(DataModule):
    """The data of a run.

    Attributes:
        train: Batches without end, from the run's position on.
        dataset: What they are made from.
        validation: One pass over the validation set; None without one.
        demos: What demos may be made from: validation data, or else training data.
        batch_size: Items of a batch.
    """

    train: BatchLoader
    dataset: ItemDataset
    validation: BatchLoader | None
    demos: Iterable[Batch]
    batch_size: int

    def describe(self) -> dict[str, str]:
        """What there is, in words, by what it is for."""
        found = {"data": self.dataset.record().summary}
        if self.validation is not None:
            found["validation"] = _items(self.validation).record().summary
        return found

    def ids_of(self, batch: Batch) -> list[str]:
        """Dataset and path of each item."""
        return [item.id for item in batch.items]

    def try_out(self) -> tuple[Batch, str]:
        """A batch of items from all over the dataset."""
        count = min(TRIED_ITEMS, len(self.dataset))
        tried = [self.dataset[len(self.dataset) * index // count] for index in range(count)]
        good = [item for item in tried if isinstance(item, Sample)]
        reasons = [
            f"{item.path}: {item.reason.removeprefix(f'{item.path}: ')}"
            for item in tried
            if isinstance(item, BadItem)
        ]
        if not good:
            raise DataError("none of the items that were tried can be read:\n" + "\n".join(reasons))
        words = [f"{len(good)} of {count} items from all over the dataset can be read", *reasons]
        return self.dataset.stack([*islice(cycle(good), self.batch_size)]), "\n".join(words)

    def record(self) -> dict[str, object]:
        """Fingerprints of the datasets, and the Python files that add to them."""
        found = {"dataset": self.dataset}
        if self.validation is not None:
            found["val_dataset"] = _items(self.validation)
        return {key: msgspec.to_builtins(dataset.record()) for key, dataset in found.items()}


class InOrder:
    """The items of a dataset as batches, in order and without worker processes.

    Args:
        dataset: The dataset; items that cannot be read are left out.
        batch_size: Items per batch.
    """

    def __init__(self, dataset: ItemDataset, *, batch_size: int) -> None:
        self.dataset = dataset
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.dataset), self.batch_size):
            stop = min(start + self.batch_size, len(self.dataset))
            items = [self.dataset[index] for index in range(start, stop)]
            if good := [item for item in items if isinstance(item, Sample)]:
                yield self.dataset.stack(good)


@build_datamodule.register
def _build(
    experiment: AudioExperiment, *, ledger: Ledger, first_batch: int, rank: int, world_size: int
) -> AudioData:
    node = experiment.dataset
    if node is None:
        raise UserError(
            "the experiment has no [dataset] table, so there is nothing to train on; add\n\n"
            '[dataset]\ndataset_type = "audio_dir"\ndatasets = [{ id = "music", path = "FOLDER" }]'
        )
    train = build_loader(
        experiment,
        node,
        training=True,
        ledger=ledger,
        first_batch=first_batch,
        rank=rank,
        world_size=world_size,
    )
    validation = None
    if experiment.val_dataset is not None:
        # Without workers: they would idle through all of training.
        alone = msgspec.structs.replace(experiment, num_workers=0)
        validation = build_loader(alone, experiment.val_dataset, training=False, ledger=ledger)
    train.worker_init_fn = leave_signals
    dataset = _items(train)
    return AudioData(
        train=train,
        dataset=dataset,
        validation=validation,
        demos=InOrder(
            dataset if validation is None else _items(validation), batch_size=experiment.batch_size
        ),
        batch_size=experiment.batch_size,
    )


def leave_signals(_worker: int) -> None:
    """In a worker process: leave stopping to the main process, which still needs its batches.

    Terminals, `timeout` and batch systems signal all processes of a job at once. Lightning ends the
    workers of the training loader, however training ends.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _items(loader: BatchLoader) -> ItemDataset:
    assert isinstance(loader.dataset, ItemDataset)
    return loader.dataset
