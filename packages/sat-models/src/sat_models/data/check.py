"""Everything in a dataset, decoded once: what there is, and what is wrong with it."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import singledispatch
from pathlib import Path

import msgspec

from sat_config.audio.dataset import (
    AudioDirNode,
    DatasetNode,
    PreEncodedNode,
    WebDatasetNode,
)
from sat_models.audio import AudioBytes, check_channels, loudness, probe, read_audio
from sat_models.data.audio_dir import find_audio
from sat_models.data.crops import AudioSource
from sat_models.data.latent_files import LatentSource
from sat_models.data.latent_folders import find_latents
from sat_models.data.ledger import Ledger
from sat_models.data.shaping import peak_db
from sat_models.data.webdataset import find_shard_files, find_shard_latents
from sat_models.errors import AudioError, DataError

SILENT_DB = -60.0


class CheckedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a file.

    Attributes:
        id: Dataset id and path within it.
        path: Where it is.
        sha256: Of its bytes.
        seconds: Its length; of latents, what their metadata say of the source.
        sample_rate: Hz; None for latents.
        channels: Channels.
        loudness: Integrated loudness in LUFS; None for latents, and where nothing is loud enough.
        peak_db: Highest sample in dB of full scale; None for latents and for digital silence.
    """

    id: str
    path: str
    sha256: str
    seconds: float
    channels: int
    sample_rate: int | None = None
    loudness: float | None = None
    peak_db: float | None = None


class BadFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that training would leave out.

    Attributes:
        path: Where it is.
        reason: Why, in words.
    """

    path: str
    reason: str


class DatasetReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a dataset.

    Attributes:
        name: Its key in the experiment.
        files: What can be used.
        bad: What cannot: undecodable, silent from beginning to end, or of other channels.
    """

    name: str
    files: tuple[CheckedFile, ...]
    bad: tuple[BadFile, ...]

    @property
    def seconds(self) -> float:
        """Length of all files."""
        return sum(file.seconds for file in self.files)

    @property
    def duplicates(self) -> tuple[tuple[str, ...], ...]:
        """Groups of paths whose files are the same, byte by byte."""
        groups = defaultdict(list)
        for file in self.files:
            groups[file.sha256].append(file.path)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)

    def counts(self, key: str) -> dict[int, int]:
        """How many files have each value of `sample_rate` or `channels`, the most common first."""
        found = Counter(getattr(file, key) for file in self.files)
        return {value: count for value, count in found.most_common() if value is not None}


class _Collected(Ledger):
    """A ledger that keeps what is wrong, without warnings."""

    def __init__(self) -> None:
        super().__init__(None, on_bad_file="skip")
        self.found: list[BadFile] = []

    def record(self, file: str | Path, reason: str, offset: int | None = None) -> None:
        """Remember one failure."""
        self.found.append(BadFile(path=str(file), reason=reason.removeprefix(f"{file}: ")))


def check_dataset(
    node: DatasetNode,
    *,
    name: str,
    channels: int,
    num_workers: int,
    advance: Callable[[int, int], None],
) -> DatasetReport:
    """Decode everything in a dataset.

    Args:
        node: The dataset.
        name: What the report calls it.
        channels: Channels that audio will be mixed to.
        num_workers: Threads that decode.
        advance: Told after each file how many are done, and of how many.

    Raises:
        DataError: The dataset cannot be listed at all.
    """
    ledger = _Collected()
    sources = _sources(node, ledger)

    def check(source: AudioSource | LatentSource) -> CheckedFile | BadFile:
        try:
            if isinstance(source, AudioSource):
                return _check_audio(source, channels=channels)
            return _check_latents(source)
        except (AudioError, DataError) as error:
            reason = str(error).removeprefix(f"{source.path}: ")
            return BadFile(path=source.path, reason=reason)

    files, bad = [], ledger.found
    with ThreadPoolExecutor(max(num_workers, 1)) as pool:
        for done, found in enumerate(pool.map(check, sources), start=1):
            if isinstance(found, CheckedFile):
                files.append(found)
            else:
                bad.append(found)
            advance(done, len(sources))
    return DatasetReport(name=name, files=tuple(files), bad=tuple(bad))


@singledispatch
def _sources(node: DatasetNode, ledger: Ledger) -> Sequence[AudioSource | LatentSource]:
    raise DataError(f"a dataset of class {type(node).__name__} cannot be checked")


@_sources.register
def _(node: AudioDirNode, ledger: Ledger) -> Sequence[AudioSource | LatentSource]:
    return find_audio(node)


@_sources.register
def _(node: PreEncodedNode, ledger: Ledger) -> Sequence[AudioSource | LatentSource]:
    return find_latents(node, ledger=ledger)


@_sources.register
def _(node: WebDatasetNode, ledger: Ledger) -> Sequence[AudioSource | LatentSource]:
    if node.pre_encoded:
        return [source for shard in find_shard_latents(node, ledger=ledger) for source in shard]
    return find_shard_files(node, ledger=ledger)[0]


def _check_audio(source: AudioSource, *, channels: int) -> CheckedFile:
    audio = source.open().audio
    content = audio.content if isinstance(audio, AudioBytes) else Path(audio).read_bytes()
    info = probe(audio)
    check_channels(audio, found=info.channels, wanted=channels)
    samples = read_audio(
        audio,
        start=0,
        num_samples=info.frames,
        sample_rate=info.sample_rate,
        channels=info.channels,
    )
    if samples.shape[1] < info.frames:
        raise AudioError(f"ends {info.frames - samples.shape[1]} samples before its header says")
    peak = peak_db(samples)
    if peak < SILENT_DB:
        raise AudioError(f"is silent: its peak is {peak:.1f} dB, below {SILENT_DB:g} dB")
    level = loudness(samples, sample_rate=info.sample_rate)
    return CheckedFile(
        id=source.id,
        path=source.path,
        sha256=hashlib.sha256(content).hexdigest(),
        seconds=info.frames / info.sample_rate,
        channels=info.channels,
        sample_rate=info.sample_rate,
        loudness=None if math.isinf(level) else level,
        peak_db=peak,
    )


def _check_latents(source: LatentSource) -> CheckedFile:
    source.read_metadata()
    values = source.read_values()
    return CheckedFile(
        id=source.id,
        path=source.path,
        sha256=hashlib.sha256(values.numpy().tobytes()).hexdigest(),
        seconds=source.facts.seconds_total or 0.0,
        channels=values.shape[0],
    )
