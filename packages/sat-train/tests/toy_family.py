"""A model family from another field, as a package from outside would bring it: fits a line."""

import os
from collections.abc import Iterable
from itertools import count

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
    poisoned: tuple[int, ...] = ()


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
    """Item `i` follows from `i`; batches are cut from the items in turn, by all processes."""

    def __init__(self, experiment, *, first_batch, rank, world_size):
        self.size = experiment.batch_size
        self.model = experiment.model
        self.numbers = first_batch * world_size + rank, world_size
        self.validation = [self.batch(10**6)]
        self.demos = self.validation

    @property
    def train(self):
        return Endless(self)

    def batch(self, number: int):
        items = range(number * self.size, (number + 1) * self.size)
        x = torch.stack([self.item(index) for index in items])
        y = x.sum(1) * (float("nan") if number in self.model.poisoned else 1.0)
        return {"x": x, "y": y, "items": tuple(items)}

    def item(self, index: int):
        generator = torch.Generator().manual_seed(index)
        return torch.randn(self.model.features, generator=generator)

    def ids_of(self, batch):
        return [f"line/{index}" for index in batch["items"]]

    def describe(self):
        return {"data": "made up"}


class Endless:
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        return (self.data.batch(number) for number in count(*self.data.numbers))


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
        if folder := os.environ.get("SAT_TOY_LOG"):
            with open(os.path.join(folder, f"{os.getpid()}.items"), "a") as file:
                print(*batch["items"], file=file)
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
    return LineData(experiment, first_batch=first_batch, rank=rank, world_size=world_size)


@build_training.register
def _training(experiment: LineExperiment, *, model):
    settings = StepSettings.of(experiment)
    return LineMethod(model, rate=experiment.training.rate, settings=settings)
