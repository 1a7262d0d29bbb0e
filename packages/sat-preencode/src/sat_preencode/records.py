"""What a latent folder says about its shards and items."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from sat_config.node import Node
from sat_models.data.latent_details import DETAILS, FORMAT, MANIFEST, VERSION
from sat_preencode.containers import Layout
from sat_preencode.errors import StoreError
from sat_preencode.settings import Details
from sat_preencode.shards import Row

PLAN = "plan.jsonl"

AnyRow = TypeVar("AnyRow", bound=Row)


class Entry(Row, kw_only=True):
    """A finished item: a line of the manifest.

    Attributes:
        file: What holds its latents, relative to the folder: a tar file, or one of its own.
        values: First byte, and the one after the last, of the latents in a tar file.
        metadata: The same of the metadata; else they lie beside the latents and end in `.json`.
        sha256: Of the latents, as they are stored.
        metadata_file_sha256: Of the metadata, as they are stored.
    """

    file: str
    values: tuple[int, int] | None
    metadata: tuple[int, int] | None
    sha256: str
    metadata_file_sha256: str


class LeftOut(Node, kw_only=True):
    """An item of a finished shard that could not be read.

    Attributes:
        id: The item.
        path: Its audio file.
        reason: Why.
    """

    id: str
    path: str
    reason: str


class Record(Node, kw_only=True):
    """What is written beside a shard when it is finished.

    Attributes:
        layout: What its latents lie in.
        size: Bytes of the shard.
        plan: Fingerprint of its lines of the plan.
        entries: Its items, in order.
        left_out: Items that could not be read.
    """

    layout: Layout
    size: int
    plan: str
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]


def fingerprint(rows: Sequence[Row]) -> str:
    """Of some lines of a plan."""
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()


def lines(rows: Sequence[Row]) -> bytes:
    """Lines of JSON."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def key_of(item_id: str) -> str:
    """What an item's files are called: no other item of any folder has the same."""
    return hashlib.sha256(item_id.encode()).hexdigest()[:16]


def record_path(folder: Path, number: int) -> Path:
    """Where it is said that a shard is finished."""
    return folder / f"{number:06d}.json"


def read_record(folder: Path, number: int) -> Record | None:
    """What is said of a finished shard; None if it is not finished, or nobody can read it."""
    try:
        content = record_path(folder, number).read_bytes()
        return msgspec.json.decode(content, type=Record)
    except (OSError, msgspec.MsgspecError):
        return None


def read_plan(folder: Path) -> list[Row]:
    """The plan of a folder; empty if it has none yet.

    Raises:
        StoreError: It is damaged.
    """
    return _read_lines(folder / PLAN, Row) if (folder / PLAN).exists() else []


def read_folder(folder: Path) -> tuple[Details, list[Entry]]:
    """What a finished folder says of itself, and its items in order.

    Raises:
        StoreError: It is no latent folder, not finished, or its list is damaged.
    """
    if not (folder / DETAILS).is_file():
        raise StoreError(f"{folder} is no latent folder: it has no {DETAILS}")
    details = read_details(folder / DETAILS, way_out="encode again into another folder")
    if not (folder / MANIFEST).is_file():
        raise StoreError(
            f"{folder} has no {MANIFEST}: it is not finished; give the command that made it again"
        )
    return details, _read_lines(folder / MANIFEST, Entry)


def _read_lines(path: Path, kind: type[AnyRow]) -> list[AnyRow]:
    decoder = msgspec.json.Decoder(kind)
    try:
        return [decoder.decode(line) for line in path.read_bytes().splitlines()]
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"{path} is damaged ({error}); remove it and give the command that made it again"
        ) from error


class _Known(msgspec.Struct):
    """The part of `details.json` that every version must have."""

    format: str
    version: int


def read_details(path: Path, *, way_out: str) -> Details:
    """Read a `details.json`.

    Raises:
        StoreError: It is damaged, or not one of this version; `way_out` says what to do.
    """
    content = path.read_bytes()
    try:
        known = msgspec.json.decode(content, type=_Known)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"{path} does not describe a latent folder ({error}); {way_out}"
        ) from error
    if (known.format, known.version) != (FORMAT, VERSION):
        raise StoreError(
            f"{path} describes {known.format} version {known.version}; this program writes {FORMAT}"
            f" version {VERSION}; {way_out}"
        )
    try:
        return msgspec.json.decode(content, type=Details)
    except msgspec.DecodeError as error:
        raise StoreError(f"{path} is damaged ({error}); {way_out}") from error
