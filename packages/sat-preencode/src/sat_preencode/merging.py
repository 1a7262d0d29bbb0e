"""Join the folders of machines that shared nothing."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import msgspec

from sat_preencode.containers import container_path, remove
from sat_preencode.disk import explained, partial, sync_folder, write_whole
from sat_preencode.errors import StoreError
from sat_preencode.folders import shard_faults
from sat_preencode.records import (
    Entry,
    Record,
    fingerprint,
    read_folder,
    read_plan,
    read_record,
    record_path,
)
from sat_preencode.settings import Details
from sat_preencode.shards import Row
from sat_preencode.store import LatentStore


@dataclass(frozen=True)
class Part:
    """A shard of a folder, and which it becomes.

    Attributes:
        folder: Where it is.
        number: Its number there.
        becomes: Its number in the joined folder.
    """

    folder: Path
    number: int
    becomes: int


def merge(output: Path, folders: Sequence[Path]) -> int:
    """Join finished folders whose settings agree, such as those of machines that shared nothing.

    Shards get new numbers and keep their bytes; files are linked where the disk allows it, else
    copied. The plan of the joined folder comes first, so that a merge that was interrupted goes on
    when it is asked for again. A folder that was joined before changes nothing.

    Args:
        output: The folder to make, or to add to.
        folders: What goes in.

    Returns:
        Items in `output` now.

    Raises:
        StoreError: Settings differ, an item is there in two forms or in two shards, or a folder is
            not finished or is damaged.
    """
    read = {folder: read_folder(folder)[0] for folder in folders}
    details = _common(read)
    store = LatentStore(output, details=details, on_change="error")
    with store.opened():
        planned = _by_shard(read_plan(output))
        parts = [part for folder in folders for part in _place(folder, planned)]
        store.adopt([row for rows in planned.values() for row in rows])
        for part in parts:
            there = store.record(part.becomes, planned[part.becomes])
            _take(part, output, planned[part.becomes], there, details=details)
        records = store.finish(planned)
    if records is None:
        raise StoreError(
            f"{output} is not finished: it has shards of its own that are still to be encoded; give"
            " the command that made it again, then merge"
        )
    return sum(len(record.entries) for record in records.values())


def _common(read: dict[Path, Details]) -> Details:
    """The details of the joined folder, which are those of the first."""
    first, *others = read
    for folder in others:
        if differences := read[first].differences(read[folder]):
            listed = "\n".join(f"  {line}" for line in differences)
            raise StoreError(
                f"{folder} (there) and {first} (now) hold latents of other settings:\n{listed}\n"
                "Join only folders that were made with the same"
            )
    return read[first]


def _place(folder: Path, planned: dict[int, tuple[Row, ...]]) -> Iterator[Part]:
    """Give each shard of a folder a number, which is a new one if its items are not there yet."""
    where = {row.id: number for number, rows in planned.items() for row in rows}
    for number, rows in _by_shard(read_plan(folder)).items():
        found = {where.get(row.id) for row in rows}
        becomes = found.pop() if len(found) == 1 else -1
        if becomes is None:
            becomes = max(planned, default=-1) + 1
            planned[becomes] = _renumbered(rows, becomes)
        elif planned.get(becomes) != _renumbered(rows, becomes):
            twice = next(row.id for row in rows if row.id in where)
            raise StoreError(
                f"{folder}: {twice} has other content than the item of that name in another"
                " folder, or other company in its shard; give datasets that differ another id, and"
                " encode one of them again without what is in the other"
            )
        yield Part(folder, number, becomes)


def _take(
    part: Part, output: Path, rows: Sequence[Row], there: Record | None, *, details: Details
) -> None:
    record = read_record(part.folder, part.number)
    if record is None:
        raise StoreError(f"{part.folder}: shard {part.number:06d} has no record; {MENDING}")
    for fault in shard_faults(part.folder, record.entries, details=details):
        raise StoreError(f"{fault}; {MENDING}")
    moved = _moved(record, rows, part, details=details)
    if there is not None and there != moved:
        raise StoreError(
            f"{part.folder}: shard {part.number:06d} has other content than shard"
            f" {part.becomes:06d} of {output}, which holds the same items; leave one of them out"
        )
    if there is None:
        source = container_path(part.folder, number=part.number, layout=details.layout)
        target = container_path(output, number=part.becomes, layout=details.layout)
        _link(source, target)
        write_whole(record_path(output, part.becomes), msgspec.json.encode(moved) + b"\n")


MENDING = "remove the shard and give the command that made it again, which makes it anew"


def _moved(record: Record, rows: Sequence[Row], part: Part, *, details: Details) -> Record:
    """What is said of a shard under its new number."""
    names = [
        container_path(Path(), number=number, layout=details.layout).name
        for number in (part.number, part.becomes)
    ]
    entries = tuple(_at(entry, part.becomes, names) for entry in record.entries)
    return msgspec.structs.replace(record, plan=fingerprint(rows), entries=entries)


def _at(entry: Entry, number: int, names: Sequence[str]) -> Entry:
    file = names[1] + entry.file.removeprefix(names[0])
    return msgspec.structs.replace(entry, shard=number, file=file)


def _link(source: Path, target: Path) -> None:
    temporary = partial(target)
    with explained(target):
        remove(temporary)
        remove(target)
        if source.is_dir():
            shutil.copytree(source, temporary, copy_function=_link_file)
        else:
            _link_file(source, temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)


def _link_file(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copyfile(source, target)


def _by_shard(rows: Sequence[Row]) -> dict[int, tuple[Row, ...]]:
    return {number: tuple(group) for number, group in groupby(rows, key=lambda row: row.shard)}


def _renumbered(rows: Sequence[Row], number: int) -> tuple[Row, ...]:
    return tuple(msgspec.structs.replace(row, shard=number) for row in rows)
