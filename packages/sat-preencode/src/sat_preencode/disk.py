"""Files that are there whole or not at all, and locks that the system drops with the process."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from sat_preencode.errors import StoreError

POLL_SECONDS = 0.02


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it.

    Raises:
        OSError: The disk refuses.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_new(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk; what was there before is overwritten.

    Raises:
        OSError: The disk refuses.
    """
    descriptor = create(path)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create(path: Path) -> int:
    """Open an empty file for writing."""
    binary = getattr(os, "O_BINARY", 0)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | binary, 0o666)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that `path` is there whole or not at all, even after a power cut.

    The temporary name is the same every time, so a file left by a killed process is used up.

    Raises:
        StoreError: The disk refuses.
    """
    temporary = partial(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(temporary, content)
        os.replace(temporary, path)
        sync_folder(path.parent)


def partial(path: Path) -> Path:
    """The name of a file or folder while it is being written."""
    return path.with_name(f".{path.name}.partial")


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; Windows has no way to ask for it."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Tell what the disk refuses as a person's mistake."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; what has been finished is kept, and"
            " the same command continues from there"
        ) from error


class Lock:
    """A lock on a file or folder; the death of its process frees it.

    On Windows it holds nobody off.
    """

    def __init__(self, path: Path) -> None:
        """Open `path`, which is made as an empty file if it is not there; nothing is locked yet."""
        self._path = path
        with explained(path):
            flags = os.O_RDONLY if path.is_dir() else os.O_RDONLY | os.O_CREAT
            self._descriptor: int | None = os.open(path, flags, 0o666)

    def take(self, *, shared: bool = False, patience: float = 0.0) -> bool:
        """Lock, or change the kind of lock that is held.

        A process that is killed holds its locks for a moment longer; a little patience bridges it.

        Args:
            shared: Let others have a shared lock at the same time.
            patience: Seconds to wait until it is free; may be infinite.

        Returns:
            Whether it is locked now; else another process has it.

        Raises:
            StoreError: The file system has no locks.
        """
        if sys.platform == "win32":
            return True
        import fcntl

        assert self._descriptor is not None  # noqa: S101 - nobody takes what was released
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        deadline = time.monotonic() + patience
        try:
            while True:
                try:
                    fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
                    return True
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        return False
                    time.sleep(POLL_SECONDS)
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be locked ({error.strerror}), so nothing would keep two"
                " processes from writing there; set preencode.output_path to a folder on a file"
                " system with locks"
            ) from error

    def release(self) -> None:
        """Unlock and close; a second time does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
