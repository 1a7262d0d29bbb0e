"""Layers of a family from another field: kinds, guarded keys, derived values, foreign sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pytest

import sat_config
from sat_config import registry
from sat_config.node import Node, Positive
from sat_config.registry import Derived, family, member
from sat_config.run import Experiment


class Data(Node, kw_only=True):
    features: tuple[str, ...] = ("volume", "speed")
    sensors: Positive = 1


class SmallNet(Node, kw_only=True):
    width: Positive = 8
    input_size: Positive = 2


class LargeNet(Node, kw_only=True):
    depth: Positive = 4
    input_size: Positive = 2


class Small(Node, kw_only=True):
    name: Literal["Small"]
    small: SmallNet = SmallNet()


class Large(Node, kw_only=True):
    name: Literal["Large"]
    large: LargeNet = LargeNet()


def derive(tree: dict[str, Any]) -> Iterator[Derived]:
    data = tree.get("data", {})
    features, sensors = data.get("features", ["volume", "speed"]), data.get("sensors", 1)
    if isinstance(features, list) and isinstance(sensors, int):
        section = {"Small": "small", "Large": "large"}[tree["model"]["name"]]
        because = f"{len(features)} features of {sensors} sensors make {len(features) * sensors}"
        yield Derived(("model", section, "input_size"), len(features) * sensors, because)


@pytest.fixture(autouse=True)
def weather():
    with registry.fresh():

        @family(
            "forecaster",
            tag_path=("model", "name"),
            root=True,
            guards={"data": "model"},
            derive=derive,
        )
        class WeatherExperiment(Experiment, kw_only=True):
            data: Data = Data()

        @member(tag="Small")
        class SmallExperiment(WeatherExperiment, kw_only=True):
            own_section: ClassVar[tuple[str, ...]] = ("model", "small")
            data_keys: ClassVar[tuple[str, ...]] = ("model.small.input_size",)

            model: Small

        @member(tag="Large")
        class LargeExperiment(WeatherExperiment, kw_only=True):
            own_section: ClassVar[tuple[str, ...]] = ("model", "large")
            data_keys: ClassVar[tuple[str, ...]] = ("model.large.input_size",)

            model: Large

        yield


@pytest.fixture
def files(write):
    write("small.yaml", "layer: model\nmodel: {name: Small, small: {width: 16}}\n")
    write("data.yaml", "layer: data\ndata: {sensors: 3}\nmodel: {small: {input_size: 6}}\n")
    return write


def problems(*layers, words=()):
    return sat_config.check(layers[0], words, layers[1:]).problems


def test_kind_is_gone_after_merging(files):
    config = sat_config.load("small.yaml", layers=["data.yaml"])
    assert (config.model.small.width, config.model.small.input_size) == (16, 6)
    assert "layer" not in sat_config.plain(config)


def test_includes_is_an_alias(files):
    files("top.toml", 'includes = ["small.yaml", "data.yaml"]\nname = "rain"\n')
    config = sat_config.load("top.toml")
    assert config == sat_config.load("small.yaml", ["name=rain"], ["data.yaml"])


def test_both_spellings_of_include_are_refused(files):
    files("top.toml", 'includes = ["small.yaml"]\ninclude = ["data.yaml"]\n')
    assert [problem.code for problem in problems("top.toml")] == ["bad-include"]


def test_data_layer_may_not_touch_the_architecture(files):
    files("bad.yaml", "layer: data\nmodel:\n  small:\n    width: 32\n")
    (problem,) = problems("small.yaml", "bad.yaml")
    assert (problem.code, problem.file, problem.line) == ("guarded-key", "bad.yaml", 4)
    assert problem.message == "a data layer may not set model.small.width, which small.yaml sets"
    assert problem.path == ("model", "small", "width")


@pytest.mark.parametrize("kind", ["", "layer: training\n"])
def test_other_layers_may(files, kind):
    files("other.yaml", f"{kind}model: {{small: {{width: 32}}}}\n")
    assert sat_config.load("small.yaml", layers=["other.yaml"]).model.small.width == 32


def test_command_line_may(files):
    config = sat_config.load("small.yaml", ["model.small.width=64"], ["data.yaml"])
    assert config.model.small.width == 64


def test_derived_value_is_filled_in_and_traced(files):
    report = sat_config.check("small.yaml", ["data.sensors=4"])
    assert report.config.model.small.input_size == 8
    assert report.origins["model.small.input_size"].startswith("derived: 2 features of 4 sensors")


@pytest.mark.parametrize("value", [5, 12])
def test_another_value_than_the_derived_one_is_refused(files, value):
    files("wrong.yaml", f"layer: data\nmodel: {{small: {{input_size: {value}}}}}\n")
    (problem,) = problems("small.yaml", "wrong.yaml", words=["data.sensors=3"])
    assert (problem.code, problem.file, problem.line) == ("derived-value", "wrong.yaml", 2)
    assert problem.message == (
        f"model.small.input_size is {value}, but 2 features of 3 sensors make 6"
    )
    assert problem.suggestion == "6, or leave it out"


def test_layer_is_refused_even_if_a_later_one_is_right(files):
    files("wrong.yaml", "layer: data\nmodel: {small: {input_size: 5}}\n")
    found = problems("small.yaml", "wrong.yaml", "data.yaml")
    assert [(problem.code, problem.file) for problem in found] == [("derived-value", "wrong.yaml")]


def test_override_of_a_derived_value_must_agree_too(files):
    word = "model.small.input_size=7"
    (problem,) = problems("small.yaml", "data.yaml", words=[word])
    assert (problem.code, problem.path) == ("derived-value", ("model", "small", "input_size"))
    assert word in problem.file


def test_resolved_document_loads_to_the_same(files):
    config = sat_config.load("small.yaml", layers=["data.yaml"])
    for format in ("toml", "json", "yaml"):
        files(f"resolved.{format}", sat_config.dumps(config, format))
        assert sat_config.load(f"resolved.{format}") == config


def test_sections_of_other_models_are_dropped_and_told(files):
    files("both.yaml", "layer: data\nmodel: {small: {input_size: 2}, large: {input_size: 2}}\n")
    report = sat_config.check("small.yaml", layers=["both.yaml"])
    assert report.config.model.small.input_size == 2
    (note,) = report.problems
    assert (note.code, note.severity, note.line) == ("other-model", "warning", 2)
    assert "for Large" in note.message


def test_section_of_no_model_is_an_error(files):
    files("odd.yaml", "model: {medium: {input_size: 2}}\n")
    assert [problem.code for problem in problems("small.yaml", "odd.yaml")] == ["unknown-key"]


def test_unusual_order_of_kinds_is_a_warning(files):
    report = sat_config.check("data.yaml", layers=["small.yaml"])
    assert report.config is not None
    (note,) = report.problems
    assert (note.code, note.severity, note.file) == ("layer-order", "warning", "small.yaml")


def test_unknown_kind_is_refused(files):
    files("odd.yaml", "layer: sauce\n")
    (problem,) = problems("small.yaml", "odd.yaml")
    assert (problem.code, problem.line) == ("bad-layer-kind", 1)
    assert '"model", "data", "training"' in problem.message


def test_broken_data_is_told_by_decoding_not_by_deriving(files):
    found = problems("small.yaml", words=["data.sensors=many"])
    assert [problem.path for problem in found] == [("data", "sensors")]


AMBIGUOUS = ["no", "1e-4", "12", "null", "", "a: b", "x\ny", "~", "true", "é", "2020-01-01"]


@pytest.mark.parametrize("value", AMBIGUOUS)
def test_text_survives_yaml(files, value):
    config = sat_config.load("small.yaml", layers=[{"experiment": {"description": value}}])
    files("resolved.yaml", sat_config.dumps(config, "yaml"))
    assert sat_config.load("resolved.yaml").experiment.description == value
