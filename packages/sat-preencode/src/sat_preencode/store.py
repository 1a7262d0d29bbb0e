"""The latent folder: a plan first, then whole shards, then the list of all items.

A shard is finished when its record lies beside it, which is written after it; both appear under
their names whole or not at all. So a restart finds out what is there by looking, whenever the
process was killed, and makes the other shards as wholes. A process claims a shard with a lock that
the system drops when it dies.
"""

import hashlib
import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from jaxtyping import Shaped

from sat_models.data.latent_details import DETAILS, MANIFEST
from sat_preencode.containers import LAYOUTS, begin_container, container_path, remove, size_of
from sat_preencode.disk import Lock, explained, write_whole
from sat_preencode.errors import StoreError
from sat_preencode.plan import Item, Plan
from sat_preencode.records import (
    PLAN,
    Entry,
    LeftOut,
    Record,
    fingerprint,
    key_of,
    lines,
    read_details,
    read_plan,
    read_record,
    record_path,
)
from sat_preencode.settings import Details
from sat_preencode.shards import Row, Shard, item_of, lay_out

BAD_FILES = "bad_files.jsonl"
LOCKS = ".locks"

PATIENCE = 2.0
"""Seconds until a process that works by another plan is taken to be at it still."""

OnChange = Literal["error", "encode"]


class LatentStore:
    """A latent folder, open for writing."""

    def __init__(self, folder: Path, *, details: Details, on_change: OnChange) -> None:
        """Use `folder`; nothing is touched yet.

        Args:
            folder: Where the latents go; created when first needed.
            details: What is to be written there.
            on_change: Whether what has changed since it was encoded is an error or encoded again.
        """
        self.folder = folder
        self.details = details
        self._on_change = on_change

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder, and let go of it at the end.

        Raises:
            StoreError: The folder cannot be made or holds something else, or latents that are not
                to be replaced.
        """
        with explained(self.folder):
            (self.folder / LOCKS).mkdir(parents=True, exist_ok=True)
        with self._undisturbed():
            self._refuse_strangers()
        with Lock(self.folder) as self._lock:
            yield

    def settle(self, plan: Plan, *, shard_size: int) -> tuple[Shard, ...]:
        """Decide which item goes into which shard, and write it down.

        Several processes may do so at the same time; all get the same answer.

        Args:
            plan: All items.
            shard_size: Items per new shard.

        Raises:
            StoreError: Items that are there have changed and are not to be replaced, or another
                process is working by another plan.
        """
        with self._undisturbed():
            self._refuse_strangers()
            there = read_plan(self.folder)
            numbers = {row.shard for row in there}
            records = [r for n in sorted(numbers) if (r := self._whole(n)) is not None]
            entries = [entry for record in records for entry in record.entries]
            self._refuse_changes(entries, plan)
            shards = lay_out(
                plan,
                there=there,
                settings=self.details.settings_fingerprint,
                shard_size=shard_size,
                next_number=max([-1, *numbers, *self._numbers()]) + 1,
            )
            self._write_plan([row for shard in shards for row in shard.rows], there)
        return shards

    def adopt(self, rows: Sequence[Row]) -> None:
        """Write down a plan that was made elsewhere, and the details with it.

        Raises:
            StoreError: Another process is at work in the folder.
        """
        with self._undisturbed():
            self._write_plan(rows, read_plan(self.folder))

    def record(self, number: int, rows: Sequence[Row]) -> Record | None:
        """What is said of a shard if it is finished: it is there, and as it was planned."""
        record = self._whole(number)
        return record if record and record.plan == fingerprint(rows) else None

    def claim(self, shard: Shard) -> Lock | None:
        """Make a shard this process's; None if it is another's, or finished."""
        if self.record(shard.number, shard.rows) is not None:
            return None
        lock = Lock(self._claim_path(shard))
        if lock.take() and self.record(shard.number, shard.rows) is None:
            return lock
        lock.release()
        return None

    def begin(self, shard: Shard) -> "ShardWriter":
        """Begin a shard that has been claimed; a manifest that is there is out of date and goes.

        Raises:
            StoreError: The disk refuses.
        """
        with explained(self.folder):
            (self.folder / MANIFEST).unlink(missing_ok=True)
        return ShardWriter(self, shard)

    def finish(self, planned: Mapping[int, Sequence[Row]]) -> dict[int, Record] | None:
        """Write the list of all items, if all shards are finished.

        Shards that are in the plan no longer go before that.

        Args:
            planned: The lines of the plan, by shard.

        Returns:
            What is said of each shard, or None if one is not finished.

        Raises:
            StoreError: The disk refuses.
        """
        with self._undisturbed():
            records = {n: r for n, rows in planned.items() if (r := self.record(n, rows))}
            if records.keys() != planned.keys():
                return None
            self._sweep(planned.keys())
            entries = [entry for record in records.values() for entry in record.entries]
            if entries:
                _write_changed(self.folder / MANIFEST, lines(entries))
        return records

    def forget_claim(self, shard: Shard) -> None:
        """Remove the file that a finished shard was claimed with."""
        self._claim_path(shard).unlink(missing_ok=True)

    def _claim_path(self, shard: Shard) -> Path:
        return self.folder / LOCKS / f"{shard.number:06d}"

    def _whole(self, number: int) -> Record | None:
        record = read_record(self.folder, number)
        if record is None:
            return None
        path = container_path(self.folder, number=number, layout=record.layout)
        right = record.layout == self.details.layout and size_of(path) == record.size
        return record if right else None

    def _numbers(self) -> set[int]:
        """Numbers of shards that are in the folder, whatever the plan says."""
        names = {child.name.partition(".")[0] for child in self.folder.iterdir()}
        return {int(name) for name in names if len(name) == 6 and name.isdecimal()}

    def _sweep(self, planned: Collection[int]) -> None:
        with explained(self.folder):
            for number in sorted(self._numbers()):
                if number not in planned:
                    record_path(self.folder, number).unlink(missing_ok=True)
                for layout in LAYOUTS:
                    if number not in planned or layout != self.details.layout:
                        remove(container_path(self.folder, number=number, layout=layout))

    def _write_plan(self, rows: Sequence[Row], there: Sequence[Row]) -> None:
        """Write details and plan, if that changes anything; from then on nobody else may."""
        if rows != there:
            if not self._lock.take(patience=PATIENCE):
                raise StoreError(
                    f"another process is encoding into {self.folder} by another plan; wait until it"
                    " ends, or set preencode.output_path to another folder"
                )
            with explained(self.folder):
                (self.folder / MANIFEST).unlink(missing_ok=True)
        content = msgspec.json.format(msgspec.json.encode(self.details), indent=2) + b"\n"
        _write_changed(self.folder / DETAILS, content)
        if rows != there:
            write_whole(self.folder / PLAN, lines(rows))
        if not self._lock.take(shared=True, patience=PATIENCE):
            raise StoreError(f"{self.folder} is being changed by another process; wait for it")

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Wait until no other process is in such a block: for files of them all."""
        with Lock(self.folder / LOCKS / "folder") as lock:
            lock.take(patience=math.inf)
            yield

    def _refuse_strangers(self) -> None:
        path = self.folder / DETAILS
        if not path.exists():
            names = {child.name for child in self.folder.iterdir()} - {BAD_FILES}
            if any(not name.startswith(".") for name in names):
                raise StoreError(
                    f"{self.folder} is not empty and has no {DETAILS}, so it is no latent folder;"
                    " set preencode.output_path to a new or empty one"
                )
            return
        there = read_details(path, way_out="set preencode.output_path to another folder")
        differences = self.details.differences(there)
        if differences and self._on_change == "error":
            listed = "\n".join(f"  {line}" for line in differences)
            raise StoreError(
                f"{self.folder} holds latents of other settings:\n{listed}\nSet"
                " preencode.output_path to another folder, restore these settings to continue this"
                ' one, or set preencode.on_change = "encode" to replace what is there'
            )

    def _refuse_changes(self, entries: Sequence[Entry], plan: Plan) -> None:
        if self._on_change == "encode":
            return
        now = {planned.item.id: planned.item for planned in plan.items}
        gone = [entry.id for entry in entries if entry.id not in now]
        settings = self.details.settings_fingerprint
        changed = [
            entry.id
            for entry in entries
            if entry.id in now and (item_of(entry) != now[entry.id] or entry.settings != settings)
        ]
        if gone or changed:
            raise StoreError(
                f"{self.folder}: "
                + " and ".join(_counted(gone, "gone") + _counted(changed, "changed"))
                + " since they were encoded. Restore them, set preencode.output_path to another"
                ' folder, or set preencode.on_change = "encode" to encode what has changed again'
                " and remove what is gone"
            )


class ShardWriter:
    """Writes the items of a shard in order."""

    def __init__(self, store: LatentStore, shard: Shard) -> None:
        """Begin.

        Args:
            store: The folder.
            shard: What is to be written.

        Raises:
            StoreError: The disk refuses.
        """
        self.shard = shard
        self._store = store
        self._rows = {row.id: row for row in shard.rows}
        self._entries: list[Entry] = []
        self._left_out: list[LeftOut] = []
        with explained(store.folder):
            # What an earlier making of this shard said does not vouch for this one.
            record_path(store.folder, shard.number).unlink(missing_ok=True)
            self._container = begin_container(
                store.folder, number=shard.number, layout=store.details.layout
            )

    def write(
        self, item: Item, latents: Shaped[np.ndarray, "d l"], *, metadata: Mapping[str, Any]
    ) -> None:
        """Write an item: its latents, in the number format that they have, then its metadata.

        Raises:
            StoreError: The disk refuses.
            ValueError: The latents do not have the shape that the plan expects.
        """
        expected = (self._store.details.stored_channels, item.frames)
        if latents.shape != expected:
            raise ValueError(
                f"{item.id}: latents of shape {expected} expected, got {latents.shape}"
            )
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(latents), allow_pickle=False)
        values, table = buffer.getvalue(), msgspec.json.encode(metadata) + b"\n"
        with explained(self._container.path):
            place = self._container.add(f"{key_of(item.id)}.npy", values)
            beside = self._container.add(f"{key_of(item.id)}.json", table)
        self._entries.append(
            Entry(
                **msgspec.structs.asdict(self._rows[item.id]),
                file=place.file,
                values=place.span,
                metadata=beside.span,
                sha256=hashlib.sha256(values).hexdigest(),
                metadata_file_sha256=hashlib.sha256(table).hexdigest(),
            )
        )

    def leave_out(self, item: Item, *, path: str, reason: str) -> None:
        """Note that an item cannot be read."""
        self._left_out.append(LeftOut(id=item.id, path=path, reason=reason))

    def finish(self) -> Record:
        """Give the shard its name, and say that it is finished.

        Raises:
            StoreError: The disk refuses.
        """
        folder, number = self._store.folder, self.shard.number
        with explained(self._container.path):
            size = self._container.finish()
        record = Record(
            layout=self._container.layout,
            size=size,
            plan=fingerprint(self.shard.rows),
            entries=tuple(self._entries),
            left_out=tuple(self._left_out),
        )
        write_whole(record_path(folder, number), msgspec.json.encode(record) + b"\n")
        self._store.forget_claim(self.shard)
        return record

    def abandon(self) -> None:
        """Remove what is not finished."""
        self._container.abandon()


def _write_changed(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        write_whole(path, content)


def _counted(ids: Sequence[str], what: str) -> list[str]:
    if not ids:
        return []
    return [f"{len(ids)} item{'s' if len(ids) > 1 else ''} ({ids[0]} first) have {what}"]
