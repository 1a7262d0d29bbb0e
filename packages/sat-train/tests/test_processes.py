"""Several processes that train together, and signals: all for real."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sat_config
from sat_train import fit

pytestmark = pytest.mark.slow

SCRIPT = "import toy_family\nfrom sat_train.cli import main\nraise SystemExit(main())\n"


@pytest.fixture
def start(line_document, tmp_path):
    """Starts `sat-train` on the toy family."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    path = os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
    started = []

    def start_process(*, document=line_document, variables=(), output=subprocess.PIPE, **changes):
        file = tmp_path / f"{len(started)}.toml"
        file.write_text(sat_config.dumps(sat_config.decode({**document, **changes})))
        started.append(
            subprocess.Popen(
                (sys.executable, script, file),
                env={**os.environ, "PYTHONPATH": path, **dict(variables)},
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start_process
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process):
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    return out


def only_run(tmp_path, name):
    (folder,) = (path for path in (tmp_path / "runs" / name).iterdir() if path.is_dir())
    return folder


def losses(folder):
    with (folder / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [float(row["train/loss"]) for row in rows if row["train/loss"]]


def items(folder):
    """What was trained on, by all processes."""
    lines = [line for path in folder.glob("*.items") for line in path.read_text().splitlines()]
    return sorted(int(word) for line in lines for word in line.split())


def test_two_processes_do_what_one_does_with_twice_the_batch(start, tmp_path):
    seen = tmp_path / "seen"
    seen.mkdir()
    one = start(name="one", batch_size=4, max_steps=8)
    two = start(
        name="two", batch_size=2, max_steps=8, devices=2, variables={"SAT_TOY_LOG": str(seen)}
    )
    finish(one)
    out = finish(two)
    assert out.count("finished at step 8") == 1
    alone, together = only_run(tmp_path, "one"), only_run(tmp_path, "two")
    assert losses(together) == pytest.approx(losses(alone), abs=1e-5)
    assert len(losses(together)) == 8
    assert items(seen) == list(range(32))
    files = [
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for folder in (alone, together)
    ]
    assert [len(names) for names in files] == [len(files[0])] * 2


def test_two_processes_take_turns_with_a_discriminator(start, autoencoder_document, tmp_path):
    """In either's turn the other's weights have no gradients, for which DDP must not wait."""
    document = autoencoder_document
    document["training"]["loss_configs"]["discriminator"] = {
        "type": "encodec",
        "config": {"filters": 2, "n_ffts": [64], "hop_lengths": [16], "win_lengths": [64]},
        "weights": {"adversarial": 0.1, "feature_matching": 5.0},
    }
    out = finish(start(document=document, devices=2, runtime={"num_threads": 1}))
    assert out.count("finished at step 4") == 1
    with (only_run(tmp_path, "tiny") / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))[1:]
    assert [row["train/loss"] != "" for row in rows] == [True, False, True, False]
    assert [row["train/recognition"] != "" for row in rows] == [False, True, False, True]


def test_two_machines_make_one_run(start, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    both = [
        start(num_nodes=2, batch_size=2, variables={**address, "NODE_RANK": str(rank)})
        for rank in range(2)
    ]
    out = [finish(process) for process in both]
    assert [text.count("finished at step 4") for text in out] == [1, 0]
    assert len(losses(only_run(tmp_path, "line"))) == 4


def test_slurm_job_is_put_back_into_the_queue_and_goes_on(start, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "scontrol").write_text(f"#!/bin/sh\necho $@ > {tmp_path}/asked\n")
    (tools / "scontrol").chmod(0o755)
    variables = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "77"}
    process = start(max_steps=1_000_000, variables=variables)
    wait_for_steps(tmp_path / "runs", process)
    process.send_signal(signal.SIGUSR1)
    out = finish(process)
    assert "SIGUSR1: stopping after this step" in out
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    folder = only_run(tmp_path, "line")
    record = json.loads((folder / "summary.json").read_text())
    assert (record["status"], record["reason"]) == ("stopped", "SIGUSR1")
    finish(start(max_steps=record["step"] + 3, recover=True))
    assert only_run(tmp_path, "line") == folder
    assert json.loads((folder / "summary.json").read_text())["step"] == record["step"] + 3


def test_killed_run_goes_on_as_if_nothing_had_been(start, autoencoder_document, tmp_path):
    settings = {"checkpoint_every": 10, "num_workers": 1, "runtime": {"num_threads": 1}}
    document = {**autoencoder_document, **settings}
    broken = start(document=document, max_steps=1_000_000)
    wait_for_steps(tmp_path / "runs", broken, steps=35)
    os.killpg(broken.pid, signal.SIGKILL)
    broken.wait()
    folder = only_run(tmp_path, "tiny")
    (newest, older, *_) = sorted(folder.glob("checkpoints/step=*.ckpt"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-100])
    step = int(older.stem.removeprefix("step="))
    out = finish(start(document=document, max_steps=step + 20, recover=True))
    assert f"{newest} is damaged or incomplete" in out
    assert f"resumed     step {step} of" in out
    whole = {**document, "name": "whole", "max_steps": step + 20, "num_workers": 0}
    assert losses(folder) == losses(fit(sat_config.decode(whole)).run_folder)
    assert len(losses(folder)) == step + 20


def test_terminal_shows_a_bar_and_a_log_file_plain_lines(start):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = start(variables={"TERM": "xterm", "COLUMNS": "100"}, output=theirs)
    os.close(theirs)
    shown = read_terminal(ours)
    assert process.wait(timeout=200) == 0, shown
    assert "\u2501" in shown
    assert "\x1b[" in shown
    assert "step 4/4  loss " in shown
    assert "finished at step 4" in shown
    plain = finish(start())
    assert "\x1b" not in plain
    assert "\u2501" not in plain
    assert "\nstep 4/4  loss " in plain


def read_terminal(descriptor):
    """All that is shown; where the other end is closed, Linux reports an error."""
    pieces = []
    try:
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
    except OSError:
        pass
    os.close(descriptor)
    return b"".join(pieces).decode()


def wait_for_steps(runs, process, *, steps=4):
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and process.poll() is None:
        if any(len(log.read_text().splitlines()) > steps for log in runs.rglob("metrics.csv")):
            return
        time.sleep(0.05)
    pytest.fail(f"no steps: {process.communicate()[0]}")
