"""How forecasters are trained, entered where sat-train looks for it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor, nn

from sat_config import Experiment
from sat_config.errors import UserError
from sat_forecast.networks import Forecaster, by_detector
from sat_forecast.schema import ForecastExperiment
from sat_forecast.series import read_series
from sat_forecast.windows import ForecastDataModule, Scaler, WindowBatch
from sat_models.data.ledger import Ledger
from sat_train.demo import Demo, PlotDemo
from sat_train.family import DataModule, Method, build_datamodule, build_training
from sat_train.steps import Losses, Part, StepSettings, Updater

PLOTTED = 96
"""Windows in a plot: eight hours of one-step forecasts."""


class ForecastMethod(Method):
    """Mean squared error of normalised readings, over those that were read.

    Validation undoes the normalisation: mean absolute error, root of the mean square, and mean
    absolute error as a share of the reading (MAPE, over readings of at least 1), all features
    together and each alone; beside them the same of "nothing changes".

    Args:
        forecaster: The network.
        experiment: Detectors, features, learning rate.
    """

    headline = "val/mse"
    center: Tensor
    scale: Tensor

    def __init__(self, forecaster: Forecaster, *, experiment: ForecastExperiment) -> None:
        super().__init__(
            settings=StepSettings.of(experiment), demo_every=experiment.training.demo_every
        )
        self.forecaster = forecaster
        self.features = experiment.data.features
        self.num_vds = experiment.data.num_vds
        self.training_block = experiment.training
        for name in ("center", "scale"):  # kept with the weights: a forecast needs them
            self.register_buffer(name, torch.zeros(len(self.features)))

    @property
    def scaler(self) -> Scaler:
        """What the readings are reduced by."""
        return Scaler(self.center, self.scale)

    @property
    def parts(self) -> Sequence[Part]:
        """The network."""
        return (Part("forecaster", (self.forecaster,)),)

    def build_updater(self, part: Part) -> Updater:
        """AdamW; without decay that is Adam."""
        block = self.training_block
        return Updater(
            torch.optim.AdamW(
                part.weights(), lr=block.learning_rate, weight_decay=block.weight_decay
            )
        )

    def losses(self, batch: WindowBatch, part: Part) -> Losses:
        """The mean over the readings that are there."""
        error = (self.forecaster(batch.inputs) - batch.targets).square()
        return Losses({"mse": error[batch.valid].mean()})

    def check_data(self, data: DataModule) -> None:
        """Take the scaling of the data along with the weights.

        Raises:
            UserError: The data is another family's.
        """
        if not isinstance(data, ForecastDataModule):
            raise UserError("a forecaster needs a series of readings")
        self.center.copy_(data.scaler.center)
        self.scale.copy_(data.scaler.scale)

    def validate(self, batches: Iterable[WindowBatch]) -> dict[str, float]:
        """Errors over all held-out windows, of the forecast and of "nothing changes"."""
        whole = list(batches)
        forecast = torch.cat([self.forecaster(batch.inputs) for batch in whole])
        truth = torch.cat([batch.targets for batch in whole])
        valid = torch.cat([batch.valid for batch in whole])
        same = torch.cat([batch.last for batch in whole]).unsqueeze(1).expand_as(truth)
        return {
            "val/mse": _mse(forecast, truth, valid),
            "val/mse_nothing_changes": _mse(same, truth, valid),
            **self._errors(forecast, truth, valid),
        }

    def _errors(
        self,
        forecast: Float[Tensor, "b p o"],
        truth: Float[Tensor, "b p o"],
        valid: Float[Tensor, "b p o"],
    ) -> dict[str, float]:
        got, want, there = (by_detector(x, num_vds=self.num_vds) for x in (forecast, truth, valid))
        got, want = self.scaler.undo(got), self.scaler.undo(want)
        found: dict[str, float] = {}
        for number, feature in enumerate(self.features):
            read = there[..., number]
            error = (got[..., number] - want[..., number])[read].abs()
            size = want[..., number][read].abs()
            found[f"val/mae_{feature}"] = error.mean().item()
            found[f"val/rmse_{feature}"] = error.square().mean().sqrt().item()
            found[f"val/mape_{feature}"] = (error / size)[size >= 1].mean().item()
        return found

    def demos(self, batches: Iterable[WindowBatch]) -> Iterator[Demo]:
        """One picture: the forecast of the first step ahead against the truth, per feature."""
        batch = next(iter(batches))
        forecast = self.forecaster(batch.inputs[:PLOTTED])[:, 0]
        truth = batch.targets[:PLOTTED, 0].where(batch.valid[:PLOTTED, 0], torch.nan)
        rows = (x.unflatten(1, (self.num_vds, -1))[:, 0] for x in (forecast, truth))
        got, want = (self.scaler.undo(x).float().cpu() for x in rows)
        figure = Figure(figsize=(8, 2.2 * len(self.features)), layout="constrained")
        axes = figure.subplots(len(self.features), squeeze=False)[:, 0]
        for number, (ax, feature) in enumerate(zip(axes, self.features, strict=True)):
            ax.plot(want[:, number], label="truth", color="black", linewidth=1)
            ax.plot(got[:, number], label="forecast", color="tab:blue", linewidth=1.5)
            ax.set_ylabel(feature)
        axes[0].legend(loc="upper left")
        axes[-1].set_xlabel("held-out steps of five minutes")
        yield PlotDemo(name="forecast", figure=figure)

    def next_words(self, experiment: Experiment, *, config: Path, latest: Path) -> Sequence[str]:
        """Train on, for twice as many epochs."""
        if experiment.max_steps is not None:
            return super().next_words(experiment, config=config, latest=latest)
        words = ["sat-train", str(config), "--override", "recover=true"]
        return [*words, "--override", f"training.epochs={2 * self.training_block.epochs}"]


def _mse(
    forecast: Float[Tensor, "b p o"], truth: Float[Tensor, "b p o"], valid: Float[Tensor, "b p o"]
) -> float:
    return (forecast - truth).square()[valid].mean().item()


@build_datamodule.register
def _data(
    experiment: ForecastExperiment,
    *,
    ledger: Ledger,
    first_batch: int,
    rank: int,
    world_size: int,
) -> ForecastDataModule:
    return ForecastDataModule(
        experiment.data,
        series=read_series(experiment.data, seed=experiment.seed),
        batch_size=experiment.batch_size,
        epochs=experiment.training.epochs,
        seed=experiment.seed,
        first_batch=first_batch,
        rank=rank,
        world_size=world_size,
    )


@build_training.register
def _method(experiment: ForecastExperiment, *, model: nn.Module) -> ForecastMethod:
    if not isinstance(model, Forecaster):
        raise UserError(f"{type(model).__name__} is no forecaster")
    return ForecastMethod(model, experiment=experiment)
