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


class Folder(Node, kw_only=True):
    """A folder of a dataset, searched with all its subfolders.

    Attributes:
        id: Names the folder in item ids, messages and overrides.
        path: The folder.
        custom_metadata_module: Python file whose `get_custom_metadata(info, audio)` adds to the
            metadata of each item; runs only where the process allows custom code.
    """

    id: Annotated[str, Meta(min_length=1)]
    path: InputPath
    custom_metadata_module: InputPath | None = None


Folders = Annotated[tuple[Folder, ...], Meta(min_length=1)]


@member
class AudioDirNode(DatasetNode, kw_only=True, tag="audio_dir"):
    """Audio files in folders.

    Attributes:
        datasets: The folders.
        random_crop: Crop at a random place; false takes the start of each file.
        phase_flip: Share of crops whose sign is flipped, in training only. SAT flips half, always.
    """

    datasets: Folders
    random_crop: bool = True
    phase_flip: Probability = 0.5


@member
class PreEncodedNode(DatasetNode, kw_only=True, tag="pre_encoded"):
    """Latents that sat-preencode (or SAT's pre_encode.py) wrote.

    Attributes:
        datasets: The folders.
        latent_crop_length: Frames per item; whole items if left out.
        random_crop: Crop at a random place; false takes the start.
        min_length_sec: Leave out items of sources shorter than this, in seconds.
        max_length_sec: Leave out items of sources longer than this, in seconds.
        latent_extension: Suffix of the files to look for, without its dot.
    """

    datasets: Folders
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
class WebDatasetNode(DatasetNode, kw_only=True, tag="wds"):
    """WebDataset tar shards, local or in a bucket.

    Attributes:
        datasets: The sources.
        random_crop: Crop at a random place; false takes the start. Also for latents, where SAT's
            default differs from `pre_encoded`'s.
        phase_flip: Share of crops whose sign is flipped, in training only. SAT flips half, always.
        remove_silence: Shorten long silences.
        silence_threshold: Amplitude below which a sample is silent, and the seconds that are kept
            of a long silence.
        max_silence_duration: Silences longer than this, in seconds, are shortened.
        volume_norm: Bring each crop to a target loudness.
        volume_norm_param: Target in LUFS, and the range in LU by which it varies at random.
        epoch_steps: Steps that count as an epoch where shards are resampled.
        pre_encoded: The shards hold latents.
        latent_crop_length: Frames per item of latents; whole items if left out.
        resampled_shards: Draw shards with replacement; false reads each once per epoch.
    """

    datasets: Annotated[tuple[ShardFolder, ...], Meta(min_length=1)]
    random_crop: bool = True
    phase_flip: Probability = 0.5
    remove_silence: bool = False
    silence_threshold: tuple[PositiveFloat, NonNegativeFloat] = (0.01, 0.5)
    max_silence_duration: PositiveFloat = 0.25
    volume_norm: bool = False
    volume_norm_param: tuple[float, NonNegativeFloat] = (-16.0, 2.0)
    epoch_steps: Positive = 2000
    pre_encoded: bool = False
    latent_crop_length: Positive | None = None
    resampled_shards: bool = True


@member(alias_of="wds")
class S3Node(WebDatasetNode, kw_only=True, tag="s3"):
    """SAT's older name for `wds`; the same in all respects."""
