"""Metadata that lies beside a file: `song.json` with anything, `song.txt` with its prompt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sat_models.errors import AudioError, DataError

SIDECARS = (".json", ".txt")


def read_captions(path: Path) -> dict[str, Any]:
    """What the files beside an audio file say of it; the text file wins over the JSON.

    Raises:
        AudioError: One is there and cannot be read.
    """
    found: dict[str, Any] = {}
    for suffix in SIDECARS:
        sidecar = path.with_suffix(suffix)
        try:
            content = sidecar.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise AudioError(f"{sidecar}: cannot be read: {error.strerror}") from error
        found |= parse_caption(sidecar.name, content, where=str(sidecar))
    return found


def parse_caption(name: str, content: bytes, *, where: str) -> dict[str, Any]:
    """The metadata in a caption file.

    Args:
        name: Ends in .json or .txt.
        content: The file.
        where: What messages call it.

    Raises:
        AudioError: It is not UTF-8, not JSON, or not a table.
    """
    try:
        if name.endswith(".txt"):
            return {"prompt": content.decode("utf-8-sig").strip()}
        table = msgspec.json.decode(content)
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise AudioError(f"{where}: no metadata: {error}") from error
    if not isinstance(table, Mapping):
        raise AudioError(f"{where}: holds {type(table).__name__}, not a table of metadata")
    return dict(table)


def read_filelist(folder: Path, chosen: str | None) -> list[str] | None:
    """The names in a folder's file list: the one that was chosen, else its `filelist.txt`.

    Returns:
        One name per line that is not empty; None if there is no list.

    Raises:
        DataError: The chosen list is missing, or a list names nothing.
    """
    path = Path(chosen) if chosen is not None else folder / "filelist.txt"
    if not path.is_file():
        if chosen is None:
            return None
        raise DataError(f"filelist_path {path}: no such file")
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(f"{path}: the file list names nothing")
    return names
