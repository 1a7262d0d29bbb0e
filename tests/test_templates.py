"""The templates of `sat-config init` train: one step each, made small, on the clips in examples."""

import os
import pathlib

import pytest

import sat_config
from sat_config import cli
from sat_preencode import preencode
from sat_train import fit

CLIPS = pathlib.Path(__file__).parents[1] / "examples" / "audio" / "train"
SAMPLES = 16384
RUN = ["max_steps=1", "batch_size=2", "num_workers=0", "accelerator=cpu", f"sample_size={SAMPLES}"]
SMALL = ["embed_dim=64", "depth=1", "num_heads=2"]
DEMO = ["training.demo.demo_steps=1", "training.demo.num_demos=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two clips, where all templates do their work."""
    path = tmp_path_factory.mktemp("templates")
    (path / "music").mkdir()
    for clip in sorted(CLIPS.glob("*.flac"))[:2]:
        (path / "music" / clip.name).symlink_to(clip)
    before = pathlib.Path.cwd()
    os.chdir(path)
    yield path
    os.chdir(before)


def load(name, *words):
    """Write a template, and load it with overrides."""
    assert cli.main(["init", name]) == 0
    return sat_config.load(f"{name}.toml", [*RUN, *words])


def narrow(model):
    """Overrides that make an Oobleck autoencoder small."""
    return [f"{model}.{part}.config.channels=4" for part in ("encoder", "decoder")]


@pytest.fixture(scope="module")
def autoencoder(folder):
    """What the template makes of the clips: an autoencoder, and their latents."""
    experiment = load("autoencoder", *narrow("model"), f"preencode.sample_size={SAMPLES}")
    result = fit(experiment)
    assert result.step == 1
    assert preencode(experiment).items > 0
    return result


def test_autoencoder_trains_and_encodes(folder, autoencoder):
    assert autoencoder.checkpoint.is_file()
    assert (folder / "latents" / "autoencoder" / "manifest.jsonl").is_file()


def test_codec_trains(folder):
    assert fit(load("codec", *narrow("model"))).step == 1


@pytest.mark.parametrize(
    ("name", "backbone"), [("latents", "model"), ("inpainting", "model.diffusion")]
)
def test_model_of_latents_trains(autoencoder, name, backbone):
    small = [f"{backbone}.config.{word}" for word in SMALL]
    experiment = load(name, *narrow("model.pretransform.config"), *small, *DEMO)
    assert fit(experiment).step == 1


def test_text_to_audio_trains_but_for_the_text(autoencoder):
    """T5's weights are not there; all else is as the template says."""
    words = [
        "-model.conditioning.configs[prompt]",
        'model.diffusion.cross_attention_cond_ids=["seconds_start", "seconds_total"]',
        "training.demo.demo_cond=[{ seconds_start = 0, seconds_total = 60 }]",
        "training.demo.demo_cfg_scales=[1]",
        *(f"model.diffusion.config.{word}" for word in SMALL),
        *narrow("model.pretransform.config"),
    ]
    assert fit(load("text_to_audio", *words, *DEMO)).step == 1
