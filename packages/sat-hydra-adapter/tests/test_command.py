import os
import pathlib
import sys

import pytest
import yaml

import sat_config
from sat_hydra_adapter import hydra_main, load_task
from sat_hydra_adapter.words import GROUPS

ROOT = pathlib.Path(__file__).parents[3]


def test_load_task_refuses_what_is_no_function():
    with pytest.raises(sat_config.UserError, match="expected module:function"):
        load_task("os.path")
    with pytest.raises(sat_config.UserError, match="cannot be imported"):
        load_task("os:no_such_function")
    with pytest.raises(sat_config.UserError, match="not a function"):
        load_task("os:sep")
    assert load_task("os.path:join") is os.path.join


def test_command_runs_a_task_where_it_was_started(run, tmp_path):
    before = set(tmp_path.iterdir())
    done = run("my_task:show", "experiment=quickstart", "batch_size=5")
    assert done.stdout.split() == ["AutoencoderExperiment", "5", str(tmp_path)], done.stderr
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"__pycache__"}


@pytest.mark.parametrize("flag", ["--config-dir", "-cd"])
def test_folder_of_groups_may_be_named(run, flag):
    done = run("my_task:show", flag, str(GROUPS), "experiment=quickstart", cwd=ROOT)
    assert done.stdout.startswith("AutoencoderExperiment 1 "), done.stderr


def test_missing_folder_is_named(run):
    done = run("my_task:show", "--config-dir", "nowhere", "experiment=quickstart")
    assert (done.returncode, done.stderr) == (
        1,
        "--config-dir nowhere: there is no such folder\n",
    )


def test_task_that_asks_for_origins_gets_them(run):
    done = run("my_task:traced", "experiment=quickstart", "batch_size=5")
    word, place = done.stdout.split()
    assert word == "'batch_size=5'"
    assert place.endswith("groups/experiment/quickstart.yaml:8"), place


def test_mistakes_are_told_together_without_traceback(run):
    done = run("my_task:show", "experiment=quickstart", "batch_size=0", "+model.latent_dims=8")
    assert done.returncode == 1
    assert "'batch_size=0': error[out-of-range]: batch_size is 0" in done.stderr
    assert "'model.latent_dims=8': error[unknown-key]" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Error executing" not in done.stderr


def test_mistyped_word_gets_the_nearest_key_and_no_plus(run):
    done = run("my_task:show", "experiment=quickstart", "batch_sise=5")
    assert done.returncode == 1
    assert done.stderr == ("there is no group and no key 'batch_sise'\n      = try: batch_size\n")


def test_failing_task_is_told_in_its_own_words(run):
    done = run("my_task:train", "experiment=quickstart", "batch_size=8")
    assert (done.returncode, done.stderr) == (1, "eight is too many\n")


def test_run_folder_holds_hydras_files(run, tmp_path):
    done = run("my_task:train", "experiment=quickstart", "batch_size=2")
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("run*/.hydra")
    assert yaml.safe_load((folder / "overrides.yaml").read_text()) == [
        "experiment=quickstart",
        "++batch_size=2",
    ]
    assert yaml.safe_load((folder / "config.yaml").read_text())["batch_size"] == 2
    assert "hydra" in yaml.safe_load((folder / "hydra.yaml").read_text())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--cfg", "job"], "batch_size: 7\n"),
        (["--cfg", "job", "--resolve"], "path: data/audio\n"),
        (["--info", "defaults"], "dataset/local_training"),
        (["--help"], "Powered by Hydra"),
    ],
)
def test_hydras_flags_work(run, words, expected):
    done = run("my_task:show", "model=small_vae", "dataset=local_training", "batch_size=7", *words)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert "AutoencoderExperiment" not in done.stdout


def test_command_without_a_task_shows_the_usage(run):
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "MODULE:FUNCTION" in done.stderr


def test_application_of_ones_own(write, monkeypatch):
    folder = write("config.yaml", "defaults: [{model: small_vae}]\n")
    monkeypatch.setattr(sys, "argv", ["mine", "--config-dir", str(folder), "batch_size=9"])
    seen = []
    hydra_main(seen.append)()
    assert [experiment.batch_size for experiment in seen] == [9]
    assert sys.argv == ["mine", "--config-dir", str(folder), "batch_size=9"]
