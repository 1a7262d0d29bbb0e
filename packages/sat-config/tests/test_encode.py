import json
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sat_config
from sat_config import encode, loading

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
plain_values = st.recursive(
    st.one_of(
        words,
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def round_trip(config, write, format):
    name = write(f"again.{format}", sat_config.dumps(config, format))
    report = loading.check(name)
    assert not report.errors, report.errors
    return report.config


@pytest.mark.parametrize("format", ["toml", "json"])
def test_quickstart_survives_the_round_trip(quickstart, write, format):
    config = sat_config.load(quickstart)
    assert round_trip(config, write, format) == config


@pytest.mark.parametrize("format", ["toml", "json"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(label=words, numbers=st.dictionaries(words, st.integers(-(2**63), 2**63 - 1), max_size=3),
       area=st.floats(allow_nan=False, allow_infinity=False), grid=st.lists(st.lists(
           st.integers(0, 9), max_size=2), max_size=3),
       ignored=st.dictionaries(words, plain_values, max_size=3))  # fmt: skip
def test_any_configuration_survives_the_round_trip(
    toy, write, format, label, numbers, area, grid, ignored
):
    config = toy.PlainToy(
        label=label,
        numbers=numbers,
        shape=toy.Circle(area=area, config=toy.CircleConfig(radius=0.1)),
        parts=(toy.Nut(id=label), toy.Bolt(id="x", size=3)),
        grid=tuple(map(tuple, grid)),
        ignored=ignored,
    )
    assert round_trip(config, write, format) == config


@pytest.mark.parametrize("format", ["toml", "json"])
def test_accepted_unknown_keys_survive_the_round_trip(toy, write, format):
    name = write("a.json", {
        "toy_type": "plain",
        "extra": {"a": [1, None, {"b": None, "c": 2.5}]},
        "parts": [{"type": "nut", "id": "n", "colour": "red"}],
        "checks": {"allow_unknown": ["extra", "parts[0].colour"]},
    })  # fmt: skip
    config = loading.check(name).config
    assert config.ignored == {"extra": {"a": [1, {"c": 2.5}]}, "parts[0].colour": "red"}
    assert round_trip(config, write, format) == config


def test_document_is_readable_by_others_and_says_its_version(toy):
    config = toy.PlainToy(label="é")
    toml, same = sat_config.dumps(config), sat_config.dumps(config, "json")
    assert tomllib.loads(toml) == json.loads(same)
    assert json.loads(same)["schema_version"] == 1
    assert "é" in toml
    assert "é" in same


def test_defaults_are_written_out_and_nothing_else_is_left_out(toy):
    data = encode.plain(toy.PlainToy())
    assert data["toy_type"] == "plain"
    assert data["batch_size"] == 4
    assert "shape" not in data


def test_null_inside_a_list_of_tables_is_left_out(quickstart):
    config = sat_config.load(quickstart)
    for found in (encode.plain(config), tomllib.loads(sat_config.dumps(config))):
        assert found["dataset"]["datasets"][0]["id"] == "clips"
    assert encode.without_none({"a": ({"b": None, "c": 1}, None)}) == {"a": [{"c": 1}]}


def test_unknown_format_is_refused(toy):
    with pytest.raises(ValueError, match="format is 'yaml'; expected 'toml' or 'json'"):
        sat_config.dumps(toy.PlainToy(), "yaml")


def test_decode_takes_what_dumps_writes(quickstart):
    config = sat_config.load(quickstart)
    assert sat_config.decode(json.loads(sat_config.dumps(config, "json"))) == config
