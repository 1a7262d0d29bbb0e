import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file of groups below a folder that is the working directory."""
    monkeypatch.chdir(tmp_path)

    def put(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return tmp_path

    return put


TASK = """
import os
from dataclasses import dataclass, field
from pathlib import Path

from sat_config import UserError

@dataclass
class Result:
    folder: Path
    objective: float
    metrics: dict = field(default_factory=dict)

def show(experiment):
    print(type(experiment).__name__, experiment.batch_size, os.getcwd())

def traced(experiment, *, origins):
    print(origins["batch_size"], origins["seed"])

def train(experiment):
    if experiment.batch_size == 8:
        raise UserError("eight is too many")
    folder = Path(f"run{os.getpid()}-{experiment.batch_size}")
    folder.mkdir()
    return Result(folder, 10.0 / experiment.batch_size, {"val/loss": 2.0})
"""


@pytest.fixture
def run(tmp_path):
    """Run the command in a folder of its own, with a module of tasks on the path."""
    (tmp_path / "my_task.py").write_text(TASK)

    def start(*words, cwd=tmp_path):
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "sat_hydra_adapter.cli", *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return start
