"""The audio files of an experiment's dataset, with their lengths, content and captions."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sat_config.audio.dataset import AudioDirNode
from sat_models.data.audio_dir import AudioFile, find_audio, learn_lengths
from sat_models.data.captions import read_captions
from sat_models.data.content import content_hashes
from sat_models.data.ledger import Ledger
from sat_models.errors import AudioError, DataError
from sat_preencode.plan import Source


def find_sources(
    node: AudioDirNode,
    *,
    sample_rate: int,
    channels: int,
    ledger: Ledger,
    stop: Callable[[], bool],
) -> list[Source]:
    """All files that can be opened, in order; the others go to the ledger.

    Args:
        node: Folders of audio.
        sample_rate: Hz that lengths are counted at.
        channels: Channels that files will be mixed to.
        ledger: Where files that cannot be read are written down.
        stop: Asked after each file whether to stop looking.

    Raises:
        DataError: A folder is missing or holds nothing to open, or one file cannot be opened and
            the ledger stops at errors.
    """
    sources = []
    files = learn_lengths(find_audio(node), channels=channels, ledger=ledger)
    for file, content in zip(files, content_hashes(files), strict=True):
        if stop():
            break
        try:
            if isinstance(content, AudioError):
                raise content
            sources.append(_source(file, content, sample_rate=sample_rate))
        except AudioError as error:
            ledger.record(file.path, str(error))
    if not sources and not stop():
        folders = ", ".join(folder.path for folder in node.datasets)
        raise DataError(f"no readable audio in {folders}; {ledger.path} says why")
    return sources


def _source(file: AudioFile, content: str, *, sample_rate: int) -> Source:
    assert file.info is not None  # noqa: S101 - learn_lengths has filled it in
    captions = read_captions(Path(file.path))
    return Source(
        dataset=file.dataset,
        relpath=file.relpath,
        path=Path(file.path),
        num_samples=file.info.length_at(sample_rate),
        content=content,
        captions=captions,
        described=_digest(captions, file),
        custom=file.custom,
    )


def _digest(captions: Mapping[str, Any], file: AudioFile) -> str:
    """Of everything that says what is in a file: captions and the code that adds to them."""
    code = "" if file.custom is None else file.custom.sha256
    text = msgspec.json.encode([captions, code], order="deterministic")
    return hashlib.sha256(text).hexdigest()
