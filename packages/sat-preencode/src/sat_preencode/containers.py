"""What the latents of a shard lie in: a tar file, or a folder as stable-audio-tools has them.

Either is written under a temporary name, flushed to the disk and renamed. Its bytes follow from its
members and their order: no time, no owner, no place is in them.
"""

import os
import shutil
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from sat_preencode.disk import create, partial, sync_folder, write_all, write_new

Layout = Literal["wds", "sat"]
"""Tar shards as webdataset reads them, or folders of `.npy` and `.json` as SAT's loader does."""


@dataclass(frozen=True)
class Place:
    """Where a member lies.

    Attributes:
        file: The file, relative to the latent folder.
        span: First byte, and the one after the last; None for the whole file.
    """

    file: str
    span: tuple[int, int] | None


class Container(ABC):
    """A shard that is being written.

    Attributes:
        path: Its final name.
        temporary: Its name until it is finished.
    """

    layout: ClassVar[Layout]

    def __init__(self, folder: Path, *, number: int) -> None:
        """Begin; what a killed process left under the temporary name goes.

        Args:
            folder: The latent folder.
            number: The shard's number.

        Raises:
            OSError: The disk refuses.
        """
        self.path = container_path(folder, number=number, layout=self.layout)
        self.temporary = partial(self.path)
        self._begin()

    @abstractmethod
    def add(self, name: str, content: bytes) -> Place:
        """Write a member.

        Raises:
            OSError: The disk refuses.
        """

    @abstractmethod
    def finish(self) -> int:
        """Give it its final name once all of it is on the disk; returns its size in bytes.

        Raises:
            OSError: The disk refuses.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Remove what is not finished."""

    @abstractmethod
    def _begin(self) -> None: ...


class TarContainer(Container):
    """A tar file (POSIX.1-1988 ustar) whose members all have the same owner, mode and time 0."""

    layout: ClassVar[Layout] = "wds"

    def _begin(self) -> None:
        self._descriptor: int | None = create(self.temporary)
        self._size = 0

    def add(self, name: str, content: bytes) -> Place:
        """Write a member: its header, its content, and zeros up to a whole block."""
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = len(content), 0o644, 0
        start = self._size + tarfile.BLOCKSIZE
        rest = -len(content) % tarfile.BLOCKSIZE
        self._write(header.tobuf(tarfile.USTAR_FORMAT) + content + bytes(rest))
        return Place(self.path.name, (start, start + len(content)))

    def finish(self) -> int:
        """End with two blocks of zeros, and rename."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        assert self._descriptor is not None  # noqa: S101 - it is open until here
        os.fsync(self._descriptor)
        self._close()
        os.replace(self.temporary, self.path)
        sync_folder(self.path.parent)
        return self._size

    def abandon(self) -> None:
        """Remove the temporary file."""
        self._close()
        self.temporary.unlink(missing_ok=True)

    def _write(self, content: bytes) -> None:
        assert self._descriptor is not None  # noqa: S101 - nobody adds to what is finished
        write_all(self._descriptor, content)
        self._size += len(content)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class FolderContainer(Container):
    """A folder with a file for each member."""

    layout: ClassVar[Layout] = "sat"

    def _begin(self) -> None:
        if self.temporary.exists():
            shutil.rmtree(self.temporary)
        self.temporary.mkdir()
        self._size = 0

    def add(self, name: str, content: bytes) -> Place:
        """Write a file."""
        write_new(self.temporary / name, content)
        self._size += len(content)
        return Place(f"{self.path.name}/{name}", None)

    def finish(self) -> int:
        """Rename, in place of a folder that was not known to be finished."""
        sync_folder(self.temporary)
        if self.path.exists():
            shutil.rmtree(self.path)
        os.rename(self.temporary, self.path)
        sync_folder(self.path.parent)
        return self._size

    def abandon(self) -> None:
        """Remove the temporary folder."""
        shutil.rmtree(self.temporary, ignore_errors=True)


LAYOUTS: Mapping[Layout, type[Container]] = {
    kind.layout: kind for kind in (TarContainer, FolderContainer)
}


def begin_container(folder: Path, *, number: int, layout: Layout) -> Container:
    """Begin a shard in the given layout.

    Raises:
        OSError: The disk refuses.
    """
    return LAYOUTS[layout](folder, number=number)


def container_path(folder: Path, *, number: int, layout: Layout) -> Path:
    """Where a shard lies: `000012.tar`, or the folder `000012`."""
    return folder / (f"{number:06d}.tar" if layout == "wds" else f"{number:06d}")


def size_of(path: Path) -> int | None:
    """Bytes in a shard, or None if it is not there."""
    try:
        if path.is_dir():
            return sum(child.stat().st_size for child in path.iterdir())
        return path.stat().st_size
    except FileNotFoundError:
        return None


def remove(path: Path) -> None:
    """Remove a shard, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
