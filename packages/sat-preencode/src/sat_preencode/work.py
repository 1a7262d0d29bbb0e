"""Working off a plan: look what is there, encode the rest, write each item once."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import takewhile

from sat_models.data.ledger import Ledger
from sat_models.errors import DataError
from sat_preencode.batches import EncodedBatch, encode_batches
from sat_preencode.encoding import Encoder
from sat_preencode.plan import Plan, PlannedItem
from sat_preencode.progress import Reporter, duration
from sat_preencode.share import Share
from sat_preencode.store import BAD_FILES, Entry, LatentStore


class Work:
    """The state of a latent folder while its plan is worked off.

    Attributes:
        plan: All items.
        finished: Items that are in the folder, by id.
        encoded: Items that were written here and now.
        unreadable: Items whose audio could not be read.
    """

    def __init__(
        self, plan: Plan, store: LatentStore, *, share: Share, stop: Callable[[], bool]
    ) -> None:
        """Look what is in the folder.

        Args:
            plan: All items.
            store: The folder.
            share: Which batches are this process's.
            stop: Asked after each item or batch whether to stop.
        """
        self.plan = plan
        self.share = share
        self.encoded = 0
        self.unreadable = 0
        self._bad: list[str] = []
        self._batches = [b for number, b in enumerate(plan.batches()) if share.has(number)]
        self.finished: dict[str, Entry] = {}
        self._store = store
        self._stop = stop
        mine = (planned for batch in self._batches for planned in batch)
        for planned in takewhile(lambda _: not stop(), mine):
            if (entry := store.find(planned.item)) is not None:
                self.finished[entry.id] = entry

    def summary(self) -> str:
        """How much there is, how much of it is finished, and what is left out."""
        items, seconds = len(self.plan.items), self.plan.seconds
        if not self.share.alone:
            own = sum(len(batch) for batch in self._batches)
            share = f"{self.share.rank} of {self.share.processes}"
            return (
                f"{items} items, {duration(seconds)} of audio; process {share} makes {own}, of"
                f" which {len(self.finished)} are finished"
            )
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
        batches = encode_batches(
            self._missing(),
            encoder=encoder,
            batch_size=self.plan.batch_size,
            num_workers=num_workers,
            stop=self._stop,
        )
        total, there = sum(len(batch) for batch in self._batches), len(self.finished)
        rate = encoder.settings.sample_rate
        rest = [p.item for b in self._batches for p in b if p.item.id not in self.finished]
        seconds = sum(item.num_samples for item in rest) / rate
        progress = reporter.encoding(items=total, finished=there, seconds=seconds)
        with closing(batches), progress as meter:
            for batch in batches:
                written = self._write(batch, ledger)
                samples = sum(entry.num_samples for entry in written)
                meter.advance(len(written), samples / rate)

    def finish(self) -> bool:
        """Write the manifest, once there is nothing left to encode in any process.

        Returns:
            Whether it is written: of several processes, the last one does it.

        Raises:
            DataError: There would be nothing in it.
        """
        if not self.share.alone and not self._gather():
            return False
        if not self.finished:
            raise DataError(
                f"none of the {len(self.plan.items)} items could be read;"
                f" {self._store.folder / BAD_FILES} says why"
            )
        self._store.write_manifest(self.finished.values())
        self._store.forget_shares()
        return True

    def _gather(self) -> bool:
        """Find the items of the other processes; false while one of them is not done."""
        plan = self.plan.fingerprint
        self._store.note_share(self.share, plan=plan, unreadable=self._bad)
        unreadable = self._store.shares_done(self.share.processes, plan=plan)
        if unreadable is None:
            return False
        for planned in self.plan.items:
            if planned.item.id not in self.finished | dict.fromkeys(unreadable):
                entry = self._store.find(planned.item)
                if entry is None:
                    return False
                self.finished[entry.id] = entry
        return True

    def _missing(self) -> Iterator[tuple[PlannedItem, ...]]:
        for batch in self._batches:
            if any(planned.item.id not in self.finished for planned in batch):
                yield batch

    def _write(self, batch: EncodedBatch, ledger: Ledger) -> list[Entry]:
        lacking = {p.item.id for p in batch.planned} - self.finished.keys()
        for bad in batch.bad:
            if bad.planned.item.id in lacking:
                lacking.remove(bad.planned.item.id)
                self.unreadable += 1
                self._bad.append(bad.planned.item.id)
                ledger.record(bad.planned.source.path, bad.reason, bad.offset)
        written = [
            self._store.write(found.planned.item, found.values, metadata=found.metadata)
            for found in batch.items
            if found.planned.item.id in lacking
        ]
        self.finished |= {entry.id: entry for entry in written}
        self.encoded += len(written)
        return written
