import csv
import importlib.util
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from sat_hydra_adapter.chart import bar_chart
from sat_hydra_adapter.main import hydra_main, load_task


def needs(module):
    found = importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(module)
    return pytest.mark.skipif(found is None, reason=f"{module} is not installed")


def table_of(folder):
    (path,) = folder.glob("runs/sweeps/*/table.csv")
    with path.open() as file:
        return path, list(csv.DictReader(file))


def test_sweep_leaves_a_table_and_a_picture(run, tmp_path):
    done = run("my_task:train", "--multirun", "experiment=quickstart", "batch_size=1,2,5")
    assert done.returncode == 0, done.stderr
    path, rows = table_of(tmp_path)
    assert [(row["batch_size"], row["objective"], row["val/loss"]) for row in rows] == [
        ("1", "10.0", "2.0"),
        ("2", "5.0", "2.0"),
        ("5", "2.0", "2.0"),
    ]
    assert all((tmp_path / row["folder"] / ".hydra").is_dir() for row in rows)
    texts = [node.text for node in ET.parse(path.with_suffix(".svg")).getroot().iter() if node.text]
    bars = [text for text in texts if text.startswith("batch_size=") and ":" not in text]
    assert bars == ["batch_size=5", "batch_size=2", "batch_size=1"]
    assert f"sweep: 3 jobs in {path.relative_to(tmp_path)}" in done.stdout


def test_job_that_fails_does_not_end_the_sweep(run, tmp_path):
    done = run("my_task:train", "--multirun", "experiment=quickstart", "batch_size=8,0,2")
    assert done.returncode == 1
    _, rows = table_of(tmp_path)
    assert [row["objective"] for row in rows] == ["", "", "5.0"]
    assert rows[0]["error"] == "eight is too many"
    assert "batch_size is 0" in rows[1]["error"]
    assert "2 of 3 jobs failed" in done.stderr
    assert "Traceback" not in done.stderr


@needs("hydra_plugins.hydra_joblib_launcher")
def test_jobs_in_processes_of_their_own(run, tmp_path):
    done = run(
        "my_task:train",
        "--multirun",
        "hydra/launcher=joblib",
        "experiment=quickstart",
        "batch_size=1,2",
    )
    assert done.returncode == 0, done.stderr
    _, rows = table_of(tmp_path)
    assert [row["objective"] for row in rows] == ["10.0", "5.0"]


@needs("hydra_plugins.hydra_submitit_launcher")
def test_task_can_be_sent_to_other_machines(run):
    import cloudpickle

    script = (
        "import sys, cloudpickle\n"
        "sys.argv = ['sat-hydra', 'experiment=quickstart', 'batch_size=6']\n"
        "cloudpickle.load(sys.stdin.buffer)()\n"
    )
    sent = cloudpickle.dumps(hydra_main(load_task("builtins:print")))
    there = subprocess.run([sys.executable, "-c", script], input=sent, capture_output=True)
    assert b"batch_size=6" in there.stdout, there.stderr
    done = run("my_task:show", "hydra/launcher=slurm", "experiment=quickstart", "--cfg", "hydra")
    assert "submitit_launcher.SlurmLauncher" in done.stdout, done.stderr


def test_chart_copes_with_failures_and_nothing():
    chart = bar_chart([("a<b", 1.5), ("c", None)], title="t")
    assert "a&lt;b" in chart
    assert "failed" in chart
    ET.fromstring(chart)
    ET.fromstring(bar_chart([], title="t"))
