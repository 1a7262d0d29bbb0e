"""Datasets."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from sat_config.node import (
    InputPath,
    Node,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Probability,
)
from sat_config.registry import family, member


@family("dataset")
class DatasetNode(Node, kw_only=True, tag_field="dataset_type"):
    """Where training data comes from.

    Attributes:
        drop_last: Leave out the last batch of an epoch when it is not full.
    """

    latent_keys: ClassVar[tuple[str, ...] | None] = ()

    drop_last: bool = True


class AudioNode(DatasetNode, kw_only=True):
    """What all datasets of waveforms have in common: how a crop is cut and treated.

    Attributes:
        random_crop: Crop at a random place; false takes the start of each file.
        phase_flip: Share of crops whose sign is flipped, in training only. SAT flips half, always.
        silence_peak_db: Peak, in dB of full scale, below which a crop is silent; a silent crop is
            treated like a bad file. SAT's is fixed at -60, and takes a random other file.
        strip_silence: Leave out silence at the end of a file: what stays below -60 dB.
        remove_silence: Shorten long silences; decodes every file whole.
        silence_threshold: Amplitude below which a sample is silent, and the seconds that are kept
            of a long silence.
        max_silence_duration: Silences longer than this, in seconds, are shortened.
        volume_norm: Bring each crop to a target loudness.
        volume_norm_param: Target in LUFS, and the range in LU by which it varies at random.
    """

    random_crop: bool = True
    phase_flip: Probability = 0.5
    silence_peak_db: float = -60.0
    strip_silence: bool = False
    remove_silence: bool = False
    silence_threshold: tuple[PositiveFloat, NonNegativeFloat] = (0.01, 0.5)
    max_silence_duration: PositiveFloat = 0.25
    volume_norm: bool = False
    volume_norm_param: tuple[float, NonNegativeFloat] = (-16.0, 2.0)


class Folder(Node, kw_only=True):
    """A folder of a dataset, searched with all its subfolders.

    Attributes:
        id: Names the folder in item ids, messages and overrides.
        path: The folder.
        filelist_path: Text file with one path per line, relative to the folder, which is then not
            searched; `filelist.txt` in the folder counts as one.
        keywords: Take only files whose name contains one of these, in upper or lower case.
        weight: How often each of its files comes, against files of weight 1.
        custom_metadata_module: Python file whose `get_custom_metadata(info, audio)` adds to the
            metadata of each item; runs only where the process allows custom code.
    """

    id: Annotated[str, Meta(min_length=1)]
    path: InputPath
    filelist_path: InputPath | None = None
    keywords: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    weight: PositiveFloat = 1.0
    custom_metadata_module: InputPath | None = None


@member
class AudioDirNode(AudioNode, kw_only=True, tag="audio_dir"):
    """Audio files in folders, with captions beside them.

    `song.txt` beside `song.flac` is its prompt; `song.json` holds further metadata.

    Attributes:
        datasets: The folders.
    """

    datasets: Annotated[tuple[Folder, ...], Meta(min_length=1)]


class LatentFolder(Node, kw_only=True):
    """A folder of latents.

    Attributes:
        id: Names the folder in item ids, messages and overrides.
        path: The folder.
        filelist_path: Text file with one path per line, relative to the folder, which is then not
            searched; `filelist.txt` in the folder counts as one.
        weight: How often each of its items comes, against items of weight 1.
        latent_extension: Suffix of the files to look for, without its dot; that of the dataset if
            left out.
        custom_metadata_module: Python file whose `get_custom_metadata(info, audio)` adds to the
            metadata of each item; runs only where the process allows custom code.
    """

    id: Annotated[str, Meta(min_length=1)]
    path: InputPath
    filelist_path: InputPath | None = None
    weight: PositiveFloat = 1.0
    latent_extension: Annotated[str, Meta(min_length=1, pattern=r"^\w+$")] | None = None
    custom_metadata_module: InputPath | None = None


@member
class PreEncodedNode(DatasetNode, kw_only=True, tag="pre_encoded"):
    """Latents or codes that sat-preencode, SAT's pre_encode.py or Stable Audio 3 wrote.

    Attributes:
        datasets: The folders.
        latent_crop_length: Frames per item; whole items if left out.
        random_crop: Crop at a random place; false takes the start.
        min_length_sec: Leave out items of sources shorter than this, in seconds.
        max_length_sec: Leave out items of sources longer than this, in seconds.
        latent_extension: Suffix of the files to look for, without its dot.
    """

    datasets: Annotated[tuple[LatentFolder, ...], Meta(min_length=1)]
    latent_crop_length: Positive | None = None
    random_crop: bool = False
    min_length_sec: NonNegativeFloat | None = None
    max_length_sec: PositiveFloat | None = None
    latent_extension: Annotated[str, Meta(min_length=1, pattern=r"^\w+$")] = "npy"


class ShardFolder(Node, kw_only=True):
    """A folder or bucket prefix of tar shards.

    Attributes:
        id: Names the source in item ids, messages and overrides.
        s3_path: Bucket prefix (`s3://bucket/prefix/`); wins over `path`.
        path: Local folder, searched for `.tar` files.
        profile: Credentials profile for the bucket.
        custom_metadata_module: Python file whose `get_custom_metadata(info, audio)` adds to the
            metadata of each item; runs only where the process allows custom code.
    """

    harmless_keys: ClassVar[tuple[str, ...]] = ("profile",)

    id: Annotated[str, Meta(min_length=1)]
    s3_path: Annotated[str, Meta(pattern=r"^s3://.+")] | None = None
    path: InputPath | None = None
    profile: Annotated[str, Meta(min_length=1)] | None = None
    custom_metadata_module: InputPath | None = None


@member
class WebDatasetNode(AudioNode, kw_only=True, tag="wds"):
    """WebDataset tar shards, local or in a bucket.

    A shard holds the files of one sample side by side: `a.flac` and `a.json`, or `a.npy` and
    `a.json`. Of latents, too, crops lie at random places unless told otherwise, where
    `pre_encoded`'s do not.

    Attributes:
        datasets: The sources.
        pre_encoded: The shards hold latents.
        latent_crop_length: Frames per item of latents; whole items if left out.
        min_length_sec: Leave out latents of sources shorter than this, in seconds.
        max_length_sec: Leave out latents of sources longer than this, in seconds.
        resampled_shards: Draw shards with replacement; false reads each once per epoch.
        epoch_steps: Steps that count as an epoch where shards are resampled.
    """

    datasets: Annotated[tuple[ShardFolder, ...], Meta(min_length=1)]
    pre_encoded: bool = False
    latent_crop_length: Positive | None = None
    min_length_sec: NonNegativeFloat | None = None
    max_length_sec: PositiveFloat | None = None
    resampled_shards: bool = True
    epoch_steps: Annotated[
        Positive, Meta(extra={"inert": "training is one stream; `max_steps` says how long"})
    ] = 2000


@member(alias_of="wds")
class S3Node(WebDatasetNode, kw_only=True, tag="s3"):
    """SAT's older name for `wds`; the same in all respects."""
