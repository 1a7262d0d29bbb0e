"""WebDataset shards of audio or of latents, in folders and in buckets."""

from collections.abc import Iterator
from dataclasses import dataclass

from sat_config.audio.dataset import S3Node, ShardFolder, WebDatasetNode
from sat_models.audio import AudioBytes, AudioInfo, probe
from sat_models.data.audio_dir import check_ids
from sat_models.data.build import build_dataset
from sat_models.data.captions import parse_caption
from sat_models.data.crops import AudioCrops, AudioSource, Clip, Form
from sat_models.data.custom import CustomModule, custom_module
from sat_models.data.dataset import ItemDataset
from sat_models.data.latent_details import FORMAT, check_alike, details_in, read_manifest
from sat_models.data.latent_files import LatentSource, Span
from sat_models.data.latents import LatentDataset, common_length, within
from sat_models.data.ledger import Ledger
from sat_models.data.order import ByShard
from sat_models.data.shards import Shard, ShardSample, list_shards
from sat_models.data.storage import Found, Storage, storage_for
from sat_models.errors import AudioError, DataError

AUDIO_ENDINGS = ("flac", "wav", "mp3", "m4a", "ogg", "opus", "aif", "aiff")
"""What counts as audio in a shard: SAT's endings, and AIFF."""


@dataclass(frozen=True)
class ShardFile(AudioSource):
    """An audio file in a shard.

    Attributes:
        dataset: Id of the source in the configuration.
        root: Its folder or prefix.
        relpath: Shard, key and ending.
        size: Bytes.
        stamp: Changes when the shard does.
        info: None: it is opened when it is needed.
        custom: The module that adds to its metadata.
        storage: What holds the shard.
        audio: Where it lies.
        captions: Where its metadata lie, by the ending of each file.
    """

    dataset: str
    root: str
    relpath: str
    size: int
    stamp: str
    info: AudioInfo | None
    custom: CustomModule | None
    storage: Storage
    audio: Span
    captions: tuple[tuple[str, Span], ...]

    @property
    def path(self) -> str:
        """Where it is, for messages and metadata."""
        return f"{self.root.rstrip('/')}/{self.relpath}"

    def open(self) -> Clip:
        """The file in memory; `text` in its metadata becomes its prompt, as in SAT."""
        try:
            content = self.audio.read(self.storage)
            found: dict[str, object] = {}
            for ending, span in self.captions:
                found |= parse_caption(f".{ending}", span.read(self.storage), where=self.path)
        except DataError as error:
            raise AudioError(str(error)) from error
        if "text" in found:
            found["prompt"] = found["text"]
        audio = AudioBytes(self.path, content)
        return Clip(audio, probe(audio), found)


def find_shard_files(
    node: WebDatasetNode, *, ledger: Ledger
) -> tuple[list[ShardFile], tuple[int, ...]]:
    """All audio files of all shards, shard by shard, and how many each shard has.

    Raises:
        DataError: There is no shard, or none with audio.
    """
    files: list[ShardFile] = []
    sizes = []
    for entry, storage, custom, found, shard in _shards(node, ledger=ledger):
        before = len(files)
        for sample in shard.samples:
            if (file := _audio_of(sample, entry, storage, custom, found)) is not None:
                files.append(file)
            else:
                endings = ", ".join(f".{member.ending}" for member in sample.members)
                where = f"{storage.where(found.name)}/{sample.key}"
                ledger.record(where, f"holds no audio, only {endings}")
        sizes.append(len(files) - before)
    if not files:
        raise DataError(f"no audio in the shards of {_places(node)}")
    return files, tuple(sizes)


def find_shard_latents(node: WebDatasetNode, *, ledger: Ledger) -> list[list[LatentSource]]:
    """All latents of all shards, by shard.

    Raises:
        DataError: There is no shard, or none with latents.
    """
    found = [
        list(_latents_of(shard, entry, storage, custom, file, ledger=ledger))
        for entry, storage, custom, file, shard in _shards(node, ledger=ledger)
    ]
    if not any(found):
        raise DataError(f"no latents (.npy with .json) in the shards of {_places(node)}")
    return found


@build_dataset.register
def build_webdataset(
    node: WebDatasetNode,
    *,
    sample_rate: int,
    sample_size: int,
    channels: int,
    seed: int,
    training: bool,
    ledger: Ledger,
) -> ItemDataset:
    """Build the dataset of a `wds` or `s3` node.

    An epoch has as many items as the shards hold together, each once over all workers and
    processes, or those of shards drawn with replacement. SAT gives every worker all shards.

    Raises:
        DataError: There is no shard, or nothing in them can be used.
    """
    if node.pre_encoded:
        return _build_latents(
            node, sample_rate=sample_rate, seed=seed, training=training, ledger=ledger
        )
    files, sizes = find_shard_files(node, ledger=ledger)
    return AudioCrops(
        files,
        node=node,
        form=Form(sample_rate=sample_rate, sample_size=sample_size, channels=channels),
        seed=seed,
        training=training,
        order=ByShard(sizes, resampled=node.resampled_shards),
    )


build_dataset.register(S3Node, build_webdataset)


def _build_latents(
    node: WebDatasetNode, *, sample_rate: int, seed: int, training: bool, ledger: Ledger
) -> LatentDataset:
    shards = find_shard_latents(node, ledger=ledger)
    sources = within(
        [source for shard in shards for source in shard], node.min_length_sec, node.max_length_sec
    )
    check_alike([source.details for source in sources], sample_rate=sample_rate)
    kept = {id(source) for source in sources}
    sizes = tuple(sum(id(source) in kept for source in shard) for shard in shards)
    return LatentDataset(
        sources,
        length=common_length(sources, node.latent_crop_length),
        seed=seed,
        random_crop=training and node.random_crop,
        order=ByShard(sizes, resampled=node.resampled_shards),
    )


def _shards(
    node: WebDatasetNode, *, ledger: Ledger
) -> Iterator[tuple[ShardFolder, Storage, CustomModule | None, Found, Shard]]:
    """The shards that can be listed; the others go to the ledger."""
    check_ids([entry.id for entry in node.datasets])
    for entry in node.datasets:
        location = entry.s3_path or entry.path
        if location is None:
            raise DataError(f"dataset {entry.id!r} has neither s3_path nor path: give one of them")
        storage = storage_for(location, profile=entry.profile)
        custom = custom_module(entry.custom_metadata_module)
        listed = _listed(storage) if node.pre_encoded else None
        for found, shard in list_shards(storage, latents=node.pre_encoded):
            if listed is not None and found.name not in listed:
                continue
            if isinstance(shard, Exception):
                ledger.record(storage.where(found.name), str(shard))
            else:
                yield entry, storage, custom, found, shard


def _listed(storage: Storage) -> set[str] | None:
    """The shards that belong to a folder of ours, where unfinished and old ones may lie as well.

    Raises:
        DataError: It is not finished.
    """
    if details_in(storage).format != FORMAT:
        return None
    return {entry.file for entry in read_manifest(storage)}


def _audio_of(
    sample: ShardSample,
    entry: ShardFolder,
    storage: Storage,
    custom: CustomModule | None,
    shard: Found,
) -> ShardFile | None:
    audio = sample.find(*AUDIO_ENDINGS)
    if audio is None:
        return None
    captions = [(ending, sample.find(ending)) for ending in ("json", "txt")]
    return ShardFile(
        dataset=entry.id,
        root=storage.location,
        relpath=f"{shard.name}/{sample.key}.{audio.ending}",
        size=audio.stop - audio.start,
        stamp=shard.stamp,
        info=None,
        custom=custom,
        storage=storage,
        audio=Span(shard.name, audio.start, audio.stop),
        captions=tuple(
            (ending, Span(shard.name, member.start, member.stop))
            for ending, member in captions
            if member is not None
        ),
    )


def _latents_of(
    shard: Shard,
    entry: ShardFolder,
    storage: Storage,
    custom: CustomModule | None,
    file: Found,
    *,
    ledger: Ledger,
) -> Iterator[LatentSource]:
    details = details_in(storage)
    for sample in shard.samples:
        array, table = sample.find("npy"), sample.find("json")
        if array is None or table is None or sample.latents is None:
            where = f"{storage.where(file.name)}/{sample.key}"
            ledger.record(where, "holds no latents: .npy and .json are needed")
            continue
        yield LatentSource(
            id=f"{entry.id}/{file.name}/{sample.key}",
            dataset=entry.id,
            storage=storage,
            values=Span(file.name, array.start, array.stop),
            metadata=Span(file.name, table.start, table.stop),
            facts=sample.latents,
            details=details,
            start_sample=None,
            custom=custom,
        )


def _places(node: WebDatasetNode) -> str:
    return ", ".join(entry.s3_path or entry.path or "" for entry in node.datasets)
