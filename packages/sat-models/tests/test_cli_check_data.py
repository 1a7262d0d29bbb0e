import json

import numpy as np
import pytest
import soundfile

from sat_models.cli import main

RATE = 8000
EXPERIMENT = {
    "model_type": "autoencoder",
    "sample_rate": RATE,
    "sample_size": 1024,
    "audio_channels": 2,
    "name": "checked",
    "model": {
        "encoder": {"type": "oobleck", "config": {"in_channels": 2, "latent_dim": 8}},
        "decoder": {"type": "oobleck", "config": {"out_channels": 2, "latent_dim": 4}},
        "bottleneck": {"type": "vae"},
        "latent_dim": 4,
        "downsampling_ratio": 512,
        "io_channels": 2,
    },
}


@pytest.fixture
def music(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "music"
    folder.mkdir()
    for name, seconds, level in (("a", 1, 0.5), ("b", 3, 0.05)):
        soundfile.write(
            folder / f"{name}.wav", rng.uniform(-level, level, (seconds * RATE, 2)), RATE
        )
    (folder / "copy of a.wav").write_bytes((folder / "a.wav").read_bytes())
    return folder


@pytest.fixture
def experiment(music, tmp_path):
    dataset = {"dataset_type": "audio_dir", "datasets": [{"id": "m", "path": str(music)}]}
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(EXPERIMENT | {"sample_size": 2048, "dataset": dataset}))
    return str(path)


def test_report_says_what_there_is(experiment, music, capsys):
    assert main(["check-data", experiment]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "dataset: 3 files, 0:05"
    assert "  length      1.0 s to 3.0 s, half of them up to 1.0 s" in lines
    assert "  rate        8000 Hz (3)" in lines
    assert "  duplicates  1 file" in lines
    assert lines[-2:] == [f"    {music}/a.wav", f"    {music}/copy of a.wav"]


def test_bad_files_are_listed_and_fail(experiment, music, tmp_path, capsys):
    (music / "cut.wav").write_bytes((music / "b.wav").read_bytes()[:9000])
    soundfile.write(music / "silent.flac", np.zeros((RATE, 2)), RATE)
    soundfile.write(music / "six.flac", np.ones((RATE, 6)) / 2, RATE)
    status = main(
        [
            "check-data",
            experiment,
            "--json",
            str(tmp_path / "r.json"),
            "--html",
            str(tmp_path / "r.html"),
        ]
    )
    assert status == 1
    out = capsys.readouterr().out
    assert f"bad: {music}/cut.wav: has been cut short: its header promises 3.00 s" in out
    assert "silent.flac: is silent: its peak is -inf dB" in out
    assert "six.flac: has 6 channels where 2 are wanted" in out
    (report,) = json.loads((tmp_path / "r.json").read_text())
    assert len(report["files"]) == 3
    assert len(report["bad"]) == 3
    assert report["files"][1]["loudness"] < report["files"][0]["loudness"] - 15
    page = (tmp_path / "r.html").read_text()
    assert page.count("<svg") == 3
    assert "cut.wav" in page


def test_mistakes_are_told(experiment, tmp_path, capsys):
    assert main(["check-data", experiment, "--override", "-dataset"]) == 1
    assert "neither dataset nor val_dataset" in capsys.readouterr().err
    assert main(["check-data", experiment, "--override", "dataset.datasets[m].path=nowhere"]) == 1
    assert "is not a folder" in capsys.readouterr().err
