import os
import pathlib
import subprocess
import sys

import pytest

import sat_config
from sat_hydra_adapter import compose, load_task

ROOT = pathlib.Path(__file__).parents[3]
GROUPS = ROOT / "configs" / "hydra"


@pytest.fixture
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_composed_experiment_equals_the_toml_one(at_root):
    composed = compose(GROUPS, ["experiment=quickstart"])
    assert composed == sat_config.load("configs/experiments/quickstart.toml")


def test_words_of_the_command_line_override(at_root):
    composed = compose(
        GROUPS, ["experiment=quickstart", "batch_size=3", "training.learning_rate=1e-4"]
    )
    assert (composed.batch_size, composed.training.learning_rate) == (3, 1e-4)


def test_unknown_key_is_refused_even_with_a_plus(at_root):
    with pytest.raises(sat_config.ConfigError, match="batch_size"):
        compose(GROUPS, ["experiment=quickstart", "+batch_sise=3"])


def test_missing_choice_names_the_group(at_root):
    with pytest.raises(sat_config.UserError, match="model"):
        compose(GROUPS, ["dataset=examples"])


def test_missing_value_names_the_key(tmp_path):
    (tmp_path / "config.yaml").write_text("model_type: autoencoder\nsample_rate: ???\n")
    with pytest.raises(sat_config.UserError, match="sample_rate"):
        compose(tmp_path)


def test_unknown_group_file_is_a_user_error(at_root):
    with pytest.raises(sat_config.UserError, match="no_such_model"):
        compose(GROUPS, ["model=no_such_model"])


def test_load_task_refuses_what_is_no_function():
    with pytest.raises(sat_config.UserError, match="expected module:function"):
        load_task("os.path")
    with pytest.raises(sat_config.UserError, match="cannot be imported"):
        load_task("os:no_such_function")
    with pytest.raises(sat_config.UserError, match="not a function"):
        load_task("os:sep")
    assert load_task("os.path:join") is os.path.join


def run_command(*words, cwd=ROOT):
    command = [sys.executable, "-m", "sat_hydra_adapter.cli", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.fixture
def task_path(tmp_path, monkeypatch):
    """A module with a task that prints what it was given."""
    (tmp_path / "my_task.py").write_text(
        "import os\n"
        "def show(experiment):\n"
        "    print(type(experiment).__name__, experiment.batch_size, os.getcwd())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_command_runs_a_task_where_it_was_started(task_path):
    before = set(ROOT.iterdir())
    done = run_command(
        "my_task:show", "--config-dir", str(GROUPS), "experiment=quickstart", "batch_size=5"
    )
    assert done.stdout.split() == ["AutoencoderExperiment", "5", str(ROOT)], done.stderr
    assert {path.name for path in set(ROOT.iterdir()) - before} <= {".pytest_cache"}


def test_command_reports_a_bad_value_without_traceback(task_path):
    done = run_command(
        "my_task:show", "--config-dir", str(GROUPS), "experiment=quickstart", "batch_size=0"
    )
    assert done.returncode == 1
    assert "batch_size is 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_command_without_a_task_shows_the_usage():
    done = run_command()
    assert (done.returncode, done.stdout) == (2, "")
    assert "MODULE:FUNCTION" in done.stderr


def test_adapter_imports_no_other_package_of_ours_and_no_torch():
    script = (
        "import sys, sat_hydra_adapter\n"
        "bad = {'torch', 'numpy', 'sat_models', 'sat_train', 'sat_preencode'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
