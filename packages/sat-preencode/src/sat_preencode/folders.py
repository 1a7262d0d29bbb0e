"""Finished latent folders: look into them and check them."""

import hashlib
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np
from jaxtyping import Shaped

from sat_config.errors import UserError
from sat_models.data.latent_files import BFLOAT16, Span, load_array, to_float
from sat_models.data.storage import LocalStorage
from sat_preencode.containers import container_path
from sat_preencode.plan import Item
from sat_preencode.records import Entry, key_of, read_folder, read_plan, read_record
from sat_preencode.settings import Details


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
        UserError: It is no finished latent folder, or a latent is damaged.
    """
    details, entries = read_folder(folder)
    count, total, squares = 0, np.zeros(details.stored_channels), np.zeros(details.stored_channels)
    lowest, highest, size = np.inf, -np.inf, 0
    for entry in entries:
        content = stored_values(folder, entry)
        array = as_floats(content, entry, folder=folder, details=details)
        values = array[:, : entry.valid_frames].astype(np.float64)
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
    listed = {number: list(group) for number, group in groupby(entries, key=lambda e: e.shard)}
    for number, rows in groupby(read_plan(folder), key=lambda row: row.shard):
        found = listed.pop(number, [])
        record = read_record(folder, number)
        path = container_path(folder, number=number, layout=details.layout)
        if record is None or list(record.entries) != found:
            yield f"{path}: its record does not agree with the manifest"
        planned = [row.id for row in rows]
        known = {entry.id for entry in found}
        known |= {left.id for left in record.left_out} if record else set()
        if missing := [name for name in planned if name not in known]:
            yield f"{path}: lacks {len(missing)} planned items, {missing[0]} first"
        yield from shard_faults(folder, found, details=details)
        yield from _strays(path, found)
    for number in listed:
        yield f"shard {number:06d} is in the manifest and not in the plan"


def shard_faults(folder: Path, entries: Sequence[Entry], *, details: Details) -> Iterator[str]:
    """What is wrong with the items of a shard, one sentence each."""
    for entry in entries:
        where = f"{folder / entry.file}: {entry.id}"
        try:
            faults = list(_faults(folder, entry, details))
        except UserError as error:
            faults = [str(error)]
        yield from (f"{where}: {fault}" for fault in faults)


def stored_values(folder: Path, entry: Entry) -> bytes:
    """The latents of an item as they are stored, in NumPy's format.

    Raises:
        DataError: They cannot be read.
    """
    return Span(entry.file, *(entry.values or ())).read(LocalStorage(str(folder)))


def stored_metadata(folder: Path, entry: Entry) -> bytes:
    """The metadata of an item as they are stored, in JSON.

    Raises:
        DataError: They cannot be read.
    """
    beside = Span(str(Path(entry.file).with_suffix(".json")))
    span = Span(entry.file, *entry.metadata) if entry.metadata else beside
    return span.read(LocalStorage(str(folder)))


def as_floats(
    content: bytes, entry: Entry, *, folder: Path, details: Details
) -> Shaped[np.ndarray, "d l"]:
    """Stored latents as float32; codes as they are.

    Raises:
        DataError: They are no array.
    """
    array = load_array(content, where=str(folder / entry.file))
    if array.dtype.kind == "i":
        return array
    return to_float(array, bfloat16=details.dtype == BFLOAT16).numpy()


def _faults(folder: Path, entry: Entry, details: Details) -> Iterator[str]:
    content, table = stored_values(folder, entry), stored_metadata(folder, entry)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        yield "is not what was written: its SHA-256 differs"
        return
    if hashlib.sha256(table).hexdigest() != entry.metadata_file_sha256:
        yield "its metadata are not what was written: their SHA-256 differs"
        return
    metadata = msgspec.json.decode(table, type=dict[str, object])
    columns = {name: msgspec.to_builtins(getattr(entry, name)) for name in Item.__struct_fields__}
    if changed := [key for key, value in columns.items() if metadata.get(key) != value]:
        yield f"its metadata do not agree with the manifest: {', '.join(changed)}"
    array = as_floats(content, entry, folder=folder, details=details)
    if array.shape != (details.stored_channels, entry.frames):
        yield f"has shape {array.shape}, not {(details.stored_channels, entry.frames)}"
    elif not np.isfinite(array).all():
        yield "holds values that are not finite"


def _strays(path: Path, entries: Sequence[Entry]) -> Iterator[str]:
    """Members of a shard that nobody reads by the manifest, but that other programs would."""
    expected = {name for entry in entries for name in _members(entry)}
    try:
        if path.is_dir():
            found = sorted(child.name for child in path.iterdir())
        else:
            with tarfile.open(path) as tar:
                found = [
                    f"{member.name} at {member.offset_data}, {member.size} bytes" for member in tar
                ]
    except (OSError, tarfile.TarError) as error:
        yield f"{path}: cannot be listed: {error}"
        return
    yield from (
        f"{path}: holds {name}, which is not in the manifest"
        for name in found
        if name not in expected
    )


def _members(entry: Entry) -> Iterator[str]:
    key = key_of(entry.id)
    for ending, span in (("npy", entry.values), ("json", entry.metadata)):
        place = f" at {span[0]}, {span[1] - span[0]} bytes" if span else ""
        yield f"{key}.{ending}{place}"
