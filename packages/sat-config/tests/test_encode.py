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
    with pytest.raises(ValueError, match="format is 'xml'; expected 'toml', 'json' or 'yaml'"):
        sat_config.dumps(toy.PlainToy(), "xml")


def diffusion(**config):
    sizes = {"in_channels": 2, "channels": 32, "multipliers": [1, 1], "factors": [2]}
    sizes |= {"num_blocks": [1], "attentions": [0, 0], **config}
    clap = {"id": "a", "type": "clap_audio", "config": {"clap_ckpt_path": "/clap.ckpt"}}
    return sat_config.decode({
        "model_type": "diffusion_cond",
        "sample_rate": 8000,
        "sample_size": 64,
        "model": {
            "io_channels": 2,
            "conditioning": {"cond_dim": 8, "configs": [clap]},
            "diffusion": {"type": "adp_1d", "config": sizes},
        },
    })  # fmt: skip


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_json_has_what_sat_does_not_take_only_where_it_is_set():
    written = json.loads(sat_config.dumps(diffusion(), "json"))["model"]
    assert "use_stft" in written["diffusion"]["config"]
    assert not {"stft_hop_length", "stft_use_complex"} & {*written["diffusion"]["config"]}
    (clap,) = written["conditioning"]["configs"]
    assert "project_out" in clap["config"]
    assert "finetune" not in clap["config"]
    config = tomllib.loads(sat_config.dumps(diffusion()))["model"]["diffusion"]["config"]
    assert config["stft_hop_length"] == 256
    odd = diffusion(use_stft=True, stft_num_fft=64, stft_hop_length=16)
    written = json.loads(sat_config.dumps(odd, "json"))["model"]
    assert written["diffusion"]["config"]["stft_hop_length"] == 16
    assert "stft_use_complex" not in written["diffusion"]["config"]


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
@pytest.mark.parametrize("format", ["toml", "json"])
def test_what_json_leaves_out_survives_the_round_trip(write, format):
    config = diffusion()
    name = write(f"a.{format}", sat_config.dumps(config, format))
    assert sat_config.load_model(name) == config


def test_decode_takes_what_dumps_writes(quickstart):
    config = sat_config.load(quickstart)
    assert sat_config.decode(json.loads(sat_config.dumps(config, "json"))) == config
