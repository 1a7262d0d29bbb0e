"""Audio files in folders."""

import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sat_config.audio.dataset import AudioDirNode, Folder
from sat_models.audio import AudioInfo, check_channels, probe
from sat_models.data.build import build_dataset
from sat_models.data.captions import read_captions, read_filelist
from sat_models.data.crops import AudioCrops, AudioSource, Clip, Form
from sat_models.data.custom import CustomModule, custom_module
from sat_models.data.index import Index
from sat_models.data.ledger import Ledger
from sat_models.data.order import by_weight
from sat_models.data.storage import Found, LocalStorage
from sat_models.errors import AudioError, DataError

AUDIO_SUFFIXES = (
    *(".wav", ".mp3", ".flac", ".ogg", ".aif", ".aiff", ".opus"),
    *(".m4a", ".aac", ".wma", ".webm", ".mka", ".caf", ".w64"),
)
"""Files that count as audio: the first line is SAT's and `.aiff`."""


@dataclass(frozen=True)
class AudioFile(AudioSource):
    """A file of a folder.

    Attributes:
        dataset: Id of the folder in the configuration.
        root: That folder.
        relpath: The file within it, with forward slashes.
        size: Bytes.
        stamp: When it was changed.
        info: Its length, rate and channels; None until it has been opened.
        custom: The module that adds to its metadata.
    """

    dataset: str
    root: str
    relpath: str
    size: int
    stamp: str
    info: AudioInfo | None
    custom: CustomModule | None

    @property
    def path(self) -> str:
        """The file itself."""
        return f"{self.root}/{self.relpath}"

    def has_changed(self) -> bool:
        """Whether its size or time of change is another one by now, or it has gone."""
        now = LocalStorage(self.root).stat(self.relpath)
        return (now.size, now.stamp) != (self.size, self.stamp)

    def open(self) -> Clip:
        """The file, with what lies beside it."""
        path = Path(self.path)
        return Clip(path, self.info or probe(path), read_captions(path))


def find_audio(node: AudioDirNode) -> list[AudioFile]:
    """All audio files of a dataset: folder by folder, each sorted by relative path.

    Subfolders and links are followed; names that start with a dot are not looked at.

    Raises:
        DataError: A folder is missing or cannot be listed, holds no audio file, or shares its id.
    """
    check_ids([folder.id for folder in node.datasets])
    return [file for folder in node.datasets for file in _find(folder)]


def learn_lengths(files: list[AudioFile], *, channels: int, ledger: Ledger) -> list[AudioFile]:
    """Open all files, or recall what was found when they were opened last.

    Args:
        files: The files.
        channels: Channels that they will be mixed to.
        ledger: Where those that are no good go.

    Returns:
        The good ones, with their length, rate and channels.

    Raises:
        DataError: No file is good, or one is not and may not be skipped.
    """
    good: list[AudioFile] = []
    reasons = []
    for file, info in _learn(files):
        try:
            if isinstance(info, Exception):
                raise info
            check_channels(file.path, found=info.channels, wanted=channels)
        except AudioError as error:
            reasons.append(str(error))
            ledger.record(file.path, str(error))
        else:
            good.append(replace(file, info=info))
    if not good:
        raise DataError(_nothing_readable(files, reasons))
    return good


@build_dataset.register
def build_audio_dir(
    node: AudioDirNode,
    *,
    sample_rate: int,
    sample_size: int,
    channels: int,
    seed: int,
    training: bool,
    ledger: Ledger,
) -> AudioCrops:
    """Build the dataset of an `audio_dir` node; files that cannot be opened go to the ledger now.

    Raises:
        DataError: A folder is missing or empty, no file can be opened, or one cannot and may not
            be skipped.
    """
    files = learn_lengths(find_audio(node), channels=channels, ledger=ledger)
    weights = {folder.id: folder.weight for folder in node.datasets}
    return AudioCrops(
        files,
        node=node,
        form=Form(sample_rate=sample_rate, sample_size=sample_size, channels=channels),
        seed=seed,
        training=training,
        order=by_weight([weights[file.dataset] for file in files]),
    )


def check_ids(ids: list[str]) -> None:
    """Refuse entries of a dataset that share an id.

    Raises:
        DataError: Two do.
    """
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(f"two entries of the dataset have the id {twice[0]!r}; name them apart")


def _find(folder: Folder) -> Iterator[AudioFile]:
    custom = custom_module(folder.custom_metadata_module)
    found = _listed(folder)
    if not found:
        raise DataError(
            f"dataset {folder.id!r}: no audio file in {folder.path} or below it; looked for"
            f" {', '.join(AUDIO_SUFFIXES)}{_with_keywords(folder)}"
        )
    for file in found:
        yield AudioFile(
            dataset=folder.id,
            root=folder.path,
            relpath=file.name,
            size=file.size,
            stamp=file.stamp,
            info=None,
            custom=custom,
        )


def _listed(folder: Folder) -> list[Found]:
    """The files that an entry means: those of its list, else all below it."""
    try:
        storage = LocalStorage(folder.path)
        if (names := read_filelist(Path(folder.path), folder.filelist_path)) is not None:
            return [storage.stat(name) for name in dict.fromkeys(map(posixpath.normpath, names))]
        found = storage.find(AUDIO_SUFFIXES)
    except DataError as error:
        raise DataError(f"dataset {folder.id!r}: {error}") from error
    words = [word.lower() for word in folder.keywords]
    return [f for f in found if not words or any(word in _base(f.name) for word in words)]


def _base(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _with_keywords(folder: Folder) -> str:
    return f", named after one of {', '.join(folder.keywords)}" if folder.keywords else ""


def _learn(files: list[AudioFile]) -> Iterator[tuple[AudioFile, AudioInfo | Exception]]:
    by_root: dict[str, list[AudioFile]] = {}
    for file in files:
        by_root.setdefault(file.root, []).append(file)
    for root, group in by_root.items():
        index = Index(str(Path(root).resolve()), facts=AudioInfo)
        found = [Found(file.relpath, file.size, file.stamp) for file in group]

        def study(file: Found, root: str = root) -> AudioInfo:
            return probe(f"{root}/{file.name}")

        yield from zip(group, index.learn(found, study, expected=AudioError), strict=True)


def _nothing_readable(files: list[AudioFile], reasons: list[str]) -> str:
    folders = ", ".join(dict.fromkeys(file.root for file in files))
    listed = "\n".join(f"  {reason}" for reason in reasons[:5])
    more = f"\n  and {len(reasons) - 5} more" if len(reasons) > 5 else ""
    return f"no readable audio in {folders}: all {len(files)} files were refused\n{listed}{more}"
