"""What tar shards hold: their samples, by WebDataset's convention.

The files of a sample lie side by side in a shard and share their name up to its first dot. Shards
are listed once, and what was found is kept (see `index`), so that any sample can be read by itself:
that is what makes epochs exact over any number of processes, and a run go on in the middle of one.
"""

import tarfile
from collections.abc import Iterator
from typing import IO

import msgspec

from sat_models.data.index import Index
from sat_models.data.latent_files import LatentFacts, facts_of
from sat_models.data.latent_folders import npy_header
from sat_models.data.storage import Found, Storage
from sat_models.errors import DataError

SHARD_SUFFIX = ".tar"


class Member(msgspec.Struct, array_like=True, frozen=True):
    """A file of a sample.

    Attributes:
        ending: What follows the sample's key and a dot, in lower case.
        start: First byte in the shard.
        stop: The one after the last.
    """

    ending: str
    start: int
    stop: int


class ShardSample(msgspec.Struct, array_like=True, frozen=True):
    """A sample of a shard.

    Attributes:
        key: Names it within the shard.
        members: Its files.
        latents: What is known of its latents, in shards of those.
    """

    key: str
    members: tuple[Member, ...]
    latents: LatentFacts | None = None

    def find(self, *endings: str) -> Member | None:
        """The file with the first of some endings that there is."""
        for ending in endings:
            for member in self.members:
                if member.ending.rpartition(".")[2] == ending:
                    return member
        return None


class Shard(msgspec.Struct, array_like=True, frozen=True):
    """What a shard holds.

    Attributes:
        samples: Its samples, in order.
    """

    samples: tuple[ShardSample, ...]


class LatentShard(Shard, array_like=True, frozen=True):
    """A shard whose latents were looked at."""


def list_shards(storage: Storage, *, latents: bool) -> list[tuple[Found, Shard | Exception]]:
    """All shards of a storage, with what they hold or why that cannot be told.

    Args:
        storage: A folder or a bucket's prefix.
        latents: Whether they hold latents, whose length is then looked at.

    Raises:
        DataError: The storage cannot be listed, or holds no shard.
    """
    found = storage.find((SHARD_SUFFIX,))
    if not found:
        raise DataError(f"no shard (a file that ends in {SHARD_SUFFIX}) in {storage.location}")
    kind = LatentShard if latents else Shard
    index: Index[Shard] = Index(storage.location, facts=kind)

    def study(file: Found) -> Shard:
        return kind(tuple(_read_shard(storage, file, latents=latents)))

    return list(zip(found, index.learn(found, study, expected=DataError), strict=True))


def _read_shard(storage: Storage, shard: Found, *, latents: bool) -> Iterator[ShardSample]:
    where = storage.where(shard.name)
    try:
        with storage.open(shard.name) as file:
            samples: dict[str, list[Member]] = {}
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for entry in tar:
                    folder, _, name = entry.name.rpartition("/")
                    if not entry.isfile() or name.startswith("."):
                        continue
                    key, _, ending = name.partition(".")
                    stop = entry.offset_data + entry.size
                    member = Member(ending.lower(), entry.offset_data, stop)
                    samples.setdefault(f"{folder}/{key}".lstrip("/"), []).append(member)
            for key, members in samples.items():
                sample = ShardSample(key, tuple(members))
                yield _with_latents(sample, file, where) if latents else sample
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{where}: not a whole tar file: {error}") from error


def _with_latents(sample: ShardSample, file: IO[bytes], where: str) -> ShardSample:
    """The sample with what its array's header and its metadata say."""
    array, table = sample.find("npy"), sample.find("json")
    if array is None or table is None:
        return sample
    where = f"{where}/{sample.key}"
    file.seek(table.start)
    try:
        metadata = msgspec.json.decode(file.read(table.stop - table.start), type=dict[str, object])
        file.seek(array.start)
        shape, dtype = npy_header(file.read(min(4096, array.stop - array.start)))
    except (ValueError, EOFError) as error:
        raise DataError(f"{where}: no latents: {error}") from error
    facts = facts_of(shape, dtype, metadata, where=where)
    return msgspec.structs.replace(sample, latents=facts)
