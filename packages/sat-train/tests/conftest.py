"""Clips, experiments and settings that every test of the package shares."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

SAMPLE_RATE = 8000
CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
SIZES = {"fft_sizes": [128, 64], "hop_sizes": [32, 16], "win_lengths": [128, 64]}


@pytest.fixture(autouse=True)
def _reproducible():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def write_clip(path, *, seconds=0.2, seed=0):
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    notes = generator.uniform(100, 2000, (2, 3))
    audio = 0.2 * np.sin(2 * np.pi * notes[..., None] * time).sum(1)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio.T, SAMPLE_RATE)


@pytest.fixture
def clips(tmp_path):
    """A folder with four training clips and one held-out clip."""
    for number in range(4):
        write_clip(tmp_path / "clips" / "train" / f"tune {number}.wav", seed=number)
    write_clip(tmp_path / "clips" / "heldout" / "kept.wav", seed=9)
    return tmp_path / "clips"


@pytest.fixture
def autoencoder_document(clips, tmp_path):
    """A tiny stereo VAE, as plain data that a test may change."""
    return {
        "model_type": "autoencoder",
        "sample_rate": SAMPLE_RATE,
        "sample_size": 256,
        "audio_channels": 2,
        "name": "tiny",
        "batch_size": 2,
        "max_steps": 4,
        "num_workers": 0,
        "accelerator": "cpu",
        "devices": 1,
        "preflight": False,
        "save_dir": str(tmp_path / "runs"),
        "model": {
            "encoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 6}},
            "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 3}},
            "bottleneck": {"type": "vae"},
            "latent_dim": 3,
            "downsampling_ratio": 8,
            "io_channels": 2,
        },
        "training": {
            "learning_rate": 1e-3,
            "loss_configs": {
                "spectral": {"config": SIZES, "weights": {"mrstft": 1.0}},
                "time": {"weights": {"l1": 0.3, "l2": 0.2}},
                "bottleneck": {"weights": {"kl": 0.01}},
            },
        },
        "dataset": _folder(clips / "train"),
        "val_dataset": _folder(clips / "heldout"),
    }


@pytest.fixture
def diffusion_document(autoencoder_document):
    """A tiny latent diffusion model on that VAE, trained on audio."""
    return {
        **autoencoder_document,
        "model_type": "diffusion_uncond",
        "name": "tiny-latents",
        "model": {
            "type": "dit",
            "config": {"in_channels": 3, "embed_dim": 32, "depth": 1, "num_heads": 1},
            "pretransform": {
                "type": "autoencoder",
                "scale": 2.0,
                "config": autoencoder_document["model"],
            },
        },
        "training": {
            "learning_rate": 1e-3,
            "demo": {"demo_steps": 2, "num_demos": 2},
        },
    }


def _folder(path):
    return {"dataset_type": "audio_dir", "datasets": [{"id": path.name, "path": str(path)}]}


@pytest.fixture(scope="session")
def toy_family():
    """A model family from outside, registered as a package's would be."""
    if "toy_family" not in sys.modules:
        path = Path(__file__).with_name("toy_family.py")
        spec = importlib.util.spec_from_file_location("toy_family", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["toy_family"] = module
        spec.loader.exec_module(module)
    return sys.modules["toy_family"]


@pytest.fixture
def line_document(toy_family, tmp_path):
    """A run of that family, which takes a fraction of a second."""
    return {
        "model": {"name": "Line"},
        "name": "line",
        "max_steps": 4,
        "save_dir": str(tmp_path / "runs"),
        "accelerator": "cpu",
        "devices": 1,
        "preflight": False,
    }


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("SAT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
