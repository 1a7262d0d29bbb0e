"""Prints, for three models, the estimated and the resident memory of a step; one JSON line each."""

import ctypes
import gc
import json
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

import sat_config
from sat_train.memory import estimate_memory
from sat_train.prepare import prepare
from sat_train.report import Report

CODER = {"channels": 32, "c_mults": [1, 2, 4, 8], "strides": [2, 4, 8, 8]}
SPECTRAL = {"fft_sizes": [2048, 512], "hop_sizes": [512, 128], "win_lengths": [2048, 512]}
DIFFUSION = {"learning_rate": 1e-4, "demo": {"demo_steps": 2, "num_demos": 1}}
MODELS = {
    "vae": {
        "model_type": "autoencoder",
        "sample_size": 32768,
        "model": {
            "encoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 64}},
            "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 32}},
            "bottleneck": {"type": "vae"},
            "latent_dim": 32,
            "downsampling_ratio": 512,
            "io_channels": 2,
        },
        "training": {
            "learning_rate": 1e-4,
            "loss_configs": {
                "spectral": {"config": SPECTRAL, "weights": {"mrstft": 1.0}},
                "time": {"weights": {"l1": 0.1}},
                "bottleneck": {"weights": {"kl": 1e-4}},
            },
        },
    },
    "transformer": {
        "model_type": "diffusion_uncond",
        "sample_size": 32768,
        "model": {
            "type": "dit",
            "config": {
                "in_channels": 2,
                "embed_dim": 384,
                "depth": 6,
                "num_heads": 6,
                "patch_size": 64,
            },
        },
        "training": DIFFUSION,
    },
    "unet": {
        "model_type": "diffusion_uncond",
        "sample_size": 16384,
        "model": {
            "type": "adp_uncond_1d",
            "config": {
                "in_channels": 2,
                "channels": 64,
                "multipliers": [1, 2, 4, 4],
                "factors": [4, 4, 4],
                "num_blocks": [2, 2, 2],
                "attentions": [0, 0, 1, 1],
                "attention_heads": 4,
                "attention_features": 64,
                "attention_multiplier": 2,
                "resnet_groups": 8,
                "kernel_multiplier_downsample": 2,
                "use_nearest_upsample": False,
                "use_skip_scale": True,
                "use_context_time": True,
            },
        },
        "training": DIFFUSION,
    },
}


def status(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def measure(folder, name, model):
    node = {"dataset_type": "audio_dir", "datasets": [{"id": "x", "path": str(folder)}]}
    document = {
        **model,
        "sample_rate": 44100,
        "audio_channels": 2,
        "batch_size": 4,
        "max_steps": 1,
        "num_workers": 0,
        "accelerator": "cpu",
        "devices": 1,
        "save_dir": str(folder / "runs"),
        "dataset": node,
    }
    experiment = sat_config.decode(document)
    ready = prepare(experiment, resume=None, report=Report(silent=True))
    batch, _ = ready.data.try_out()
    found = estimate_memory(experiment, batch, trainer=ready.trainer)
    method = ready.method
    method.trainer = ready.trainer
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    for part in method.parts:
        updater = method.build_updater(part)
        with method.only(part):
            method.losses(batch, part).total.backward()
        updater.optimizer.step()
    real = status("VmHWM") - before + found.weights
    line = json.dumps({"model": name, "estimate": found.peak, "real": real})
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    audio = Path(sys.argv[1])
    for number in range(4):
        noise = 0.1 * np.random.default_rng(number).standard_normal((44100, 2))
        soundfile.write(audio / f"{number}.wav", noise, 44100)
    for name, model in MODELS.items():
        measure(audio, name, model)
