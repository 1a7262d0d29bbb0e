"""Readings of road detectors over time: made up, or from a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sat_config.errors import UserError
from sat_forecast.schema import ForecastData

STEP_MINUTES = 5
DAY = 24 * 60 // STEP_MINUTES


@dataclass(frozen=True)
class Series:
    """Readings.

    Attributes:
        values: As they were read; what stands where a reading is missing means nothing.
        valid: Where there is a reading.
        clock: Minutes since a Monday, midnight.
        vdids: Detectors.
        features: Features.
    """

    values: Float[Tensor, "t n f"]
    valid: Bool[Tensor, "t n f"]
    clock: Float[Tensor, " t"]
    vdids: tuple[str, ...]
    features: tuple[str, ...]


def read_series(data: ForecastData, *, seed: int) -> Series:
    """The readings that a configuration asks for.

    Args:
        data: Which ones.
        seed: Of readings that are made up.

    Raises:
        UserError: The file cannot be read, or lacks a detector or feature.
    """
    whole = synthetic(seed=seed) if data.path is None else _from_file(Path(data.path))
    features = _chosen(data.features, whole.features, "feature", "data.features")
    wanted = data.selected_vdids or whole.vdids[: data.num_vds]
    vdids = _chosen(wanted, whole.vdids, "detector", "data.selected_vdids")
    if len(vdids) < data.num_vds:
        raise UserError(
            f"data.num_vds is {data.num_vds}, but there are {len(whole.vdids)} detectors:"
            f" {', '.join(whole.vdids)}"
        )
    return Series(
        values=whole.values[:, vdids][:, :, features],
        valid=whole.valid[:, vdids][:, :, features],
        clock=whole.clock,
        vdids=tuple(whole.vdids[index] for index in vdids),
        features=data.features,
    )


def _chosen(wanted: Sequence[str], known: Sequence[str], kind: str, key: str) -> list[int]:
    missing = [name for name in wanted if name not in known]
    if missing:
        raise UserError(f"{key}: there is no {kind} {missing[0]!r}; there are {', '.join(known)}")
    return [known.index(name) for name in wanted]


def synthetic(*, seed: int, days: int = 2, detectors: int = 5) -> Series:
    """Days of a ring road: two rush hours that pass the detectors one after the other.

    Volume, speed and occupancy follow from one demand curve with a slow drift and noise; 2 % of
    the readings are missing.

    Args:
        seed: Of drift, noise and gaps.
        days: Days of 288 steps of five minutes.
        detectors: Along the ring; each sees the demand two steps after the one before.
    """
    random = np.random.default_rng(seed)
    steps = days * DAY
    lag = 2 * np.arange(detectors)
    hour = (np.arange(steps)[:, None] - lag) % DAY / DAY * 24
    rush = np.exp(-((hour - 8) ** 2) / 4) + 0.9 * np.exp(-((hour - 17.5) ** 2) / 6)
    drift = np.cumsum(random.normal(0, 0.008, steps))[:, None]
    demand = np.clip(0.15 + rush + drift + random.normal(0, 0.08, (steps, detectors)), 0.02, None)
    speed = 90 / (1 + 0.6 * demand**2) + random.normal(0, 1.5, demand.shape)
    volume = np.clip(900 * demand + random.normal(0, 15, demand.shape), 0, None)
    occupancy = 100 * np.clip(volume / (speed * 60), 0, 1)
    values = np.stack([volume, speed, occupancy], -1).astype(np.float32)
    return Series(
        values=torch.from_numpy(values),
        valid=torch.from_numpy(random.random(values.shape) >= 0.02),
        clock=torch.arange(steps, dtype=torch.float32) * STEP_MINUTES,
        vdids=tuple(f"VD-{number}" for number in range(1, detectors + 1)),
        features=("volume", "speed", "occupancy"),
    )


def _from_file(path: Path) -> Series:
    """HDF5 or NPZ; NaN stands for a missing reading."""
    if not path.is_file():
        raise UserError(f"data.path: there is no file {path}")
    try:
        arrays = _read_npz(path) if path.suffix == ".npz" else _read_hdf5(path)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{path}: {error}; expected data/features (time x detectors x features),"
            " metadata/vdids and metadata/feature_names"
        ) from error
    values = torch.from_numpy(np.asarray(arrays["data/features"], dtype=np.float32))
    vdids, names = (_texts(arrays[f"metadata/{key}"]) for key in ("vdids", "feature_names"))
    if values.ndim != 3 or values.shape[1:] != (len(vdids), len(names)):
        raise UserError(
            f"{path}: data/features is {tuple(values.shape)}, but there are {len(vdids)} vdids and"
            f" {len(names)} feature_names"
        )
    times = arrays.get("metadata/timestamps")
    clock = _minutes(times) if times is not None else np.arange(len(values)) * STEP_MINUTES
    return Series(
        values=torch.nan_to_num(values),
        valid=torch.isfinite(values),
        clock=torch.from_numpy(np.asarray(clock, dtype=np.float32)),
        vdids=vdids,
        features=names,
    )


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _read_hdf5(path: Path) -> dict[str, Any]:
    import h5py

    keys = ("data/features", "metadata/vdids", "metadata/feature_names", "metadata/timestamps")
    with h5py.File(path, "r") as file:
        return {key: file[key][()] for key in keys if key in file or key != keys[-1]}


def _texts(values: Any) -> tuple[str, ...]:  # noqa: ANN401 - an array of text or bytes
    return tuple(v.decode() if isinstance(v, bytes) else str(v) for v in np.asarray(values))


def _minutes(times: Any) -> Any:  # noqa: ANN401 - an array of ISO text, or of seconds since 1970
    """Minutes since a Monday, midnight; the first of January 1970 was a Thursday."""
    array = np.asarray(times)
    if array.dtype.kind in "SUO":
        seconds = np.array(_texts(array), dtype="datetime64[s]").astype(np.int64)
    else:
        seconds = array.astype(np.int64)
    return (seconds / 60 + 3 * 24 * 60) % (7 * 24 * 60)
