"""The audio files of an experiment's dataset, with their lengths."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sat_config.audio.dataset import AudioDirNode
from sat_models.audio import AudioInfo, check_channels, probe
from sat_models.data.audio_dir import AudioFile, find_audio
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
    with ThreadPoolExecutor(thread_name_prefix="probe-audio") as pool:
        files = find_audio(node)
        found = zip(files, pool.map(lambda file: _probe(file, channels), files), strict=True)
        for file, info in found:
            if stop():
                pool.shutdown(cancel_futures=True)
                break
            if isinstance(info, AudioError):
                ledger.record(file.path, str(info).removeprefix(f"{file.path}: "))
            else:
                length = info.length_at(sample_rate)
                sources.append(Source(file.dataset, file.relpath, Path(file.path), length))
    if not sources and not stop():
        folders = ", ".join(folder.path for folder in node.datasets)
        raise DataError(f"no readable audio in {folders}; {ledger.path} says why")
    return sources


def _probe(file: AudioFile, channels: int) -> AudioInfo | AudioError:
    try:
        info = probe(file.path)
        check_channels(file.path, found=info.channels, wanted=channels)
    except AudioError as error:
        return error
    return info
