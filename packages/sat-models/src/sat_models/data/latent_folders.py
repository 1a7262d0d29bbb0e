"""Folders of latents: ours, SAT's (`<rank>/<id>.npy`) and Stable Audio 3's (flat, with silence)."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from sat_config.audio.dataset import LatentFolder, PreEncodedNode
from sat_models.data.captions import read_filelist
from sat_models.data.custom import CustomModule, custom_module
from sat_models.data.index import Index
from sat_models.data.latent_details import (
    FORMAT,
    LatentDetails,
    read_details,
    read_manifest,
)
from sat_models.data.latent_files import LatentFacts, LatentSource, Span, facts_of, read_table
from sat_models.data.ledger import Ledger
from sat_models.data.storage import Found, LocalStorage
from sat_models.errors import DataError

SILENCE = "silence.npy"
"""In a folder's root: the latents of silence, which fill items up that are too short."""


def find_latents(node: PreEncodedNode, *, ledger: Ledger) -> list[LatentSource]:
    """All items of all folders, in order.

    Raises:
        DataError: A folder is missing, not finished, or holds nothing that can be read.
    """
    return [
        source
        for folder in node.datasets
        for source in _find(folder, extension=node.latent_extension, ledger=ledger)
    ]


def read_silence(folder: str) -> np.ndarray | None:
    """The latents of silence that a folder brings along, if it does."""
    path = Path(folder, SILENCE)
    if not path.is_file():
        return None
    array: np.ndarray = np.load(path, allow_pickle=False)
    return array[0] if array.ndim == 3 else array


def _find(folder: LatentFolder, *, extension: str, ledger: Ledger) -> list[LatentSource]:
    if not Path(folder.path).is_dir():
        raise DataError(f"dataset {folder.id!r}: {folder.path} is not a folder; correct its path")
    custom = custom_module(folder.custom_metadata_module)
    details = read_details(folder.path)
    if details.format == FORMAT:
        return list(_ours(folder, details, custom))
    suffix = f".{folder.latent_extension or extension}"
    found = list(_foreign(folder, details, custom, suffix=suffix, ledger=ledger))
    if not found:
        raise DataError(
            f"dataset {folder.id!r}: no latents in {folder.path} or below it: no file that ends in"
            f" {suffix} with its .json; give the preencode.output_path of an experiment that"
            " sat-preencode has encoded, or a folder that SAT's pre_encode.py has written"
        )
    return found


def _ours(
    folder: LatentFolder, details: LatentDetails, custom: CustomModule | None
) -> Iterator[LatentSource]:
    storage = LocalStorage(folder.path)
    codes = bool(details.dtype and details.dtype.startswith("int"))
    for entry in read_manifest(storage):
        yield LatentSource(
            id=entry.id,
            dataset=folder.id,
            storage=storage,
            values=Span(entry.file, *(entry.values or ())),
            metadata=Span(entry.file, *entry.metadata)
            if entry.metadata
            else Span(_sidecar(entry.file)),
            facts=LatentFacts(
                details.stored_channels,
                entry.frames,
                entry.valid_frames,
                entry.seconds_total,
                codes,
            ),
            details=details,
            start_sample=entry.start_sample,
            custom=custom,
        )


def _foreign(
    folder: LatentFolder,
    details: LatentDetails,
    custom: CustomModule | None,
    *,
    suffix: str,
    ledger: Ledger,
) -> Iterator[LatentSource]:
    storage = LocalStorage(folder.path)
    files = _listed(folder, storage, suffix)
    index = Index(f"{Path(folder.path).resolve()} {suffix}", facts=LatentFacts)

    def study(file: Found) -> LatentFacts:
        return _study(file, storage)

    for file, facts in zip(files, index.learn(files, study, expected=DataError), strict=True):
        if isinstance(facts, Exception):
            ledger.record(storage.where(file.name), str(facts))
            continue
        yield LatentSource(
            id=f"{folder.id}/{file.name}",
            dataset=folder.id,
            storage=storage,
            values=Span(file.name),
            metadata=Span(_sidecar(file.name)),
            facts=facts,
            details=details,
            start_sample=None,
            custom=custom,
        )


def _listed(folder: LatentFolder, storage: LocalStorage, suffix: str) -> list[Found]:
    """Files of latents, each with a stamp that also changes with its metadata."""
    names = read_filelist(Path(folder.path), folder.filelist_path)
    if names is not None:
        found = [storage.stat(part) for name in names for part in (name, _sidecar(name))]
    else:
        found = storage.find((suffix.lower(), ".json"))
    stamps = {file.name: file.stamp for file in found}
    return [
        replace(file, stamp=f"{file.stamp} {stamps.get(_sidecar(file.name), '')}")
        for file in found
        if file.name.lower().endswith(suffix.lower()) and file.name != SILENCE
    ]


def _study(file: Found, storage: LocalStorage) -> LatentFacts:
    where = storage.where(file.name)
    sidecar = storage.stat(_sidecar(file.name))
    if not sidecar.size:
        raise DataError(f"{where}: has no metadata beside it ({Path(sidecar.name).name})")
    metadata = read_table(Span(sidecar.name), storage)
    try:
        with storage.open(file.name) as opened:
            shape, dtype = npy_header(opened.read(4096))
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: no array: {error}") from error
    return facts_of(shape, dtype, metadata, where=where)


def npy_header(content: bytes) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and number format of the array in a `.npy` file.

    Raises:
        ValueError: It is none.
    """
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype


def _sidecar(name: str) -> str:
    return f"{name.rpartition('.')[0]}.json"
