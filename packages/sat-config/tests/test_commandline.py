"""What command lines mean, stable-audio-tools' own among them."""

import argparse
import json

import pytest

import sat_config
from sat_config import commandline

MODEL = {
    "model_type": "autoencoder",
    "sample_rate": 44100,
    "sample_size": 65536,
    "model": {
        "encoder": {"type": "oobleck", "config": {"latent_dim": 128}},
        "decoder": {"type": "oobleck", "config": {"latent_dim": 64}},
        "bottleneck": {"type": "vae"},
        "latent_dim": 64,
        "downsampling_ratio": 512,
        "io_channels": 2,
    },
}
DATASET = {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": "audio"}]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.json").write_text(json.dumps(MODEL))
    (tmp_path / "my data").mkdir()
    (tmp_path / "my data" / "d.json").write_text(json.dumps(DATASET))
    return tmp_path


def request(*words, **flags):
    parser = argparse.ArgumentParser()
    commandline.add_loading(parser, **flags)
    return commandline.parse(parser, words)[1]


def load(found):
    return sat_config.load(found.file, found.overrides, found.layers)


def test_flags_of_sat_alone_make_an_experiment(folder):
    found = request(
        "--model-config", "m.json", "--dataset-config", "my data/d.json",
        "--name", "x", "--batch-size", "8", "--precision", "bf16-mixed", "--ckpt-path", "",
    )  # fmt: skip
    loaded = load(found)
    assert (loaded.name, loaded.batch_size, loaded.precision) == ("x", 8, "bf16-mixed")
    assert loaded.ckpt_path is None
    assert loaded.dataset.datasets[0].path == str(folder / "my data" / "audio")


def test_defaults_ini_is_a_file_like_any_other(folder):
    (folder / "defaults.ini").write_text(
        "[DEFAULTS]\n# SAT's own\nname = my_run\nbatch_size = 4\nrecover = false\nckpt_path = ''\n"
        'model_config = m.json\nstrategy = ""\nnum_gpus = 1\n'
    )
    loaded = load(request("defaults.ini", "--batch-size", "2"))
    assert (loaded.name, loaded.batch_size, loaded.recover, loaded.devices) == (
        "my_run",
        2,
        False,
        1,
    )
    assert load(request("--config-file", "defaults.ini", "--seed", "7")).seed == 7


def test_bad_value_in_defaults_ini_is_shown_at_its_line(folder):
    (folder / "defaults.ini").write_text("model_config = m.json\nbatch_size = many\n")
    problem = sat_config.check("defaults.ini").errors[0]
    assert (problem.line, problem.column, problem.path) == (2, 14, ("batch_size",))


def test_line_of_defaults_ini_that_is_no_setting_is_refused(folder):
    (folder / "defaults.ini").write_text("[DEFAULTS]\nthis is nothing\n")
    problem = sat_config.check("defaults.ini").errors[0]
    assert (problem.code, problem.line) == ("syntax", 2)


def test_key_given_twice_in_defaults_ini_is_refused(folder):
    (folder / "defaults.ini").write_text("seed = 1\nseed = 2\n")
    problem = sat_config.check("defaults.ini").errors[0]
    assert (problem.line, "twice" in problem.message) == (2, True)


def test_overrides_and_flags_keep_their_order():
    found = request("--seed", "1", "--override", "seed=2", "--seed", "3", "--override", "-name")
    assert found.overrides == ("seed=1", "seed=2", "seed=3", "-name")


def test_flags_of_a_command_reach_other_paths():
    found = request(
        "--ckpt-path", "a.ckpt", "--model-half",
        flags={"ckpt-path": "preencode.checkpoint"},
        switches={"model-half": "preencode.model_half"},
    )  # fmt: skip
    assert found.overrides == ("preencode.checkpoint=a.ckpt", "preencode.model_half=true")


def test_request_can_be_asked_for_again():
    found = request("a.toml", "--layer", "b.toml", "--seed", "1", "--override", "-name")
    assert request(*found.words()) == found


def test_command_line_that_names_nothing_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        request()
    assert stopped.value.code == 2
    assert "no experiment is given" in capsys.readouterr().err


def test_path_in_sat_json_is_looked_for_in_the_working_directory_too(folder):
    (folder / "audio").mkdir()
    found = sat_config.check(None, ["model_config=m.json", 'dataset_config="my data/d.json"'])
    assert found.config.dataset.datasets[0].path == str(folder / "audio")
    (warning,) = found.problems
    assert (warning.code, warning.severity) == ("path-from-here", "warning")
    assert warning.path == ("dataset", "datasets", 0, "path")
    (folder / "my data" / "audio").mkdir()
    beside = sat_config.check(None, ["model_config=m.json", 'dataset_config="my data/d.json"'])
    assert beside.config.dataset.datasets[0].path == str(folder / "my data" / "audio")
    assert beside.problems == ()
