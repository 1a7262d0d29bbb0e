"""The configuration of forecasters: root keys `model`, `data` and `training`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from sat_config.node import InputPath, Node, NonNegative, NonNegativeFloat, Positive, PositiveFloat
from sat_config.registry import Derived, family, member
from sat_config.rules import Broken, rule
from sat_config.run import Experiment

Dropout = Annotated[float, Meta(ge=0, lt=1)]

# -------------------------------------------------------------------------------------------- data


class Split(Node, kw_only=True):
    """Shares of the series, in order of time; they add up to 1.

    Attributes:
        train: For training; the scaler is fitted on it alone.
        val: For validation.
        test: Kept for later.
    """

    train: PositiveFloat = 0.7
    val: PositiveFloat = 0.15
    test: NonNegativeFloat = 0.15


class ForecastData(Node, kw_only=True):
    """The readings, and how windows are cut from them.

    Attributes:
        source: "synthetic" makes two seeded days of five detectors; "file" reads `path`.
        path: HDF5 or NPZ file with `data/features` (float, time x detectors x features),
            `metadata/vdids` and `metadata/feature_names`.
        features: Features by name; what a model sees and forecasts of each detector.
        multi_vd_mode: Whether several detectors are forecast together.
        num_vds: How many detectors.
        selected_vdids: Which detectors, by id; the first ones of the file if left out.
        sequence_length: Steps that a forecast is made from.
        prediction_length: Steps that are forecast.
        stride: Steps from one window to the next.
        split: Shares for training, validation and test.
        normalization_method: "standard" to mean 0 and deviation 1, "minmax" to 0..1; fitted per
            feature on the training share.
        fill_missing: What stands for a reading that is missing: the last one of its detector, 0,
            or the line between its neighbours. Missing readings count in no loss and no figure.
        calendar_features: Whether time of day and of week are further inputs.
    """

    training_keys: ClassVar[tuple[str, ...]] = (
        "source",
        "path",
        "stride",
        "split",
        "normalization_method",
        "fill_missing",
        "selected_vdids",
    )

    source: Literal["synthetic", "file"] = "synthetic"
    path: InputPath | None = None
    features: Annotated[tuple[str, ...], Meta(min_length=1)] = ("volume", "speed", "occupancy")
    multi_vd_mode: bool = False
    num_vds: Positive = 1
    selected_vdids: tuple[str, ...] | None = None
    sequence_length: Positive = 12
    prediction_length: Positive = 1
    stride: Positive = 1
    split: Split = Split()
    normalization_method: Literal["standard", "minmax"] = "standard"
    fill_missing: Literal["forward", "zero", "interpolate"] = "forward"
    calendar_features: bool = False

    @property
    def readings(self) -> int:
        """Numbers per step that are forecast: features x detectors."""
        return len(self.features) * self.num_vds

    @property
    def inputs(self) -> int:
        """Numbers per step that a model sees."""
        return self.readings + CALENDAR * self.calendar_features


CALENDAR = 4
"""Sine and cosine of the time of day, and of the day of the week."""

# ---------------------------------------------------------------------------------------- networks


class Network(Node, kw_only=True):
    """What every network of this family has.

    Attributes:
        input_size: Numbers per step that it sees; follows from `data`.
        output_size: Numbers per step that it forecasts; follows from `data`.
        sequence_length: Steps that it sees; follows from `data`.
        prediction_length: Steps that it forecasts; follows from `data`.
        batch_first: Whether the batch is the first axis of a tensor, as it is everywhere here.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("input_size", "output_size", "prediction_length")

    input_size: Positive
    output_size: Positive
    sequence_length: Positive
    prediction_length: Positive
    batch_first: Literal[True] = True


class LSTMNetwork(Network, kw_only=True):
    """A stack of LSTM layers (Hochreiter & Schmidhuber 1997).

    Attributes:
        hidden_size: Width of a layer.
        num_layers: Layers.
        dropout: Share of activations that is dropped between layers, and in the head.
        bidirectional: Whether a second stack reads the steps backwards.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("hidden_size", "num_layers", "bidirectional")
    training_keys: ClassVar[tuple[str, ...]] = ("dropout",)

    hidden_size: Annotated[int, Meta(ge=2)] = 128
    num_layers: Positive = 2
    dropout: Dropout = 0.2
    bidirectional: bool = False


class XLSTMNetwork(Network, kw_only=True):
    """A stack of xLSTM blocks (Beck et al. 2024, arXiv 2405.04517); needs the extra `xlstm`.

    Attributes:
        embedding_dim: Width of a block; a multiple of 4, its heads.
        hidden_size: An older name of `embedding_dim`; equal to it where it is given.
        num_blocks: Blocks.
        slstm_at: Which blocks, from 0, are sLSTM; the others are mLSTM.
        slstm_backend: "vanilla" runs everywhere; "cuda" compiles a kernel.
        context_length: Most steps that a block can see.
        dropout: Share of the embedding that is dropped.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("embedding_dim", "num_blocks", "slstm_at")
    training_keys: ClassVar[tuple[str, ...]] = ("dropout",)
    harmless_keys: ClassVar[tuple[str, ...]] = ("slstm_backend", "hidden_size")

    embedding_dim: Annotated[int, Meta(ge=4, multiple_of=4)] = 128
    hidden_size: Positive | None = None
    num_blocks: Positive = 6
    slstm_at: tuple[NonNegative, ...] = (1, 3)
    slstm_backend: Literal["vanilla", "cuda"] = "vanilla"
    context_length: Positive = 256
    dropout: Dropout = 0.1


class TransformerNetwork(Network, kw_only=True):
    """A transformer encoder (Vaswani et al. 2017) over the steps.

    Attributes:
        d_model: Width; a multiple of `num_heads`.
        num_heads: Attention heads.
        num_layers: Layers.
        ff_dim: Width of the feed-forward part.
        dropout: Share of activations that is dropped.
        activation: Of the feed-forward part.
        norm_first: Whether a layer normalises what it reads, not what it adds up.
        positional: Fixed sinusoids, or learned vectors.
        max_length: Most steps that it can see.
        pool: What the head reads: the last step, or the mean over all.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "d_model",
        "num_layers",
        "ff_dim",
        "norm_first",
        "positional",
    )
    training_keys: ClassVar[tuple[str, ...]] = ("dropout",)

    d_model: Positive = 128
    num_heads: Positive = 8
    num_layers: Positive = 3
    ff_dim: Positive = 256
    dropout: Dropout = 0.1
    activation: Literal["gelu", "relu"] = "gelu"
    norm_first: bool = True
    positional: Literal["sinusoidal", "learned"] = "sinusoidal"
    max_length: Positive = 256
    pool: Literal["last", "mean"] = "last"


class LSTMModel(Node, kw_only=True):
    """`model` of a TrafficLSTM.

    Attributes:
        name: Which model this is.
        lstm: The network.
    """

    name: Literal["TrafficLSTM"]
    lstm: LSTMNetwork


class XLSTMModel(Node, kw_only=True):
    """`model` of a TrafficXLSTM.

    Attributes:
        name: Which model this is.
        xlstm: The network.
    """

    name: Literal["TrafficXLSTM"]
    xlstm: XLSTMNetwork


class TransformerModel(Node, kw_only=True):
    """`model` of a Transformer.

    Attributes:
        name: Which model this is.
        transformer: The network.
    """

    name: Literal["Transformer"]
    transformer: TransformerNetwork


# ---------------------------------------------------------------------------------------- training


class ForecastTraining(Node, kw_only=True):
    """How a forecaster is trained: Adam on the squared error of normalised readings.

    Attributes:
        epochs: Passes over the training windows; the root's `max_steps`, where given, ends earlier.
        learning_rate: Of Adam.
        weight_decay: Of AdamW; 0 makes it Adam.
        demo_every: Steps between plots of forecast against truth; 0 leaves only the one at the
            end.
    """

    harmless_keys: ClassVar[tuple[str, ...]] = ("demo_every",)

    epochs: Positive = 50
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0
    demo_every: NonNegative = 500


# ------------------------------------------------------------------------------------------- roots

DERIVED = ("input_size", "output_size", "sequence_length", "prediction_length")
"""What a network repeats of `data`, and a data layer may therefore state."""


def derive(tree: dict[str, Any]) -> Iterator[Derived]:
    """What the chosen network must be given the data."""
    from sat_config import registry

    entry = registry.current().families[ForecastExperiment]
    cls = entry.member_for(tree)
    data = tree.get("data", {})
    if cls is None or not isinstance(data, dict):
        return
    section = registry.own_section(cls)
    sizes = _sizes(data)
    if section is not None and sizes is not None:
        for key, (value, because) in sizes.items():
            yield Derived((*section, key), value, because)


def _sizes(data: dict[str, Any]) -> dict[str, tuple[int, str]] | None:
    """The derived values by key, each with its arithmetic; None if the data cannot say."""
    default = ForecastData()
    features = data.get("features", default.features)
    vds = data.get("num_vds", default.num_vds)
    calendar = data.get("calendar_features", default.calendar_features)
    if not isinstance(features, list | tuple) or type(vds) is not int or type(calendar) is not bool:
        return None
    readings = len(features) * vds
    product = f"data.features and data.num_vds make {len(features)} x {vds} = {readings}"
    inputs = f"{product}, and the calendar adds {CALENDAR}" if calendar else product
    sizes = {
        "input_size": (readings + CALENDAR * calendar, inputs),
        "output_size": (readings, product),
    }
    for key in ("sequence_length", "prediction_length"):
        steps = data.get(key, getattr(default, key))
        if type(steps) is int:
            sizes[key] = (steps, f"data.{key} is {steps}")
    return sizes


@family(
    "forecaster",
    tag_path=("model", "name"),
    root=True,
    guards={"data": "model"},
    derive=derive,
)
class ForecastExperiment(Experiment, kw_only=True):
    """A forecaster of traffic.

    Attributes:
        data: The readings.
        training: How it is trained.
    """

    training_keys: ClassVar[tuple[str, ...]] = ("data", "training")

    data: ForecastData = ForecastData()
    training: ForecastTraining = ForecastTraining()


def _data_keys(section: str) -> tuple[str, ...]:
    return tuple(f"model.{section}.{key}" for key in DERIVED)


@member(tag="TrafficLSTM")
class LSTMExperiment(ForecastExperiment, kw_only=True):
    """A forecaster with an LSTM.

    Attributes:
        model: The network.
    """

    own_section: ClassVar[tuple[str, ...]] = ("model", "lstm")
    data_keys: ClassVar[tuple[str, ...]] = _data_keys("lstm")

    model: LSTMModel


@member(tag="TrafficXLSTM")
class XLSTMExperiment(ForecastExperiment, kw_only=True):
    """A forecaster with an xLSTM.

    Attributes:
        model: The network.
    """

    own_section: ClassVar[tuple[str, ...]] = ("model", "xlstm")
    data_keys: ClassVar[tuple[str, ...]] = _data_keys("xlstm")

    model: XLSTMModel


@member(tag="Transformer")
class TransformerExperiment(ForecastExperiment, kw_only=True):
    """A forecaster with a transformer.

    Attributes:
        model: The network.
    """

    own_section: ClassVar[tuple[str, ...]] = ("model", "transformer")
    data_keys: ClassVar[tuple[str, ...]] = _data_keys("transformer")

    model: TransformerModel


# ------------------------------------------------------------------------------------------- rules


@rule("FC-E001", on=ForecastData, reads=("multi_vd_mode", "num_vds"))
def detectors_fit_the_mode(data: ForecastData) -> Iterator[Broken]:
    """Several detectors are forecast in multi mode, one in single mode."""
    if data.multi_vd_mode and data.num_vds == 1:
        yield Broken("multi_vd_mode is on, but num_vds is 1", ("num_vds",), "at least 2")
    if not data.multi_vd_mode and data.num_vds > 1:
        message = f"num_vds is {data.num_vds}, but multi_vd_mode is off"
        yield Broken(message, ("multi_vd_mode",), "true")


@rule("FC-E002", on=Split, reads=("train", "val", "test"))
def shares_add_up(split: Split) -> Iterator[Broken]:
    """The shares of the split add up to 1."""
    total = split.train + split.val + split.test
    if abs(total - 1) > 1e-6:
        shares = f"{split.train} + {split.val} + {split.test} = {total:.6g}"
        yield Broken(f"the shares are {shares}, not 1", ("test",))


@rule("FC-E003", on=ForecastData, reads=("source", "path"))
def file_has_a_path(data: ForecastData) -> Iterator[Broken]:
    """Readings from a file need its path, and made ones have none."""
    if (data.source == "file") != (data.path is not None):
        fix = "a path" if data.path is None else "source: file"
        yield Broken(f'source is "{data.source}", and path is {data.path!r}', ("path",), fix)


@rule("FC-E004", on=ForecastData, reads=("selected_vdids", "num_vds"))
def as_many_ids_as_detectors(data: ForecastData) -> Iterator[Broken]:
    """The detectors named are as many as `num_vds` says."""
    ids = data.selected_vdids
    if ids is not None and len(ids) != data.num_vds:
        message = f"{len(ids)} selected_vdids are named, but num_vds is {data.num_vds}"
        yield Broken(message, ("num_vds",), str(len(ids)))


@rule("FC-E005", on=XLSTMNetwork, reads=("slstm_at", "num_blocks"))
def slstm_blocks_exist(network: XLSTMNetwork) -> Iterator[Broken]:
    """`slstm_at` names blocks that there are, each once."""
    wrong = [block for block in network.slstm_at if block >= network.num_blocks]
    if wrong:
        message = f"slstm_at names block {wrong[0]}, but the {network.num_blocks} blocks end at"
        yield Broken(f"{message} {network.num_blocks - 1}", ("slstm_at",))
    if len(set(network.slstm_at)) < len(network.slstm_at):
        yield Broken("slstm_at names a block twice", ("slstm_at",))


@rule("FC-E006", on=XLSTMNetwork, reads=("context_length", "sequence_length"))
def context_holds_the_sequence(network: XLSTMNetwork) -> Iterator[Broken]:
    """The context of an xLSTM holds the steps that it is given."""
    if network.context_length < network.sequence_length:
        message = f"context_length is {network.context_length}, but {network.sequence_length}"
        fix = str(network.sequence_length)
        yield Broken(f"{message} steps are given", ("context_length",), fix)


@rule("FC-E007", on=XLSTMNetwork, reads=("hidden_size", "embedding_dim"))
def hidden_size_repeats_the_width(network: XLSTMNetwork) -> Iterator[Broken]:
    """`hidden_size` of an xLSTM, where given, is its `embedding_dim`."""
    if network.hidden_size not in (None, network.embedding_dim):
        message = f"hidden_size is {network.hidden_size}, but embedding_dim is"
        yield Broken(f"{message} {network.embedding_dim}", ("hidden_size",), "leave it out")


@rule("FC-E008", on=TransformerNetwork, reads=("d_model", "num_heads"))
def heads_divide_the_width(network: TransformerNetwork) -> Iterator[Broken]:
    """The heads of a transformer divide its width."""
    if network.d_model % network.num_heads:
        message = f"d_model {network.d_model} is not a multiple of num_heads {network.num_heads}"
        fix = str(network.d_model // network.num_heads * network.num_heads or network.num_heads)
        yield Broken(message, ("d_model",), fix)


@rule("FC-E009", on=TransformerNetwork, reads=("max_length", "sequence_length"))
def positions_cover_the_sequence(network: TransformerNetwork) -> Iterator[Broken]:
    """A transformer has a position for every step that it is given."""
    if network.max_length < network.sequence_length:
        message = f"max_length is {network.max_length}, but {network.sequence_length}"
        yield Broken(f"{message} steps are given", ("max_length",), str(network.sequence_length))
