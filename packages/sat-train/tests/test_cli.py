import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import sat_config
from sat_train import fit
from sat_train.cli import main

COMMAND = (sys.executable, "-c", "from sat_train.cli import main; raise SystemExit(main())")


@pytest.fixture
def write(tmp_path):
    def write_file(document, **changes):
        path = tmp_path / "experiment.toml"
        experiment = sat_config.decode({**document, **changes})
        path.write_text(sat_config.dumps(experiment, format="toml"))
        return path

    return write_file


@pytest.fixture
def without_torch(tmp_path, monkeypatch):
    """An environment for processes in which importing torch fails."""
    poison = tmp_path / "poison"
    poison.mkdir()
    (poison / "torch.py").write_text("raise RuntimeError('torch was imported')\n")
    return {**os.environ, "PYTHONPATH": str(poison)}


def test_mistake_in_the_file_is_told_before_torch_is_imported(
    write, autoencoder_document, without_torch
):
    file = write(autoencoder_document)
    file.write_text(file.read_text().replace("batch_size", "batchsize"))
    done = subprocess.run((*COMMAND, file), env=without_torch, capture_output=True, text=True)
    assert done.returncode == 1
    assert "batchsize" in done.stderr
    assert f"{file}:" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage_ends_with_2(without_torch):
    done = subprocess.run((*COMMAND, "--wrong"), env=without_torch, capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage: sat-train" in done.stderr


def test_command_trains_with_overrides(write, autoencoder_document, tmp_path, capfd):
    file = write(autoencoder_document)
    assert main([str(file), "--override", "max_steps=1", "--override", "name=other"]) == 0
    (run,) = (path for path in (tmp_path / "runs" / "other").iterdir() if path.is_dir())
    origins = (run / "origins.json").read_text()
    assert f'"seed": "{file}:' in origins
    assert "max_steps=1" in origins
    out, err = capfd.readouterr()
    assert str(run) in out
    assert err == ""


def test_mistake_in_the_data_is_a_message_and_1(write, autoencoder_document, clips, capfd):
    file = write(autoencoder_document)
    for clip in (clips / "train").iterdir():
        clip.unlink()
    assert main([str(file)]) == 1
    err = capfd.readouterr().err
    assert str(clips / "train") in err
    assert "Traceback" not in err


def test_ctrl_c_before_the_first_step_is_130(write, autoencoder_document, monkeypatch, capfd):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("sat_train.callbacks.validation.Validation.validate", interrupt)
    before = signal.getsignal(signal.SIGINT)
    assert main([str(write(autoencoder_document))]) == 130
    assert signal.getsignal(signal.SIGINT) == before
    assert "nothing to save" in capfd.readouterr().err


@pytest.mark.slow
def test_two_processes_make_one_run(write, autoencoder_document, tmp_path):
    file = write(autoencoder_document, devices=2, max_steps=3)
    command = Path(sys.executable).with_name("sat-train")
    done = subprocess.run((command, file), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished at step 3") == 1
    (run,) = (path for path in (tmp_path / "runs" / "tiny").iterdir() if path.is_dir())
    lines = (run / "logs" / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "0", "1", "2", "3"]
    assert (run / "checkpoints" / "step=00000003.ckpt").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "workers", "status"), [(signal.SIGTERM, 1, 143), (signal.SIGINT, 0, 130)]
)
def test_signal_ends_with_a_checkpoint_to_recover_from(
    write, autoencoder_document, tmp_path, number, workers, status
):
    file = write(autoencoder_document, max_steps=100_000, num_workers=workers)
    process = subprocess.Popen(
        (*COMMAND, file),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for_steps(tmp_path / "runs", process)
        os.killpg(process.pid, number)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, output
    assert "Traceback" not in output
    assert "recover=true" in output
    (checkpoint,) = (tmp_path / "runs").rglob("step=*.ckpt")
    step = torch.load(checkpoint, weights_only=True)["global_step"]
    assert checkpoint.name == f"step={step:08d}.rescue.ckpt"
    again = {**autoencoder_document, "recover": True, "max_steps": step + 3}
    result = fit(sat_config.decode(again))
    assert result.step == step + 3
    assert result.run_folder == checkpoint.parent.parent
    assert torch.load(result.checkpoint, weights_only=True)["global_step"] == step + 3


def wait_for_steps(runs, process):
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        if any(len(log.read_text().splitlines()) > 4 for log in runs.rglob("metrics.csv")):
            return
        time.sleep(0.05)
    pytest.fail(f"no steps: {process.communicate()[0]}")
