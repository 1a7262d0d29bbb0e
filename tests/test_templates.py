"""The templates of `sat-config init` train: one step each, made small, on the clips in examples."""

import pathlib

import pytest

import sat_config
from sat_config import cli
from sat_preencode import preencode
from sat_train import fit

CLIPS = pathlib.Path(__file__).parents[1] / "examples" / "audio" / "train"
SAMPLES = 16384
RUN = ["max_steps=1", "batch_size=2", "num_workers=0", "accelerator=cpu", f"sample_size={SAMPLES}"]


@pytest.fixture
def template(tmp_path, monkeypatch):
    """Write a template and load it with overrides."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    for clip in sorted(CLIPS.glob("*.flac"))[:2]:
        (tmp_path / "music" / clip.name).symlink_to(clip)

    def load(name, *words):
        assert cli.main(["init", name]) == 0
        return sat_config.load(f"{name}.toml", [*RUN, *words])

    return load


def narrow(model):
    """Overrides that make an Oobleck autoencoder small."""
    return [f"{model}.{part}.config.channels=4" for part in ("encoder", "decoder")]


def check_run(result):
    assert result.step == 1
    assert result.checkpoint.is_file()


@pytest.mark.parametrize("name", ["autoencoder", "codec"])
def test_autoencoder_trains_and_encodes(template, name):
    size = f"preencode.sample_size={SAMPLES}"
    experiment = template(name, *narrow("model"), size, "training.demo.demo_every=1000")
    check_run(fit(experiment))
    assert preencode(experiment).items > 0
    assert pathlib.Path("latents", name, "manifest.jsonl").is_file()


def test_diffusion_model_trains_on_latents(template):
    size = f"preencode.sample_size={SAMPLES}"
    autoencoder = template("autoencoder", *narrow("model"), size)
    fit(autoencoder)
    preencode(autoencoder)
    small = ["model.config.embed_dim=64", "model.config.depth=1", "model.config.num_heads=2"]
    demo = ["training.demo.demo_steps=1", "training.demo.num_demos=1"]
    check_run(fit(template("latents", *narrow("model.pretransform.config"), *small, *demo)))
