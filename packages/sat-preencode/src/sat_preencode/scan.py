"""The audio files of an experiment's dataset, with their lengths, content and captions."""

import hashlib
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

import msgspec

from sat_config.audio.dataset import AudioDirNode, AudioNode, WebDatasetNode
from sat_models.audio import AudioBytes, AudioInfo, check_channels
from sat_models.data.audio_dir import find_audio, learn_lengths
from sat_models.data.captions import read_captions
from sat_models.data.content import content_hashes
from sat_models.data.crops import AudioSource
from sat_models.data.ledger import Ledger
from sat_models.data.webdataset import find_shard_files
from sat_models.errors import AudioError, DataError
from sat_preencode.plan import Source


def find_sources(
    node: AudioDirNode | WebDatasetNode,
    *,
    sample_rate: int,
    channels: int,
    ledger: Ledger,
    stop: Callable[[], bool],
) -> list[Source]:
    """All files that can be opened, in order; the others go to the ledger.

    Args:
        node: Folders of audio, or tar shards.
        sample_rate: Hz that lengths are counted at.
        channels: Channels that files will be mixed to.
        ledger: Where files that cannot be read are written down.
        stop: Asked after each file whether to stop looking.

    Raises:
        DataError: A folder is missing or holds nothing to open, or one file cannot be opened and
            the ledger stops at errors.
    """
    sources = []
    with closing(_known(node, channels=channels, ledger=ledger)) as found:
        for audio, known in found:
            if stop():
                break
            if isinstance(known, AudioError):
                ledger.record(audio.path, str(known))
            else:
                sources.append(_source(audio, known, sample_rate=sample_rate))
    if not sources and not stop():
        folders = ", ".join(str(entry.path) for entry in node.datasets)
        raise DataError(f"no readable audio in {folders}; {ledger.path} says why")
    return sources


@dataclass(frozen=True)
class _Known:
    """What is known of a file: its length, the SHA-256 of its content, and its captions."""

    info: AudioInfo
    content: str
    captions: Mapping[str, Any]


_Found = Generator[tuple[AudioSource, _Known | AudioError], None, None]


@singledispatch
def _known(node: AudioNode, *, channels: int, ledger: Ledger) -> _Found:
    """All files of a dataset, with what is known of each or why it cannot be read."""
    raise DataError(f"a dataset of class {type(node).__name__} cannot be encoded")


@_known.register
def _(node: AudioDirNode, *, channels: int, ledger: Ledger) -> _Found:
    files = learn_lengths(find_audio(node), channels=channels, ledger=ledger)
    for file, content in zip(files, content_hashes(files), strict=True):
        try:
            if isinstance(content, AudioError):
                raise content
            assert file.info is not None  # noqa: S101 - learn_lengths has filled it in
            yield file, _Known(file.info, content, read_captions(Path(file.path)))
        except AudioError as error:
            yield file, error


@_known.register
def _(node: WebDatasetNode, *, channels: int, ledger: Ledger) -> _Found:
    files, _ = find_shard_files(node, ledger=ledger)

    def look(file: AudioSource) -> _Known | AudioError:
        try:
            clip = file.open()
            check_channels(clip.audio, found=clip.info.channels, wanted=channels)
        except AudioError as error:
            return error
        assert isinstance(clip.audio, AudioBytes)  # noqa: S101 - shards are read into memory
        return _Known(clip.info, hashlib.sha256(clip.audio.content).hexdigest(), clip.metadata)

    with ThreadPoolExecutor() as pool:
        yield from zip(files, pool.map(look, files), strict=True)


def _source(audio: AudioSource, known: _Known, *, sample_rate: int) -> Source:
    return Source(
        dataset=audio.dataset,
        relpath=audio.relpath,
        audio=audio,
        num_samples=known.info.length_at(sample_rate),
        content=known.content,
        captions=known.captions,
        described=_digest(known.captions, audio),
        custom=audio.custom,
    )


def _digest(captions: Mapping[str, Any], audio: AudioSource) -> str:
    """Of everything that says what is in a file: captions and the code that adds to them."""
    code = "" if audio.custom is None else audio.custom.sha256
    text = msgspec.json.encode([captions, code], order="deterministic")
    return hashlib.sha256(text).hexdigest()
