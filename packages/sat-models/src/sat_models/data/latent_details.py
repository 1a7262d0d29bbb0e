"""What a folder of latents says about itself, and whether it fits a model."""

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sat_models.data.storage import LocalStorage, Storage
from sat_models.errors import DataError

logger = logging.getLogger(__name__)

FORMAT = "sat-latents"
VERSION = 3
DETAILS = "details.json"
MANIFEST = "manifest.jsonl"
MEAN_SCALE = "mean_scale"


class LatentDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What a latent folder says about itself, as far as training needs it.

    Folders that SAT or Stable Audio 3 wrote say less: what is unknown is None.

    Attributes:
        format: "sat-latents", or "" for a folder of another program.
        version: Version of the folder's layout.
        checkpoint: The autoencoder's checkpoint, as the experiment named it.
        autoencoder_fingerprint: Of its weights, by `sat_models.checkpoint.fingerprint`.
        settings_fingerprint: Of all that the latents depend on besides their audio.
        sample_rate: Hz of the audio that was encoded.
        hop_length: Samples per latent frame.
        latent_dim: Channels of the latents.
        latent: "mean_scale" where mean and scale of each latent are stored, in twice the channels.
        sample_size: Samples of each crop that was encoded; None where whole files were.
        dtype: Number format of the latents ("float32", "bfloat16", "int64", ...).
        folder: The folder, filled in on reading.
    """

    format: str = ""
    version: int = 0
    checkpoint: str | None = None
    autoencoder_fingerprint: str | None = None
    settings_fingerprint: str | None = None
    sample_rate: int | None = None
    hop_length: int | None = None
    latent_dim: int | None = None
    latent: str | None = None
    sample_size: int | None = None
    dtype: str | None = None
    folder: str = ""

    @property
    def drawn(self) -> bool:
        """Whether latents are drawn anew each time they are read."""
        return self.latent == MEAN_SCALE and not (self.dtype or "").startswith("int")

    @property
    def stored_channels(self) -> int:
        """Channels of what is stored; 0 if nothing says."""
        return (self.latent_dim or 0) * (2 if self.drawn else 1)


class LatentEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the manifest of a folder that sat-preencode wrote: one item.

    Attributes:
        id: Names the item.
        file: The file that holds its latents, relative to the folder: a shard, or one of its own.
        values: First byte, and the one after the last, of the latents in the file; None for all.
        metadata: The same of the item's metadata in the file; None if they are in a file of their
            own, which is named like that of the latents and ends in `.json`.
        start_sample: First sample of the item in its audio file.
        frames: Frames of latents.
        valid_frames: How many of them, from the first, hold audio.
        seconds_total: Length of the whole audio file, rounded up.
    """

    id: str
    file: str
    values: tuple[int, int] | None = None
    metadata: tuple[int, int] | None = None
    start_sample: int
    frames: int
    valid_frames: int
    seconds_total: float


def read_details(folder: str | Path) -> LatentDetails:
    """Read what a latent folder says about itself, be it ours or SAT's.

    Raises:
        DataError: Its details are damaged, or of a version of ours that is not known.
    """
    return details_in(LocalStorage(str(folder)))


def details_in(storage: Storage) -> LatentDetails:
    """The same of a folder or of a bucket's prefix; nothing is known where it has no details.

    Raises:
        DataError: They are damaged, or of a version of ours that is not known.
    """
    path = storage.where(DETAILS)
    try:
        content = storage.read(DETAILS, 0, None)
    except OSError:
        return LatentDetails(folder=storage.location)
    try:
        details = msgspec.json.decode(content, type=LatentDetails)
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: does not describe latents: {error}") from error
    if (details.format, details.version) not in (("", 0), (FORMAT, VERSION)):
        raise DataError(
            f"{path}: describes {details.format} version {details.version}; this program reads"
            f" {FORMAT} version {VERSION}"
        )
    return msgspec.structs.replace(details, folder=storage.location)


def read_manifest(storage: Storage) -> list[LatentEntry]:
    """Read the list of a folder's items.

    Raises:
        DataError: There is none yet, it lists nothing, or a line is damaged.
    """
    path = storage.where(MANIFEST)
    try:
        content = storage.read(MANIFEST, 0, None)
    except OSError as error:
        raise DataError(
            f"{storage.location} has no {MANIFEST}: sat-preencode has not finished there. Run it"
            " again with the same file (sat-preencode FILE): it continues where it stopped"
        ) from error
    decoder = msgspec.json.Decoder(LatentEntry)
    entries = []
    for number, line in enumerate(content.splitlines(), start=1):
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
        if found not in (None, wanted)
    ]
    ours, theirs = autoencoder_fingerprint, details.autoencoder_fingerprint
    if theirs is None:
        logger.warning(
            "nothing in %s says which autoencoder made the latents; they are taken on trust",
            details.folder,
        )
    elif not lines and ours not in (None, theirs):
        lines.append(f"  weights {theirs}, and the model's pretransform has {ours}")
    if lines:
        raise DataError(
            f"the latents in {details.folder} come from another autoencoder than the model's"
            " pretransform:\n"
            + "\n".join(lines)
            + f"\nThey were encoded by {details.checkpoint or 'something unknown'};"
            " use that as pretransform, or encode again with sat-preencode into another folder"
        )


def check_alike(folders: Sequence[LatentDetails], *, sample_rate: int) -> None:
    """Refuse folders that differ from each other, or from the experiment's rate.

    Raises:
        DataError: They do.
    """
    first = folders[0]
    for details in folders:
        if details.sample_rate not in (None, sample_rate):
            raise DataError(
                f"the latents in {details.folder} are of audio at {details.sample_rate} Hz, and"
                f" sample_rate is {sample_rate}"
            )
        prints = {first.autoencoder_fingerprint, details.autoencoder_fingerprint}
        if None not in prints and len(prints) > 1:
            raise DataError(
                f"{first.folder} and {details.folder} hold latents of different autoencoders"
                f" ({first.checkpoint} and {details.checkpoint}), which cannot be mixed"
            )
