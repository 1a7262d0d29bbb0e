"""Audio -> sat-preencode -> training on latents gives the losses of training with the encoder.

Every clip is as long as an item, so that both ways see the same crops in the same order. The
bottleneck is deterministic: what a Gaussian one draws in the loop is new at every step by design.
"""

import csv
import io

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

import sat_config
from sat_models.build import build_model
from sat_models.checkpoint import save_checkpoint
from sat_preencode import preencode
from sat_preencode.progress import Reporter
from sat_train import fit

RATE, SIZE = 8000, 512
CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
AUTOENCODER = {
    "encoder": {"type": "oobleck", "config": {"in_channels": 2, "latent_dim": 4, **CODER}},
    "decoder": {"type": "oobleck", "config": {"out_channels": 2, "latent_dim": 4, **CODER}},
    "bottleneck": {"type": "tanh"},
    "latent_dim": 4,
    "downsampling_ratio": 8,
    "io_channels": 2,
}


@pytest.fixture
def document(tmp_path, monkeypatch):
    monkeypatch.setenv("SAT_CACHE_DIR", str(tmp_path / "cache"))
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    (tmp_path / "audio").mkdir()
    for number in range(6):
        audio = rng.uniform(-0.8, 0.8, (SIZE, 2))
        soundfile.write(tmp_path / "audio" / f"{number}.flac", audio, RATE)
    shape = {"sample_rate": RATE, "sample_size": SIZE, "audio_channels": 2}
    autoencoder = sat_config.decode({"model_type": "autoencoder", **shape, "model": AUTOENCODER})
    checkpoint = str(tmp_path / "autoencoder.safetensors")
    save_checkpoint(checkpoint, build_model(autoencoder), config="{}")
    return {
        "model_type": "diffusion_uncond",
        **shape,
        "model": {
            "type": "dit",
            "config": {"in_channels": 4, "embed_dim": 32, "depth": 1, "num_heads": 1},
            "pretransform": {"type": "autoencoder", "scale": 0.5, "config": AUTOENCODER},
        },
        "training": {"learning_rate": 1e-3, "demo": {"demo_every": 1000, "num_demos": 1}},
        "pretransform_ckpt_path": checkpoint,
        "dataset": {
            "dataset_type": "audio_dir",
            "random_crop": False,
            "phase_flip": 0.0,
            "datasets": [{"id": "clips", "path": str(tmp_path / "audio")}],
        },
        "preencode": {
            "output_path": str(tmp_path / "latents"),
            "checkpoint": checkpoint,
            "latent": "mean",
        },
        "batch_size": 2,
        "num_workers": 0,
        "max_steps": 5,
        "accelerator": "cpu",
        "save_dir": str(tmp_path / "runs"),
    }


def losses(document):
    result = fit(sat_config.decode(document))
    with (result.run_folder / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    (name,) = (key for key in rows[0] if key.endswith("loss") and not key.startswith("val"))
    return [float(row[name]) for row in rows if row[name]]


def test_latents_train_as_the_encoder_in_the_loop_does(document, tmp_path):
    in_loop = losses({**document, "name": "in_loop"})
    quiet = Reporter(Console(file=io.StringIO()))
    made = preencode(sat_config.decode(document), reporter=quiet)
    assert (made.items, made.complete) == (6, True)
    latents = {
        "dataset_type": "pre_encoded",
        "datasets": [{"id": "clips", "path": str(tmp_path / "latents")}],
    }
    training = {**document["training"], "pre_encoded": True}
    on_latents = losses({**document, "name": "latents", "dataset": latents, "training": training})
    assert len(in_loop) == len(on_latents) == 5
    assert on_latents == pytest.approx(in_loop, rel=1e-4)
    assert max(in_loop) - min(in_loop) > 1e-3  # it is no constant that agrees
