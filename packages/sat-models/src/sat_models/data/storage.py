"""Files of a dataset, in a folder or in a bucket: listed, and read in parts.

Only this module knows where bytes come from; everything above it says which ones it wants.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sat_config.errors import MissingExtraError
from sat_models.errors import DataError

if TYPE_CHECKING:
    import s3fs

# Headers of a tar file are read through this much read-ahead.
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there.

    Attributes:
        name: Its path within the storage, with forward slashes.
        size: Bytes.
        stamp: Changes when the content does: the time of the last change, or a bucket's tag.
    """

    name: str
    size: int
    stamp: str


class Storage(ABC):
    """A place that holds files.

    Attributes:
        location: The folder or the bucket's prefix, as messages name it.
    """

    location: str

    @abstractmethod
    def find(self, suffixes: Collection[str]) -> list[Found]:
        """All files whose name ends in one of the suffixes (in lower case), sorted by name.

        Raises:
            DataError: The place cannot be listed.
        """

    @abstractmethod
    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """Some bytes of a file; all from `start` on if `stop` is None.

        Raises:
            OSError: They cannot be had.
        """

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """A file to seek in."""

    def where(self, name: str) -> str:
        """What messages call a file."""
        return f"{self.location.rstrip('/')}/{name}"


@dataclass(frozen=True)
class LocalStorage(Storage):
    """A folder, with all below it; links are followed, names that start with a dot are not seen."""

    location: str

    def find(self, suffixes: Collection[str]) -> list[Found]:
        """All files whose name ends in one of the suffixes, sorted by name."""
        if not os.path.isdir(self.location):
            raise DataError(f"{self.location} is not a folder; correct its path")
        endings = tuple(suffixes)
        return sorted(_scan(self.location, "", endings, set()), key=lambda found: found.name)

    def stat(self, name: str) -> Found:
        """One file; size and stamp are those of nothing if it is not there."""
        try:
            status = os.stat(os.path.join(self.location, name))
        except OSError:  # opening it will say so
            return Found(name, 0, "")
        return Found(name, status.st_size, str(status.st_mtime_ns))

    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """Some bytes of a file."""
        with self.open(name) as file:
            file.seek(start)
            return file.read(-1 if stop is None else stop - start)

    def open(self, name: str) -> IO[bytes]:
        """A file to seek in."""
        return Path(self.location, name).open("rb")


@dataclass(frozen=True)
class S3Storage(Storage):
    """A prefix of a bucket.

    Attributes:
        location: `s3://bucket/prefix`.
        profile: Credentials profile; None takes what the machine offers.
    """

    location: str
    profile: str | None

    def find(self, suffixes: Collection[str]) -> list[Found]:
        """All objects whose name ends in one of the suffixes, sorted by name."""
        root = self.location.removeprefix("s3://").rstrip("/")
        try:
            listed = self._files().find(root, detail=True)
        except _refusals() as error:
            raise DataError(
                f"{self.location}: cannot be listed: {error}; check the address, the profile and"
                " its rights"
            ) from error
        found = []
        for path, facts in listed.items():
            name = str(path)[len(root) :].lstrip("/")
            if name.lower().endswith(tuple(suffixes)) and not name.rpartition("/")[2].startswith(
                "."
            ):
                stamp = str(facts.get("ETag") or facts.get("LastModified"))
                found.append(Found(name, int(facts["size"]), stamp))
        return sorted(found, key=lambda each: each.name)

    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """Some bytes of an object."""
        try:
            content: bytes = self._files().cat_file(self.where(name), start=start, end=stop)
        except _refusals() as error:
            raise OSError(str(error)) from error
        return content

    def open(self, name: str) -> IO[bytes]:
        """An object to seek in."""
        file: IO[bytes] = self._files().open(
            self.where(name), "rb", block_size=_BLOCK, cache_type="readahead"
        )
        return file

    def _files(self) -> "s3fs.S3FileSystem":
        # Per process: connections do not survive a fork.
        return _file_system(self.profile, os.getpid())


def storage_for(location: str, *, profile: str | None = None) -> Storage:
    """The storage of a folder or of an `s3://` prefix."""
    if location.startswith("s3://"):
        return S3Storage(location, profile)
    return LocalStorage(location)


@lru_cache
def _file_system(profile: str | None, _process: int) -> "s3fs.S3FileSystem":
    try:
        import s3fs
    except ImportError as error:
        raise MissingExtraError(
            "reading from s3:// needs s3fs: pip install 'sat-models[s3]'"
        ) from error
    return s3fs.S3FileSystem(profile=profile, skip_instance_cache=True, use_listings_cache=False)


def _refusals() -> tuple[type[Exception], ...]:
    """What a bucket's library raises when it cannot do what it is asked."""
    from botocore.exceptions import BotoCoreError

    return (OSError, BotoCoreError)


def _scan(
    root: str, prefix: str, endings: tuple[str, ...], seen: set[tuple[int, int]]
) -> Iterator[Found]:
    folder = os.path.join(root, prefix)
    try:
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            return  # a link that leads back
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{error.filename}: the folder cannot be listed: {error.strerror}"
        ) from error
    for entry in listed:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _scan(root, f"{prefix}{entry.name}/", endings, seen)
        elif entry.name.lower().endswith(endings):
            yield _found(entry, prefix)


def _found(entry: "os.DirEntry[str]", prefix: str) -> Found:
    try:
        status = entry.stat()
    except OSError:  # a link to nothing: opening it will say so
        return Found(prefix + entry.name, 0, "")
    return Found(prefix + entry.name, status.st_size, str(status.st_mtime_ns))
