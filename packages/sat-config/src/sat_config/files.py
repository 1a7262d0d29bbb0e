"""Writing files: whole or not at all."""

import os


def write_whole(path: str, text: str) -> None:
    """Write a text under its name only when all of it is on disk.

    Raises:
        OSError: The folder is missing, not writable, or full; the old file is then as it was.
    """
    import tempfile  # which takes 3 ms

    folder = os.path.dirname(path) or "."
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
