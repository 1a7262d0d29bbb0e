"""Working off a plan: look what is there, encode the rest, write each item once."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import takewhile

from sat_models.data.ledger import Ledger
from sat_models.errors import DataError
from sat_preencode.encoding import Encoder
from sat_preencode.plan import Plan, PlannedItem
from sat_preencode.progress import Reporter, duration
from sat_preencode.reading import Form, ReadBatch, read_batches
from sat_preencode.store import BAD_FILES, Entry, LatentStore


class Work:
    """The state of a latent folder while its plan is worked off.

    Attributes:
        plan: All items.
        finished: Items that are in the folder, by id.
        encoded: Items that were written here and now.
        unreadable: Items whose audio could not be read.
    """

    def __init__(self, plan: Plan, store: LatentStore, *, stop: Callable[[], bool]) -> None:
        """Look what is in the folder.

        Args:
            plan: All items.
            store: The folder.
            stop: Asked after each item or batch whether to stop.
        """
        self.plan = plan
        self.encoded = 0
        self.unreadable = 0
        self.finished: dict[str, Entry] = {}
        self._store = store
        self._stop = stop
        for planned in takewhile(lambda _: not stop(), plan.items):
            if (entry := store.find(planned.item)) is not None:
                self.finished[entry.id] = entry

    def summary(self) -> str:
        """How much there is, how much of it is finished, and what is left out."""
        items, seconds = len(self.plan.items), self.plan.seconds
        text = f"{items} items, {duration(seconds)} of audio; {len(self.finished)} are finished"
        if self.plan.left_out_seconds:
            text += f"; {duration(self.plan.left_out_seconds)} in short tails left out"
        if self.plan.beyond_limit:
            text += f"; limit_batches leaves out {self.plan.beyond_limit} items more"
        return text

    def encode_missing(
        self, encoder: Encoder, *, ledger: Ledger, reporter: Reporter, num_workers: int
    ) -> None:
        """Encode every batch that lacks an item, and write the items that it lacks.

        Args:
            encoder: The autoencoder.
            ledger: Where files that cannot be read are written down.
            reporter: Shows how far it has come.
            num_workers: Batches that are read ahead.
        """
        settings = encoder.settings
        form = Form(
            batch_size=self.plan.batch_size,
            channels=settings.channels,
            sample_size=settings.sample_size,
            sample_rate=settings.sample_rate,
        )
        batches = read_batches(self._missing(), form=form, num_workers=num_workers)
        total, there = len(self.plan.items), len(self.finished)
        with closing(batches), reporter.encoding(items=total, finished=there) as meter:
            for batch in takewhile(lambda _: not self._stop(), batches):
                written = self._encode(batch, encoder, ledger)
                meter.advance(
                    len(written), sum(e.num_samples for e in written) / settings.sample_rate
                )

    def finish(self) -> None:
        """Write the manifest, once there is nothing left to encode.

        Raises:
            DataError: There would be nothing in it.
        """
        if not self.finished:
            raise DataError(
                f"none of the {len(self.plan.items)} items could be read;"
                f" {self._store.folder / BAD_FILES} says why"
            )
        self._store.write_manifest(self.finished.values())

    def _missing(self) -> Iterator[tuple[PlannedItem, ...]]:
        for batch in self.plan.batches():
            if any(planned.item.id not in self.finished for planned in batch):
                yield batch

    def _encode(self, batch: ReadBatch, encoder: Encoder, ledger: Ledger) -> list[Entry]:
        lacking = {p.item.id for p in batch.items} - self.finished.keys()
        for bad in batch.bad:
            if bad.planned.item.id in lacking:
                lacking.remove(bad.planned.item.id)
                self.unreadable += 1
                ledger.record(bad.planned.source.path, bad.reason, bad.offset)
        if not lacking:
            return []
        latents = encoder.encode(batch.audio, ids=[p.item.id for p in batch.items])
        written = [
            self._store.write(planned.item, rows, metadata=metadata)
            for planned, rows, metadata in zip(batch.items, latents, batch.metadata, strict=True)
            if planned.item.id in lacking
        ]
        self.finished |= {entry.id: entry for entry in written}
        self.encoded += len(written)
        return written
