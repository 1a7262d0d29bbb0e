"""Sweeps over a real training task: launchers and sweepers of Hydra, sat-train below them."""

import csv
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TINY = (
    "experiment=quick_test",
    "max_steps=2",
    "checkpoint_every=2",
    "val_every=0",
    "sample_size=8192",
    "training.demo.demo_every=1000",
    f"dataset.datasets.0.path={ROOT}/examples/audio/heldout",
    "~val_dataset.datasets",
    f"+val_dataset.datasets=[{{id: heldout, path: {ROOT}/examples/audio/heldout}}]",
)


def sweep(folder, *words):
    command = [sys.executable, "-m", "sat_hydra_adapter.cli", "sat_train:fit", "--multirun"]
    done = subprocess.run(
        [*command, *TINY, *words], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("runs/sweeps/*/table.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_sweep_trains_each_job_in_a_run_folder_of_its_own(tmp_path, launcher):
    rows = sweep(tmp_path, f"hydra/launcher={launcher}", "training.learning_rate=1e-3,1e-4")
    assert [row["training.learning_rate"] for row in rows] == ["0.001", "0.0001"]
    assert len({row["folder"] for row in rows}) == 2
    for row in rows:
        assert (tmp_path / row["folder"] / ".hydra" / "overrides.yaml").is_file()
        assert (tmp_path / row["folder"] / "config.toml").is_file()
        assert 0 < float(row["objective"]) <= float(row["val/mrstft"])


def test_optuna_searches_for_the_smallest_objective(tmp_path):
    rows = sweep(
        tmp_path,
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=2",
        "hydra.sweeper.n_jobs=1",
        "training.learning_rate=interval(1e-4, 1e-2)",
    )
    assert all(1e-4 <= float(row["training.learning_rate"]) <= 1e-2 for row in rows)
    assert len({row["training.learning_rate"] for row in rows}) == 2
