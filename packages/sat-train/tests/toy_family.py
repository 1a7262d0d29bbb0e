"""A model family from another field, as a package from outside would bring it: fits a line."""

from collections.abc import Iterable

import torch

from sat_config.node import Node, Positive, PositiveFloat
from sat_config.registry import family, member
from sat_config.run import Experiment
from sat_models.build import build_model
from sat_train.demo import PlotDemo
from sat_train.family import DataModule, Method, build_datamodule, build_training
from sat_train.steps import Losses, Part, StepSettings, Updater


class LineModel(Node, kw_only=True):
    name: str
    features: Positive = 3


class LineTraining(Node, kw_only=True):
    rate: PositiveFloat = 0.1


@family("line model", tag_path=("model", "name"), root=True)
class LineExperiment(Experiment, kw_only=True):
    model: LineModel
    training: LineTraining = LineTraining()


@member(tag="Line")
class PlainLine(LineExperiment, kw_only=True):
    pass


class LineData(DataModule):
    def __init__(self, *, first_batch: int, batch_size: int, features: int) -> None:
        self.first_batch = first_batch
        self.batch_size = batch_size
        self.features = features
        self.validation = [self.batch(-1)]
        self.demos = self.validation

    @property
    def train(self):
        return _Endless(self)

    def batch(self, number: int):
        generator = torch.Generator().manual_seed(number + 1)
        x = torch.randn(self.batch_size, self.features, generator=generator)
        return {"x": x, "y": x.sum(1)}

    def describe(self):
        return {"data": "made up"}


class _Endless:
    def __init__(self, data: LineData) -> None:
        self.data = data

    def __iter__(self):
        number = self.data.first_batch
        while True:
            yield self.data.batch(number)
            number += 1


class LineMethod(Method):
    headline = "val/mse"

    def __init__(self, model, *, rate: float, settings: StepSettings) -> None:
        super().__init__(settings=settings, demo_every=1000)
        self.model = model
        self.rate = rate

    def error(self, batch):
        return (self.model(batch["x"]).squeeze(1) - batch["y"]).square().mean()

    @property
    def parts(self):
        return (Part("line", (self.model,)),)

    def build_updater(self, part):
        return Updater(torch.optim.SGD(part.weights(), lr=self.rate))

    def losses(self, batch, part):
        return Losses({"mse": self.error(batch)})

    def validate(self, batches: Iterable):
        return {"val/mse": float(torch.stack([self.error(batch) for batch in batches]).mean())}

    def demos(self, batches: Iterable):
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().plot([self.model(batch["x"])[0].item() for batch in batches])
        yield PlotDemo(name="line", figure=figure)


@build_model.register
def _model(experiment: PlainLine):
    return torch.nn.Linear(experiment.model.features, 1)


@build_datamodule.register
def _data(experiment: LineExperiment, *, ledger, first_batch, rank, world_size):
    return LineData(
        first_batch=first_batch,
        batch_size=experiment.batch_size,
        features=experiment.model.features,
    )


@build_training.register
def _training(experiment: LineExperiment, *, model):
    settings = StepSettings.of(experiment)
    return LineMethod(model, rate=experiment.training.rate, settings=settings)
