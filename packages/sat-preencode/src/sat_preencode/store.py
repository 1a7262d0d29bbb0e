"""The latent folder: whole files only, and a restart finds out what is there by looking.

A file is written under a temporary name, flushed to the disk and then renamed, the latent before
its sidecar, so an item whose sidecar agrees with it is finished, whenever the process was killed.
One process writes at a time; a lock on the folder, which the system drops with the process, sees to
it.
"""

import hashlib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Shaped

from sat_models.data.latent_details import DETAILS, FORMAT, MANIFEST, VERSION
from sat_preencode.errors import StoreError
from sat_preencode.plan import Item
from sat_preencode.settings import Details, Settings
from sat_preencode.share import ALL, Share

BAD_FILES = "bad_files.jsonl"


class Entry(Item, kw_only=True):
    """A finished item: a line of the manifest, and part of the latent's sidecar.

    Attributes:
        sha256: Of the latent's file.
    """

    sha256: str


class _Known(msgspec.Struct):
    """The part of `details.json` that every version must have."""

    format: str
    version: int


class _ShareNote(msgspec.Struct):
    """What a process says when it has done its part."""

    plan: str
    unreadable: tuple[str, ...]


class LatentStore:
    """A latent folder, open for writing."""

    def __init__(self, folder: Path, *, channels: int) -> None:
        """Use `folder`; nothing is touched yet.

        Args:
            folder: Where the latents go; created when first needed.
            channels: Channels of what is stored.
        """
        self.folder = folder
        self.channels = channels

    @contextmanager
    def locked(self, share: Share = ALL) -> Iterator[None]:
        """Keep processes from writing to the folder that do not divide the work with this one.

        Args:
            share: Which part of the work is this process's.

        Raises:
            StoreError: Another process writes there, or the folder cannot be made.
        """
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with _lock(self.folder, shared=not share.alone):
            if share.alone:
                yield
                return
            own = self.folder / f".share-{share.rank}-of-{share.processes}.lock"
            own.touch()
            with _lock(own, shared=False):
                yield

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Wait until no process that shares the work is in such a block: for files of them all."""
        path = self.folder / ".shared.lock"
        path.touch()
        with _lock(path, shared=False, wait=True):
            yield

    def note_share(self, share: Share, *, plan: str, unreadable: Sequence[str]) -> None:
        """Say that this process has done its part.

        Args:
            share: Its part.
            plan: Fingerprint of what was divided.
            unreadable: Ids of its items that are left out.
        """
        note = _ShareNote(plan=plan, unreadable=tuple(unreadable))
        write_whole(self._note(share.rank, share.processes), msgspec.json.encode(note))

    def shares_done(self, processes: int, *, plan: str) -> set[str] | None:
        """Ids that are left out, once all processes have done their parts of a plan; else None."""
        unreadable: set[str] = set()
        for rank in range(processes):
            try:
                content = self._note(rank, processes).read_bytes()
            except FileNotFoundError:
                return None
            note = msgspec.json.decode(content, type=_ShareNote)
            if note.plan != plan:
                return None
            unreadable.update(note.unreadable)
        return unreadable

    def forget_shares(self) -> None:
        """Remove what the processes noted, once the folder is complete."""
        for path in self.folder.glob(".share-*.json"):
            path.unlink(missing_ok=True)

    def _note(self, rank: int, processes: int) -> Path:
        return self.folder / f".share-{rank}-of-{processes}.json"

    def claim(self, details: Details) -> None:
        """Make the folder this run's, or refuse.

        Args:
            details: What this run would write; `details.json` is replaced when settings agree.

        Raises:
            StoreError: The folder holds something else, or latents of other settings.
        """
        path = self.folder / DETAILS
        if path.exists():
            way_out = "set preencode.output_path to another folder"
            self._compare(_read_details(path, way_out=way_out).settings, details.settings)
        elif any(not child.name.startswith(".") for child in self.folder.iterdir()):
            raise StoreError(
                f"{self.folder} is not empty and has no {DETAILS}, so it is no latent folder; set"
                " preencode.output_path to a new or empty one"
            )
        content = msgspec.json.format(msgspec.json.encode(details), indent=2) + b"\n"
        if not path.exists() or path.read_bytes() != content:
            write_whole(path, content)

    def find(self, item: Item) -> Entry | None:
        """The finished item as the folder has it, or None if it has to be made (again)."""
        path = self.folder / item.file
        try:
            table = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=dict[str, Any])
            columns = {key: table[key] for key in Entry.__struct_fields__}
            entry = msgspec.convert(columns, Entry)
            content = path.read_bytes()
            shape = np.load(io.BytesIO(content), allow_pickle=False).shape
        except (OSError, ValueError, EOFError, KeyError):  # msgspec's errors are ValueErrors
            return None
        expected = Entry(**msgspec.structs.asdict(item), sha256=hashlib.sha256(content).hexdigest())
        return entry if entry == expected and shape == (self.channels, item.frames) else None

    def write(
        self, item: Item, latents: Shaped[np.ndarray, "d l"], *, metadata: Mapping[str, Any]
    ) -> Entry:
        """Write one item, latent first; a manifest that is there is out of date and goes.

        Args:
            item: What it is.
            metadata: What is said of it, for conditioners; the manifest's columns are added.
            latents: Its latents; stored in the number format that they have.

        Raises:
            StoreError: The disk refuses.
            ValueError: The latents do not have the shape that the plan expects.
        """
        if latents.shape != (self.channels, item.frames):
            raise ValueError(
                f"{item.id}: latents of shape {(self.channels, item.frames)} expected, got"
                f" {latents.shape}"
            )
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(latents), allow_pickle=False)
        content = buffer.getvalue()
        entry = Entry(**msgspec.structs.asdict(item), sha256=hashlib.sha256(content).hexdigest())
        path = self.folder / item.file
        (self.folder / MANIFEST).unlink(missing_ok=True)
        write_whole(path, content)
        table = {**metadata, **msgspec.structs.asdict(entry)}
        write_whole(path.with_suffix(".json"), msgspec.json.encode(table) + b"\n")
        return entry

    def write_manifest(self, entries: Iterable[Entry]) -> None:
        """Write the list of all items, sorted by id: the sign that the folder is complete.

        Raises:
            StoreError: The disk refuses.
        """
        lines = [msgspec.json.encode(entry) for entry in sorted(entries, key=lambda e: e.id)]
        write_whole(self.folder / MANIFEST, b"".join(line + b"\n" for line in lines))

    def _compare(self, theirs: Settings, ours: Settings) -> None:
        if differences := ours.differences(theirs):
            listed = "\n".join(f"  {line}" for line in differences)
            raise StoreError(
                f"{self.folder} holds latents of other settings:\n{listed}\nEither set"
                " preencode.output_path to another folder, or restore these settings to continue"
                " this one"
            )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that `path` is there whole or not at all, even after a power cut.

    The temporary name is the same every time, so a file left by a killed process is used up.

    Raises:
        StoreError: The disk refuses.
    """
    temporary = path.with_name(f".{path.name}.partial")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


@contextmanager
def _lock(path: Path, *, shared: bool, wait: bool = False) -> Iterator[None]:
    """Hold a lock that the system drops with the process."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(path, os.O_RDONLY)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            folder = path if path.is_dir() else path.parent
            raise StoreError(
                f"another process is writing to {folder}; wait until it ends, or set"
                " preencode.output_path to another folder"
            ) from None
        yield
    finally:
        os.close(handle)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; what has been written is kept, and"
            " the same command continues from there"
        ) from error


def read_folder(folder: Path) -> tuple[Details, list[Entry]]:
    """What a finished folder says of itself, and its items, sorted by id.

    Raises:
        StoreError: It is no latent folder, not finished, or its list is damaged.
    """
    if not (folder / DETAILS).is_file():
        raise StoreError(f"{folder} is no latent folder: it has no {DETAILS}")
    details = _read_details(folder / DETAILS, way_out="encode again into another folder")
    path = folder / MANIFEST
    if not path.is_file():
        raise StoreError(
            f"{folder} has no {MANIFEST}: it is not finished; give the command that made it again"
        )
    decoder = msgspec.json.Decoder(Entry)
    try:
        return details, [decoder.decode(line) for line in path.read_bytes().splitlines()]
    except msgspec.DecodeError as error:
        raise StoreError(
            f"{path} is damaged ({error}); give the command that made it again"
        ) from error


def _read_details(path: Path, *, way_out: str) -> Details:
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
