"""Datasets."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sat_config.node import InputPath, Node, Positive, Probability
from sat_config.registry import family, member


@family("dataset")
class DatasetNode(Node, kw_only=True, tag_field="dataset_type"):
    """Where training data comes from.

    Attributes:
        drop_last: Leave out the last batch of an epoch when it is not full.
    """

    drop_last: bool = True


class Folder(Node, kw_only=True):
    """A folder of a dataset, searched with all its subfolders.

    Attributes:
        id: Names the folder in item ids, messages and overrides.
        path: The folder.
    """

    id: Annotated[str, Meta(min_length=1)]
    path: InputPath


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
    """Latents that sat-preencode wrote.

    Attributes:
        datasets: The folders, each with its manifest.
        latent_crop_length: Frames per item; whole items if left out.
        random_crop: Crop at a random place; false takes the start.
    """

    datasets: Folders
    latent_crop_length: Positive | None = None
    random_crop: bool = False
