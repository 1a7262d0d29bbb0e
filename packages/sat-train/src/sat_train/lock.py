"""One process at a time trains in a run folder."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sat_config import UserError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a run folder, for as long as this one lives.

    The lock is the process's own: worker processes do not inherit it, and it goes with the process.

    Raises:
        UserError: Another process trains there.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(handle, 200).decode(errors="replace").strip()
            raise UserError(
                f"another process ({owner}) trains in {folder}: wait until it ends, or start a run"
                " of its own: recover = false"
            ) from error
        os.truncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
