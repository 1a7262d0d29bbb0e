"""Whether the end of a file is there, for formats whose decoders quietly do without it."""

import io
import os
from pathlib import Path

_OGG_HEADER = 27
_OGG_PAGE = _OGG_HEADER + 255 + 255 * 255
_OGG_LAST = 0x04


def ogg_is_whole(source: Path | io.BytesIO) -> bool:
    """Whether an Ogg file ends with a complete page that says it is the last (RFC 3533)."""
    tail = _tail(source, _OGG_PAGE)
    at = tail.rfind(b"OggS\0")
    if at < 0 or len(tail) < at + _OGG_HEADER:
        return False
    sizes = tail[at + _OGG_HEADER :][: tail[at + _OGG_HEADER - 1]]
    whole = len(tail) >= at + _OGG_HEADER + len(sizes) + sum(sizes)
    return whole and bool(tail[at + 5] & _OGG_LAST)


def mp3_counts_frames(source: Path | io.BytesIO) -> bool:
    """Whether an MP3 file begins with a frame that says how many follow (Xing or Info)."""
    head = _head(source, 10)
    size = 0
    if head[:3] == b"ID3" and len(head) == 10:
        size = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    frame = _head(source, size + 256)[size:]
    return b"Xing" in frame or b"Info" in frame


def _head(source: Path | io.BytesIO, count: int) -> bytes:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(count)
    return source.getvalue()[:count]


def _tail(source: Path | io.BytesIO, count: int) -> bytes:
    if isinstance(source, Path):
        with source.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - count))
            return file.read()
    return source.getvalue()[-count:]
