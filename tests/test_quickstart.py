"""The README's road, walked by the real commands: train, pre-encode, train on latents.

Slow by nature (a few minutes on two cores): this is the one test that shows that the parts learn
something together.
"""

import csv
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

ROOT = pathlib.Path(__file__).parents[1]
EXPERIMENTS = ROOT / "configs" / "experiments"
CLIPS = ROOT / "examples" / "audio"
HERE_LATENTS = "dataset.datasets[latents].path=latents/quickstart"

pytestmark = pytest.mark.slow


def command(name, *words, cwd):
    script = pathlib.Path(sys.executable).with_name(name)
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        [script, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quickstart")


@pytest.fixture(scope="module")
def trained(folder):
    done = command("sat-train", EXPERIMENTS / "quickstart.toml", cwd=folder)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def encoded(folder, trained):
    done = command("sat-preencode", EXPERIMENTS / "quickstart.toml", cwd=folder)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def generated(folder, encoded):
    words = (EXPERIMENTS / "quickstart_latents.toml", "--override", HERE_LATENTS)
    done = command("sat-train", *words, cwd=folder)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def run_of(folder, name):
    (run,) = [path for path in (folder / "runs" / name).iterdir() if path.is_dir()]
    return run


def column(run, name):
    with (run / "logs" / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def average_spectrum(paths):
    """Mean magnitude per frequency band in dB, free of overall level."""
    spectra = []
    for path in paths:
        audio, _ = soundfile.read(path, dtype="float32")
        mono = torch.from_numpy(audio.mean(1))
        window = torch.hann_window(2048)
        frames = torch.stft(mono, 2048, window=window, return_complex=True).abs()
        spectra.append(frames.mean(1).numpy())
    mean = np.mean(spectra, axis=0)
    bands = np.array([band.mean() for band in np.array_split(mean, 64)])
    return 20 * np.log10(bands / bands.mean() + 1e-6)


def test_held_out_clip_is_reconstructed_far_better_than_at_first_and_than_silence(folder, trained):
    run = run_of(folder, "quickstart")
    distance, silence = column(run, "val/mrstft"), column(run, "val/mrstft_silence")
    assert distance[-1] < 0.6 * distance[0], distance
    assert distance[-1] < silence[-1], (distance, silence)


def test_command_prints_the_run_folder_and_the_next_command(folder, trained):
    assert str(run_of(folder, "quickstart").relative_to(folder)) in trained.stdout
    assert "sat-preencode" in trained.stdout


def test_run_folder_tells_the_whole_story(folder, trained):
    run = run_of(folder, "quickstart")
    config = json.loads((run / "config.json").read_text())
    origins = json.loads((run / "origins.json").read_text())
    assert config["model"]["encoder"]["type"] == "oobleck"
    assert "small_vae.toml:" in origins["model.encoder.type"]
    assert "quickstart.toml:" in origins["batch_size"]
    assert (run / "config.toml").exists()
    assert "torch" in (run / "environment.json").read_text()
    demos = list((run / "demos").rglob("*"))
    assert any(path.suffix == ".flac" for path in demos)
    assert any(path.suffix == ".png" for path in demos)
    pointer = (folder / "runs" / "quickstart" / "latest").read_text().strip()
    checkpoint = torch.load(folder / "runs" / "quickstart" / pointer, weights_only=True)
    assert any(key.startswith("autoencoder.encoder.") for key in checkpoint["state_dict"])


def test_resolved_configuration_loads_to_the_same_experiment(folder, trained):
    import sat_config

    run = run_of(folder, "quickstart")
    toml, as_json = (sat_config.load(run / name) for name in ("config.toml", "config.json"))
    assert toml == as_json
    assert toml.model == sat_config.load(EXPERIMENTS / "quickstart.toml").model


def test_preencoding_says_which_weights_it_took(folder, encoded):
    pointer = (folder / "runs" / "quickstart" / "latest").read_text().strip()
    assert pathlib.Path(pointer).name in encoded.stdout
    manifest = (folder / "latents" / "quickstart" / "manifest.jsonl").read_text().splitlines()
    files = {json.loads(line)["relpath"] for line in manifest}
    assert files == {path.name for path in (CLIPS / "train").glob("*.flac")}


def test_preencoding_again_has_nothing_left_to_do(folder, encoded):
    latents = folder / "latents" / "quickstart"
    before = {path: path.stat().st_mtime_ns for path in latents.rglob("*.tar")}
    again = command("sat-preencode", EXPERIMENTS / "quickstart.toml", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert before
    assert {path: path.stat().st_mtime_ns for path in latents.rglob("*.tar")} == before


def test_generated_audio_is_nearer_to_the_music_than_noise_is(folder, generated, tmp_path):
    run = run_of(folder, "quickstart_latents")
    last = max((run / "demos").iterdir())
    made = sorted(last.rglob("*.flac"))
    assert made
    noise = tmp_path / "noise.flac"
    samples = np.random.default_rng(0).normal(size=(81920, 2)).clip(-3, 3) / 10
    soundfile.write(noise, samples, 44100)
    music = average_spectrum((CLIPS / "train").glob("*.flac"))
    near = np.abs(average_spectrum(made) - music).mean()
    far = np.abs(average_spectrum([noise]) - music).mean()
    assert near < far, (near, far)
