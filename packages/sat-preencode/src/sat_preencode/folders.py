"""Finished latent folders: look into them, check them, join them."""

import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sat_models.data.latent_details import DETAILS, MANIFEST
from sat_models.data.latent_files import BFLOAT16, to_float
from sat_preencode.errors import StoreError
from sat_preencode.settings import Details
from sat_preencode.store import Entry, LatentStore, read_folder


@dataclass(frozen=True)
class Statistics:
    """What a folder holds.

    Attributes:
        items: How many latents.
        seconds: Audio in them.
        size: Bytes of latents on the disk.
        datasets: Items by the id of their dataset.
        mean: Of all values of frames that hold audio.
        deviation: Their standard deviation.
        lowest: The lowest of them.
        highest: The highest.
        channel_deviations: Lowest and highest standard deviation of a channel.
    """

    items: int
    seconds: float
    size: int
    datasets: dict[str, int]
    mean: float
    deviation: float
    lowest: float
    highest: float
    channel_deviations: tuple[float, float]

    def lines(self) -> list[str]:
        """The same in words."""
        shares = ", ".join(f"{name} ({count})" for name, count in self.datasets.items())
        low, high = self.channel_deviations
        return [
            f"items      {self.items}, {self.seconds / 3600:.2f} h of audio,"
            f" {self.size / 1e6:,.1f} MB",
            f"datasets   {shares}",
            f"values     mean {self.mean:.4f}, standard deviation {self.deviation:.4f},"
            f" {self.lowest:.3f} to {self.highest:.3f}",
            f"channels   standard deviations {low:.4f} to {high:.4f}",
        ]


def describe(folder: Path) -> Statistics:
    """Read all latents of a finished folder and sum them up.

    Raises:
        StoreError: It is no finished latent folder, or a latent is damaged.
    """
    details, entries = read_folder(folder)
    count, total, squares = 0, np.zeros(details.stored_channels), np.zeros(details.stored_channels)
    lowest, highest, size = np.inf, -np.inf, 0
    for entry in entries:
        content = (folder / entry.file).read_bytes()
        stored = _array(content, folder / entry.file)[:, : entry.valid_frames]
        values = to_float(stored, bfloat16=details.dtype == BFLOAT16).double().numpy()
        count, size = count + values.shape[1], size + len(content)
        total, squares = total + values.sum(axis=1), squares + np.square(values).sum(axis=1)
        lowest, highest = min(lowest, values.min()), max(highest, values.max())
    means = total / count
    variances = np.maximum(squares / count - means**2, 0)
    overall = squares.sum() / (count * len(means)) - means.mean() ** 2
    deviations = np.sqrt(variances)
    return Statistics(
        items=len(entries),
        seconds=sum(entry.num_samples for entry in entries) / details.sample_rate,
        size=size,
        datasets=dict(Counter(entry.dataset for entry in entries)),
        mean=float(means.mean()),
        deviation=float(np.sqrt(max(overall, 0.0))),
        lowest=float(lowest),
        highest=float(highest),
        channel_deviations=(float(deviations.min()), float(deviations.max())),
    )


def verify(folder: Path) -> Iterator[str]:
    """What is wrong with a finished folder, one sentence each: nothing, if it is as it was written.

    Raises:
        StoreError: It is no finished latent folder.
    """
    details, entries = read_folder(folder)
    for entry in entries:
        yield from _faults(folder, entry, channels=details.stored_channels)
    known = {entry.file for entry in entries}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.npy")}
    for name in sorted(found - known):
        yield f"{folder / name}: is not in the manifest; nobody reads it"


def merge(output: Path, folders: Sequence[Path]) -> int:
    """Join finished folders whose settings agree, such as those of machines that shared nothing.

    Files are linked where the disk allows it, else copied. A folder that was joined before, or an
    item that several folders hold in the same form, changes nothing.

    Args:
        output: The folder to make, or to add to.
        folders: What goes in.

    Returns:
        Items in `output` now.

    Raises:
        StoreError: Settings differ, an item is there in two forms, or a folder is not finished or
            is damaged.
    """
    read = [(folder, *read_folder(folder)) for folder in folders]
    first: Details = read[0][1]
    store = LatentStore(output, channels=first.stored_channels)
    with store.locked():
        for _, details, _ in read:
            store.claim(details)
        entries: dict[str, Entry] = {}
        if (output / MANIFEST).is_file():
            entries = {entry.id: entry for entry in read_folder(output)[1]}
        (output / MANIFEST).unlink(missing_ok=True)
        for folder, details, found in read:
            for entry in found:
                _refuse_other(entries.get(entry.id), entry, folder)
                if entry.id not in entries:
                    _take(entry, folder, output, channels=details.stored_channels)
                entries[entry.id] = entry
        store.write_manifest(entries.values())
    return len(entries)


def _refuse_other(there: Entry | None, entry: Entry, folder: Path) -> None:
    if there is not None and there != entry:
        raise StoreError(
            f"{folder}: {entry.id} has other content than the item of that name in another folder;"
            " give datasets that differ another id, and encode one of them again"
        )


def _take(entry: Entry, folder: Path, output: Path, *, channels: int) -> None:
    for fault in _faults(folder, entry, channels=channels):
        raise StoreError(f"{fault}; run sat-preencode there again, which mends it")
    for name in (entry.file, str(Path(entry.file).with_suffix(".json"))):
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.partial")
        temporary.unlink(missing_ok=True)
        try:
            os.link(folder / name, temporary)
        except OSError:  # another disk
            shutil.copyfile(folder / name, temporary)
        os.replace(temporary, target)


def _faults(folder: Path, entry: Entry, *, channels: int) -> Iterator[str]:
    path = folder / entry.file
    try:
        content = path.read_bytes()
        sidecar = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=dict[str, Any])
    except OSError as error:
        yield f"{error.filename}: {error.strerror}"
        return
    except msgspec.MsgspecError as error:
        yield f"{path.with_suffix('.json')}: {error}"
        return
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        yield f"{path}: is not what was written: its SHA-256 differs"
        return
    columns = msgspec.to_builtins(entry)
    changed = [key for key, value in columns.items() if sidecar.get(key) != value]
    if changed:
        yield f"{path.with_suffix('.json')}: does not agree with the manifest: {', '.join(changed)}"
    array = _array(content, path)
    if array.shape != (channels, entry.frames):
        yield f"{path}: has shape {array.shape}, not {(channels, entry.frames)}"
    elif array.dtype.kind == "f" and not np.isfinite(array).all():
        yield f"{path}: holds values that are not finite"


def _array(content: bytes, path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise StoreError(
            f"{path}: no array: {error}; {DETAILS} says how to make it again"
        ) from error
    return array
