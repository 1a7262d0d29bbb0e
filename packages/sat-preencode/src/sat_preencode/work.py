"""Working off a plan: claim shards, encode their batches, write them as wholes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from sat_models.data.ledger import Ledger
from sat_models.errors import DataError
from sat_preencode.batches import EncodedBatch, encode_batches
from sat_preencode.disk import Lock
from sat_preencode.encoding import Encoder
from sat_preencode.plan import Plan, PlannedItem
from sat_preencode.progress import Reporter, duration
from sat_preencode.records import Record
from sat_preencode.shards import Shard
from sat_preencode.share import Share
from sat_preencode.store import BAD_FILES, LatentStore, ShardWriter


class Work:
    """The state of a latent folder while its plan is worked off.

    Attributes:
        plan: All items.
        shards: Where they go.
        finished: What is known of finished shards, by number.
        encoded: Items that were written here and now.
        unreadable: Items of finished shards whose audio could not be read.
    """

    def __init__(
        self,
        plan: Plan,
        shards: Sequence[Shard],
        store: LatentStore,
        *,
        share: Share,
        stop: Callable[[], bool],
    ) -> None:
        """Look what is in the folder.

        Args:
            plan: All items.
            shards: Where they go.
            store: The folder.
            share: Which shards this process begins with.
            stop: Asked after each batch whether to stop.
        """
        self.plan = plan
        self.shards = shards
        self.encoded = 0
        self.finished: dict[int, Record] = {}
        self._store = store
        self._share = share
        self._stop = stop
        self._claims: dict[int, Lock] = {}
        self._writer: ShardWriter | None = None
        for shard in shards:
            if (record := store.record(shard.number, shard.rows)) is not None:
                self.finished[shard.number] = record

    @property
    def items(self) -> int:
        """Items in finished shards."""
        return sum(len(record.entries) for record in self.finished.values())

    @property
    def unreadable(self) -> int:
        """Items of finished shards that could not be read."""
        return sum(len(record.left_out) for record in self.finished.values())

    @property
    def unreadable_files(self) -> set[str]:
        """The files of these items."""
        return {left.path for record in self.finished.values() for left in record.left_out}

    @property
    def samples(self) -> int:
        """Samples of audio in finished shards."""
        entries = (entry for record in self.finished.values() for entry in record.entries)
        return sum(entry.num_samples for entry in entries)

    def summary(self) -> str:
        """How much there is, how much of it is finished, and what is left out."""
        items, seconds = len(self.plan.items), self.plan.seconds
        text = (
            f"{items} items in {len(self.shards)} shards, {duration(seconds)} of audio;"
            f" {self.items} are finished"
        )
        if not self._share.alone:
            text += f"; this is process {self._share.rank} of {self._share.processes}"
        if self.plan.left_out_seconds:
            text += f"; {duration(self.plan.left_out_seconds)} in short tails left out"
        if self.plan.beyond_limit:
            text += f"; limit_batches leaves out {self.plan.beyond_limit} items more"
        return text

    def encode_missing(
        self, encoder: Encoder, *, ledger: Ledger, reporter: Reporter, num_workers: int
    ) -> None:
        """Encode every shard that is neither finished nor another process's.

        Args:
            encoder: The autoencoder.
            ledger: Where files that cannot be read are written down.
            reporter: Shows how far it has come.
            num_workers: Batches that are read ahead.
        """
        batches = encode_batches(
            self._claimed(),
            encoder=encoder,
            batch_size=self.plan.batch_size,
            num_workers=num_workers,
            stop=self._stop,
        )
        rate = encoder.settings.sample_rate
        progress = reporter.encoding(
            items=len(self.plan.items),
            finished=self.items,
            seconds=self.plan.seconds - self.samples / rate,
        )
        try:
            with closing(batches), progress as meter:
                for batch in batches:
                    self._write(batch, ledger)
                    samples = sum(found.planned.item.num_samples for found in batch.items)
                    meter.advance(len(batch.items), samples / rate)
        finally:
            if self._writer is not None:
                self._writer.abandon()
            for claim in self._claims.values():
                claim.release()

    def finish(self) -> bool:
        """Write the manifest, once all shards are finished, whoever has made them.

        Returns:
            Whether it is written.

        Raises:
            DataError: There would be nothing in it.
        """
        records = self._store.finish({shard.number: shard.rows for shard in self.shards})
        if records is None:
            return False
        self.finished = records
        if not self.items:
            raise DataError(
                f"none of the {len(self.plan.items)} items could be read;"
                f" {self._store.folder / BAD_FILES} says why"
            )
        return True

    def _claimed(self) -> Iterator[tuple[PlannedItem, ...]]:
        """Batches of shards that nobody else makes, this process's share of them first."""
        others = [s for at, s in enumerate(self.shards) if not self._share.has(at)]
        own = [s for at, s in enumerate(self.shards) if self._share.has(at)]
        for shard in own + others:
            if shard.number not in self.finished and (claim := self._store.claim(shard)):
                self._claims[shard.number] = claim
                yield from shard.batches

    def _write(self, batch: EncodedBatch, ledger: Ledger) -> None:
        writer = self._current()
        for bad in batch.bad:
            ledger.record(bad.planned.source.path, bad.reason, bad.offset)
            writer.leave_out(bad.planned.item, path=bad.planned.source.path, reason=bad.reason)
        for found in batch.items:
            writer.write(found.planned.item, found.values, metadata=found.metadata)
        self.encoded += len(batch.items)
        if batch.planned == writer.shard.batches[-1]:
            self._finish(writer)

    def _current(self) -> ShardWriter:
        """The writer of the shard that is being made; shards come one after another."""
        if self._writer is None:
            number, *_ = self._claims  # the thread that reads ahead adds others
            shard = next(shard for shard in self.shards if shard.number == number)
            self._writer = self._store.begin(shard)
        return self._writer

    def _finish(self, writer: ShardWriter) -> None:
        number = writer.shard.number
        self.finished[number] = writer.finish()
        self._writer = None
        self._claims.pop(number).release()
