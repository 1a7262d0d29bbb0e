"""Comments in JSON, accepted unknown keys, and keys without effect."""

import json
import time
import warnings

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sat_config
from sat_config import loading
from sat_config.audio.inference import Inference

TOP = {"toy_type": "plain"}


def comments(report):
    return {p.path: (p.file, p.line) for p in report.problems if p.code == "comment-key"}


def test_json_comments_are_reported_and_dropped(toy, write):
    text = """{"toy_type": "plain", "_comment": "x",
 "shape": {"kind": "circle", "_note": {"b": 1}, "config": {"radius": 1.0, "_": 2}},
 "parts": [{"type": "bolt", "id": "a", "_d": 2}]}"""
    report = loading.check(write("a.json", text))
    assert report.errors == ()
    assert comments(report) == {
        ("_comment",): ("a.json", 1),
        ("shape", "_note"): ("a.json", 2),
        ("shape", "config", "_"): ("a.json", 2),
        ("parts", 0, "_d"): ("a.json", 3),
    }
    assert report.problems[0].message == "'_comment' is taken as a comment and not read"
    assert report.config.parts[0].size == 1


def test_keys_of_a_free_table_are_no_comments(toy, write):
    report = loading.check(write("a.json", {**TOP, "numbers": {"_a": 1, "b": 2}}))
    assert report.problems == ()
    assert report.config.numbers == {"_a": 1, "b": 2}


def test_comments_of_layers_do_not_clash_and_those_of_other_formats_are_keys(toy, write):
    write("below.json", {**TOP, "_a": "text", "child": {"needed": 1, "_a": [1]}})
    report = loading.check(
        write("top.json", {"include": "below.json", "_a": {"b": 1}, "child": {"_a": {"c": 1}}})
    )
    assert report.errors == ()
    assert comments(report) == {("_a",): ("top.json", 1), ("child", "_a"): ("top.json", 1)}
    report = loading.check(write("top.toml", 'include = "below.json"\n_b = 1'))
    assert [(p.code, p.path) for p in report.errors] == [("unknown-key", ("_b",))]


def test_comment_in_a_mounted_part_is_dropped_at_its_place(toy, write):
    write("part.json", {"child": {"needed": 1, "_why": "x"}})
    mount = {"path": "part.json", "take": "child", "at": "child"}
    report = loading.check(write("top.json", {**TOP, "include": [mount]}))
    assert comments(report) == {("child", "_why"): ("part.json", 1)}
    assert report.config.child.needed == 1


def test_many_comments_take_no_time(toy, write):
    parts = [{"type": "bolt", "id": str(i), "_comment": "x"} for i in range(5000)]
    name = write("a.json", json.dumps({**TOP, "parts": parts}, indent=1))
    start = time.perf_counter()
    assert len(loading.check(name).problems) == 5000
    assert time.perf_counter() - start < 20


FREE = st.recursive(
    st.integers(-9, 9) | st.text("_ab", max_size=3),
    lambda inner: st.dictionaries(st.text("_ab", min_size=1, max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(found=st.dictionaries(st.text("_ab", min_size=1, max_size=3), FREE, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_free_form_data_survives_json_whatever_its_keys_begin_with(found, tmp_path):
    config = Inference(conditioning=(found,))
    path = tmp_path / "a.json"
    path.write_text(sat_config.dumps(config, "json"))
    assert sat_config.load_as(path, Inference) == config


def test_stored_defaults_of_keys_without_effect_are_not_reported():
    half = {"type": "seanet", "config": {"ratios": [2]}}
    coder = {"encoder": half, "decoder": half, "latent_dim": 128}
    bottleneck = {"type": "rvq", "config": {"num_quantizers": 2, "codebook_size": 8, "dim": 128}}
    coder |= {"bottleneck": bottleneck, "downsampling_ratio": 2, "io_channels": 1}
    network = {"type": "continuous_transformer", "config": {"embed_dim": 64, "depth": 1}}
    document = {
        "model_type": "lm",
        "sample_rate": 8000,
        "sample_size": 3200,
        "audio_channels": 1,
        "model": {"pretransform": {"type": "autoencoder", "config": coder}, "lm": network},
    }
    config = loading.decode(document)
    stored = json.loads(sat_config.dumps(config, "json"))
    assert stored["model"]["lm"]["global_cond_ids"] == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loading.decode(stored) == config
