"""From a series to batches of windows: shares, scaling, gaps, calendar."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sat_config.errors import UserError
from sat_forecast.schema import ForecastData
from sat_forecast.series import DAY, STEP_MINUTES, Series
from sat_train.family import DataModule


@dataclass(frozen=True)
class Scaler:
    """What readings are reduced by, per feature, so that a network sees numbers around 1.

    Attributes:
        center: Taken away.
        scale: Divided by.
    """

    center: Float[Tensor, " f"]
    scale: Float[Tensor, " f"]

    @classmethod
    def fitted(
        cls, values: Float[Tensor, "t n f"], valid: Bool[Tensor, "t n f"], *, method: str
    ) -> "Scaler":
        """By mean and deviation ("standard"), or by smallest and largest ("minmax")."""
        features = [values[..., f][valid[..., f]] for f in range(values.shape[-1])]
        if any(feature.numel() == 0 for feature in features):
            raise UserError("a feature has no reading in the training share of the data")
        if method == "standard":
            pairs = [(feature.mean(), feature.std(correction=0)) for feature in features]
        else:
            pairs = [(feature.min(), feature.max() - feature.min()) for feature in features]
        scale = torch.stack([scale for _, scale in pairs])
        return cls(torch.stack([c for c, _ in pairs]), torch.where(scale > 0, scale, 1.0))

    def apply(self, values: Float[Tensor, "... f"]) -> Float[Tensor, "... f"]:
        """Readings to numbers around 1."""
        return (values - self.center) / self.scale

    def undo(self, values: Float[Tensor, "... f"]) -> Float[Tensor, "... f"]:
        """Back to readings."""
        return values * self.scale + self.center


@dataclass(frozen=True)
class WindowBatch:
    """Windows.

    Attributes:
        inputs: Normalised readings, gaps filled, and the calendar where it is on.
        targets: Normalised readings that follow.
        valid: Which of the targets were read.
        last: The last normalised readings that are seen: what "nothing changes" forecasts.
    """

    inputs: Float[Tensor, "b t i"]
    targets: Float[Tensor, "b p o"]
    valid: Bool[Tensor, "b p o"]
    last: Float[Tensor, "b o"]

    def to(self, device: torch.device) -> "WindowBatch":
        """The same on a device."""
        parts = {name: getattr(self, name).to(device) for name in self.__dataclass_fields__}
        return replace(self, **parts)


@dataclass(frozen=True)
class Windows:
    """All windows of a share of the series.

    Attributes:
        inputs: The share, as networks see it.
        values: Normalised readings.
        valid: Where they were read.
        starts: First steps of the windows.
        seen: Steps that are seen.
        ahead: Steps that are forecast.
    """

    inputs: Float[Tensor, "t i"]
    values: Float[Tensor, "t o"]
    valid: Bool[Tensor, "t o"]
    starts: Int[Tensor, " w"]
    seen: int
    ahead: int

    def batch(self, numbers: Int[Tensor, " b"]) -> WindowBatch:
        """The windows of these numbers."""
        starts = self.starts[numbers].unsqueeze(1)
        before = starts + torch.arange(self.seen)
        after = starts + self.seen + torch.arange(self.ahead)
        return WindowBatch(
            inputs=self.inputs[before],
            targets=self.values[after],
            valid=self.valid[after],
            last=self.inputs[before[:, -1], : self.values.shape[1]],
        )


class ForecastDataModule(DataModule):
    """Windows of a series, shuffled anew in every epoch; every process takes its own.

    Args:
        data: How windows are cut.
        series: The readings.
        batch_size: Windows per step and process.
        epochs: Passes over the training windows.
        seed: Decides the order, together with the epoch.
        first_batch: Batches that an earlier part of the run has consumed.
        rank: Which of the training processes this is.
        world_size: How many there are.

    Attributes:
        scaler: Fitted on the training share.
        series: The readings.

    Raises:
        UserError: A share is too short for one window.
    """

    def __init__(
        self,
        data: ForecastData,
        *,
        series: Series,
        batch_size: int,
        epochs: int,
        seed: int,
        first_batch: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.series, self.batch_size, self.seed = series, batch_size, seed
        self.first_batch, self.rank, self.world_size = first_batch, rank, world_size
        shares = (data.split.train, data.split.train + data.split.val)
        ends = [round(len(series.values) * share) for share in shares]
        self.scaler = Scaler.fitted(
            series.values[: ends[0]], series.valid[: ends[0]], method=data.normalization_method
        )
        self.windows = _windows(data, series, self.scaler, 0, ends[0])
        self.held_out = _windows(data, series, self.scaler, ends[0], ends[1])
        self.batches = epochs * self.per_epoch
        self.train = self
        self.validation = self.demos = _in_order(self.held_out)

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch, for each process."""
        return math.ceil(len(self.windows.starts) / (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[WindowBatch]:
        number = self.first_batch
        while True:
            epoch, place = divmod(number, self.per_epoch)
            generator = torch.Generator().manual_seed((self.seed * 2**20 + epoch) % 2**63)
            order = torch.randperm(len(self.windows.starts), generator=generator)
            first = (place * self.world_size + self.rank) * self.batch_size
            own = order[first : first + self.batch_size]
            yield self.windows.batch(own if len(own) else order[: self.batch_size])
            number += 1

    def describe(self) -> Mapping[str, str]:
        """How much there is."""
        series = self.series
        missing = 1 - series.valid.float().mean().item()
        detectors = f"{len(series.vdids)} detector{'s' * (len(series.vdids) > 1)}"
        return {
            "data": f"{len(self.windows.starts)} windows of {detectors},"
            f" {', '.join(series.features)}; {missing:.1%} of the readings are missing",
            "validation": f"{len(self.held_out.starts)} windows",
        }


def _in_order(windows: Windows) -> list[WindowBatch]:
    count = len(windows.starts)
    ends = [(first, min(first + 256, count)) for first in range(0, count, 256)]
    return [windows.batch(torch.arange(first, end)) for first, end in ends]


def _windows(data: ForecastData, series: Series, scaler: Scaler, first: int, end: int) -> Windows:
    length = data.sequence_length + data.prediction_length
    if end - first < length:
        raise UserError(
            f"a share of the data has {end - first} steps, but a window needs {length}"
            " (data.sequence_length + data.prediction_length): take more data or another data.split"
        )
    valid = series.valid[first:end]
    values = scaler.apply(series.values[first:end])
    filled = fill_gaps(values, valid, method=data.fill_missing).flatten(1)
    inputs = [filled, calendar(series.clock[first:end])] if data.calendar_features else [filled]
    return Windows(
        inputs=torch.cat(inputs, 1),
        values=values.flatten(1),
        valid=valid.flatten(1),
        starts=torch.arange(0, end - first - length + 1, data.stride),
        seen=data.sequence_length,
        ahead=data.prediction_length,
    )


def fill_gaps(
    values: Float[Tensor, "t n f"], valid: Bool[Tensor, "t n f"], *, method: str
) -> Float[Tensor, "t n f"]:
    """Something to look at where a reading is missing.

    Args:
        values: Normalised readings.
        valid: Where there are any.
        method: "zero", which is the average; "forward", the last reading; "interpolate", the line
            between neighbours. Before the first reading of a detector stands 0 or the first one.
    """
    if method == "zero":
        return torch.where(valid, values, 0.0)
    steps = torch.arange(len(values)).view(-1, 1, 1).expand_as(values)
    before = torch.where(valid, steps, -1).cummax(0).values
    last = values.gather(0, before.clamp(min=0)).where(before >= 0, 0.0)
    if method == "forward":
        return last
    after = torch.where(valid, steps, len(values)).flip(0).cummin(0).values.flip(0)
    following = values.gather(0, after.clamp(max=len(values) - 1))
    share = (steps - before) / (after - before).clamp(min=1)
    between = last + share * (following - last)
    lone = torch.where(before < 0, following.where(after < len(values), 0.0), last)
    return torch.where((before >= 0) & (after < len(values)), between, lone)


def calendar(clock: Float[Tensor, " t"]) -> Float[Tensor, "t 4"]:
    """Sine and cosine of the time of day, and of the day of the week."""
    day = clock * (2 * math.pi / (DAY * STEP_MINUTES))
    return torch.stack([day.sin(), day.cos(), (day / 7).sin(), (day / 7).cos()], 1)
