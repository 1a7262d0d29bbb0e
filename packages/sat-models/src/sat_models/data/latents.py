"""Latents that sat-preencode wrote."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch.nn import functional

from sat_config.audio.dataset import PreEncodedNode
from sat_models.data.batch import BadItem, Item, LatentBatch, Sample
from sat_models.data.build import build_dataset
from sat_models.data.dataset import Draw, ItemDataset, as_draw, item_draws
from sat_models.data.ledger import Ledger
from sat_models.errors import DataError
from sat_models.support import refuse_unsupported

FORMAT = "sat-latents"
VERSION = 1
DETAILS = "details.json"
MANIFEST = "manifest.jsonl"


class LatentDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What a latent folder says about itself, as far as training needs it.

    Attributes:
        format: Always "sat-latents".
        version: Version of the folder's layout.
        checkpoint: The autoencoder's checkpoint, as the experiment named it.
        autoencoder_fingerprint: Of its weights, by `sat_models.checkpoint.fingerprint`.
        sample_rate: Hz of the audio that was encoded.
        hop_length: Samples per latent frame.
        latent_dim: Channels of the latents.
        folder: The folder, filled in on reading.
    """

    format: str
    version: int
    checkpoint: str
    autoencoder_fingerprint: str
    sample_rate: int
    hop_length: int
    latent_dim: int
    folder: str = ""


class LatentEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the manifest: one file of latents.

    Attributes:
        id: Names the item.
        file: The latents, relative to the folder.
        start_sample: First sample of the item in its audio file.
        frames: Frames in the file.
        valid_frames: How many of them, from the first, hold audio.
        seconds_total: Length of the whole audio file, rounded up.
    """

    id: str
    file: str
    start_sample: int
    frames: int
    valid_frames: int
    seconds_total: float


def read_details(folder: str | Path) -> LatentDetails:
    """Read what a latent folder says about itself.

    Raises:
        DataError: It is not a latent folder, or of another version.
    """
    path = Path(folder) / DETAILS
    if not path.is_file():
        raise DataError(
            f"{folder} is not a latent folder: it has no {DETAILS}; give the preencode.output_path"
            " of an experiment that sat-preencode has encoded"
        )
    try:
        details = msgspec.json.decode(path.read_bytes(), type=LatentDetails)
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: does not describe latents: {error}") from error
    if (details.format, details.version) != (FORMAT, VERSION):
        raise DataError(
            f"{path}: describes {details.format} version {details.version}; this program reads"
            f" {FORMAT} version {VERSION}"
        )
    return msgspec.structs.replace(details, folder=str(folder))


def read_manifest(folder: str | Path) -> list[LatentEntry]:
    """Read the list of a folder's items.

    Raises:
        DataError: There is none yet, it lists nothing, or a line is damaged.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder} has no {MANIFEST}: sat-preencode has not finished there. Run it again with"
            " the same file (sat-preencode FILE): it continues where it stopped"
        )
    decoder = msgspec.json.Decoder(LatentEntry)
    entries = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            entries.append(decoder.decode(line))
        except msgspec.MsgspecError as error:
            raise DataError(
                f"{path}, line {number}: {error}; sat-preencode writes the manifest anew"
            ) from error
    if not entries:
        raise DataError(f"{path} lists no item")
    return entries


def check_latents(
    details: LatentDetails,
    *,
    latent_dim: int,
    hop_length: int,
    sample_rate: int,
    autoencoder_fingerprint: str | None = None,
) -> None:
    """Refuse latents that do not fit a model.

    Args:
        details: Of the latent folder.
        latent_dim: Channels of the latents that the model works on.
        hop_length: Samples per latent frame of the model's pretransform.
        sample_rate: Hz of the experiment.
        autoencoder_fingerprint: Of the pretransform's weights; None where it has none.

    Raises:
        DataError: Everything that differs, in words.
    """
    compared = (
        ("channels", details.latent_dim, latent_dim),
        ("samples per frame", details.hop_length, hop_length),
        ("Hz", details.sample_rate, sample_rate),
    )
    lines = [
        f"  {found} {unit}, and the model expects {wanted}"
        for unit, found, wanted in compared
        if found != wanted
    ]
    ours = autoencoder_fingerprint
    if not lines and ours is not None and ours != details.autoencoder_fingerprint:
        lines.append(
            f"  weights {details.autoencoder_fingerprint}, and the model's pretransform has {ours}"
        )
    if lines:
        raise DataError(
            f"the latents in {details.folder} come from another autoencoder than the model's"
            " pretransform:\n" + "\n".join(lines) + f"\nThey were encoded by {details.checkpoint};"
            " use that as pretransform, or encode again with sat-preencode into another folder"
        )


class LatentDataset(ItemDataset):
    """One crop per item and epoch, or whole items.

    Every item has the same number of frames, padded with zeros where it holds fewer. A random crop
    stays within the frames that hold audio, and the item's start moves along with it.
    """

    def __init__(
        self,
        entries: Sequence[tuple[LatentDetails, LatentEntry]],
        *,
        length: int,
        seed: int,
        random_crop: bool,
    ) -> None:
        """Describe the items.

        Args:
            entries: What to read, with the details of its folder.
            length: Frames of every item.
            seed: Decides crops, with epoch and index.
            random_crop: Whether crops lie at random places.
        """
        self.entries = tuple(entries)
        self._length = length
        self._seed = seed
        self._random_crop = random_crop

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int | Draw) -> Sample | BadItem:
        """The crop of one item in one epoch."""
        draw = as_draw(index, length=len(self))
        details, entry = self.entries[draw.index]
        (place,) = item_draws(self._seed, draw, count=1)
        choices = entry.valid_frames - self._length + 1
        first = int(place * choices) if self._random_crop and choices > 1 else 0
        path = Path(details.folder) / entry.file
        start = entry.start_sample + first * details.hop_length
        try:
            latents = _read_latents(path, details, entry, first=first, count=self._length)
        except (OSError, ValueError, EOFError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            return BadItem(str(path), f"{path}: {reason}", start)
        missing = self._length - latents.shape[1]
        seconds_start = float(start // details.sample_rate)
        return Sample(
            values=functional.pad(latents, (0, missing)),
            padding_mask=torch.arange(self._length) < entry.valid_frames - first,
            item=Item(
                id=entry.id,
                path=str(path),
                start_sample=start,
                seconds_start=seconds_start,
                seconds_total=entry.seconds_total,
                metadata={
                    "latent_filename": str(path),
                    "relpath": entry.file,
                    "seconds_start": seconds_start,
                    "seconds_total": entry.seconds_total,
                    "sample_rate": details.sample_rate,
                    "latent_crop_length": self._length,
                    "latent_crop_start": first,
                },
            ),
        )

    def stack(self, samples: Sequence[Sample]) -> LatentBatch:
        """The batch of some items."""
        return LatentBatch.stack(samples)


@build_dataset.register
def build_latents(
    node: PreEncodedNode,
    *,
    sample_rate: int,
    sample_size: int,
    channels: int,
    seed: int,
    training: bool,
    ledger: Ledger,
) -> LatentDataset:
    """Build the dataset of a `pre_encoded` node; sample size and channels play no part in it.

    Raises:
        DataError: A folder is not finished or does not fit the others or the sample rate, or no
            item is as long as the crop.
    """
    refuse_unsupported(
        node, ("datasets", "latent_crop_length", "random_crop", "drop_last"), where="dataset"
    )
    for number, folder in enumerate(node.datasets):
        refuse_unsupported(folder, ("id", "path"), where=f"dataset.datasets[{number}]")
    folders = [read_details(folder.path) for folder in node.datasets]
    _check_alike(folders, sample_rate=sample_rate)
    entries = [(details, e) for details in folders for e in read_manifest(details.folder)]
    longest = max(entry.frames for _, entry in entries)
    length = node.latent_crop_length or longest
    if length > longest:
        raise DataError(
            f"latent_crop_length is {length}, and the longest item has {longest} frames; set it to"
            f" {longest} or less, or encode longer items (preencode.sample_size)"
        )
    return LatentDataset(
        entries, length=length, seed=seed, random_crop=training and node.random_crop
    )


def _check_alike(folders: Sequence[LatentDetails], *, sample_rate: int) -> None:
    first = folders[0]
    for details in folders:
        check_latents(
            details,
            latent_dim=details.latent_dim,
            hop_length=details.hop_length,
            sample_rate=sample_rate,
        )
        if details.autoencoder_fingerprint != first.autoencoder_fingerprint:
            raise DataError(
                f"{first.folder} and {details.folder} hold latents of different autoencoders"
                f" ({first.checkpoint} and {details.checkpoint}), which cannot be mixed"
            )


def _read_latents(
    path: Path, details: LatentDetails, entry: LatentEntry, *, first: int, count: int
) -> torch.Tensor:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != (details.latent_dim, entry.frames):
        expected = (details.latent_dim, entry.frames)
        raise ValueError(f"has shape {array.shape}, and the manifest says {expected}")
    latents = torch.from_numpy(np.array(array[:, first : first + count], dtype=np.float32))  # d l
    if not torch.isfinite(latents).all():
        raise ValueError("holds values that are not finite")
    return latents
