"""Audio files in folders."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from sat_config.audio.dataset import AudioDirNode
from sat_models.audio import AudioInfo, check_channels, probe, read_audio
from sat_models.data.batch import AudioBatch, BadItem, Item, Sample
from sat_models.data.build import build_dataset
from sat_models.data.dataset import Draw, ItemDataset, as_draw, item_draws
from sat_models.data.ledger import Ledger
from sat_models.errors import AudioError, DataError
from sat_models.support import refuse_unsupported

AUDIO_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".aif", ".aiff", ".opus")


@dataclass(frozen=True)
class AudioFile:
    """A file of a dataset.

    Attributes:
        dataset: Id of the folder in the configuration.
        root: That folder.
        relpath: The file within it, with forward slashes.
    """

    dataset: str
    root: Path
    relpath: str

    @property
    def path(self) -> Path:
        """The file itself."""
        return self.root / self.relpath

    @property
    def id(self) -> str:
        """Names the file whichever machine holds it."""
        return f"{self.dataset}/{self.relpath}"


def find_audio(node: AudioDirNode) -> list[AudioFile]:
    """All audio files of a dataset: folder by folder, each sorted by relative path.

    Subfolders and links are followed; names that start with a dot are not looked at.

    Raises:
        DataError: A folder is missing or cannot be listed, holds no audio file, or shares its id.
    """
    seen: set[str] = set()
    files = []
    for number, folder in enumerate(node.datasets):
        refuse_unsupported(folder, ("id", "path"), where=f"dataset.datasets[{number}]")
        if folder.id in seen:
            raise DataError(
                f"two folders of the dataset have the id {folder.id!r}; name them apart"
            )
        seen.add(folder.id)
        root = Path(folder.path)
        if not root.is_dir():
            raise DataError(f"dataset {folder.id!r}: {root} is not a folder; correct its path")
        relpaths = sorted(_scan(root))
        if not relpaths:
            raise DataError(
                f"dataset {folder.id!r}: no audio file in {root} or below it;"
                f" looked for {', '.join(AUDIO_SUFFIXES)}"
            )
        files += [AudioFile(folder.id, root, relpath) for relpath in relpaths]
    return files


class AudioDirDataset(ItemDataset):
    """One crop per file and epoch, however long the file is.

    The crop lies at a random place, or at the start where `random_crop` is off; in training some
    are flipped in sign. A shorter file is padded with zeros.
    Unlike in SAT, no silent or broken file is replaced by another.
    """

    def __init__(
        self,
        files: Sequence[tuple[AudioFile, AudioInfo]],
        *,
        sample_rate: int,
        sample_size: int,
        channels: int,
        seed: int,
        random_crop: bool,
        phase_flip: float,
    ) -> None:
        """Describe the items.

        Args:
            files: What to read, with what the headers say.
            sample_rate: Hz of all items.
            sample_size: Samples of every item.
            channels: Channels of every item.
            seed: Decides crops and flips, with epoch and index.
            random_crop: Whether crops lie at random places.
            phase_flip: Share of crops whose sign is flipped.
        """
        self.files = tuple(files)
        self._sample_rate = sample_rate
        self._sample_size = sample_size
        self._channels = channels
        self._seed = seed
        self._random_crop = random_crop
        self._phase_flip = phase_flip

    def __len__(self) -> int:
        return len(self.files)

    @property
    def draws_crops(self) -> bool:
        """Whether crops lie at random places."""
        return self._random_crop

    def __getitem__(self, index: int | Draw) -> Sample | BadItem:
        """The crop of one file in one epoch."""
        draw = as_draw(index, length=len(self))
        file, info = self.files[draw.index]
        place, flip = item_draws(self._seed, draw, count=2)
        choices = info.length_at(self._sample_rate) - self._sample_size + 1
        start = int(place * choices) if self._random_crop and choices > 1 else 0
        try:
            audio = read_audio(
                file.path,
                start=start,
                num_samples=self._sample_size,
                sample_rate=self._sample_rate,
                channels=self._channels,
            )
        except AudioError as error:
            return BadItem(str(file.path), str(error), start)
        missing = self._sample_size - audio.shape[1]
        return Sample(
            values=functional.pad(-audio if flip < self._phase_flip else audio, (0, missing)),
            padding_mask=torch.arange(self._sample_size) < audio.shape[1],
            item=self._describe(file, info, start=start, num_samples=audio.shape[1]),
        )

    def stack(self, samples: Sequence[Sample]) -> AudioBatch:
        """The batch of some items."""
        return AudioBatch.stack(samples)

    def _describe(self, file: AudioFile, info: AudioInfo, *, start: int, num_samples: int) -> Item:
        length = info.length_at(self._sample_rate)
        seconds_start = float(start // self._sample_rate)
        seconds_total = float(math.ceil(info.frames / info.sample_rate))
        return Item(
            id=file.id,
            path=str(file.path),
            start_sample=start,
            seconds_start=seconds_start,
            seconds_total=seconds_total,
            metadata={
                "path": str(file.path),
                "relpath": file.relpath,
                "timestamps": (start / length, (start + num_samples) / length),
                "seconds_start": seconds_start,
                "seconds_total": seconds_total,
                "sample_rate": self._sample_rate,
            },
        )


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
) -> AudioDirDataset:
    """Build the dataset of an `audio_dir` node; files that cannot be opened go to the ledger now.

    Raises:
        DataError: A folder is missing or empty, no file can be opened, or one cannot and may not
            be skipped.
    """
    found = find_audio(node)
    with ThreadPoolExecutor() as pool:
        probed = list(pool.map(lambda file: _probe(file, channels), found))
    readable = []
    for file, result in zip(found, probed, strict=True):
        if isinstance(result, AudioInfo):
            readable.append((file, result))
        else:
            ledger.record(file.path, str(result))
    if not readable:
        raise DataError(_nothing_readable(node, found, probed))
    return AudioDirDataset(
        readable,
        sample_rate=sample_rate,
        sample_size=sample_size,
        channels=channels,
        seed=seed,
        random_crop=node.random_crop,
        phase_flip=node.phase_flip if training else 0.0,
    )


def _scan(root: Path) -> Iterator[str]:
    visited = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_unlisted):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            subfolders.clear()  # a link that leads back
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and name.lower().endswith(AUDIO_SUFFIXES):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _unlisted(error: OSError) -> None:
    raise DataError(f"{error.filename}: the folder cannot be listed: {error.strerror}")


def _probe(file: AudioFile, channels: int) -> AudioInfo | AudioError:
    try:
        info = probe(file.path)
        check_channels(file.path, found=info.channels, wanted=channels)
    except AudioError as error:
        return error
    return info


def _nothing_readable(
    node: AudioDirNode, files: Sequence[AudioFile], results: Sequence[AudioInfo | AudioError]
) -> str:
    folders = ", ".join(folder.path for folder in node.datasets)
    reasons = "\n".join(f"  {result}" for result in results[:5])
    more = f"\n  and {len(files) - 5} more" if len(files) > 5 else ""
    return f"no readable audio in {folders}: all {len(files)} files were refused\n{reasons}{more}"
