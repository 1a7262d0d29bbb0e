"""Let stable-audio-tools open what sat-models saves, and sat-models what its training saves.

    python tools/sat_opens_ours.py --sat FOLDER --out docs/results/sat_opens_ours.txt

FOLDER is the site-packages of an environment for the same Python in which stable-audio-tools is
installed (see sat_builds_ours.py). For each autoencoder, our weights are saved as .ckpt and
.safetensors; SAT reads them with its own function into the model that it builds from our JSON,
strictly, and both models decode the same latents. Then SAT's training wrapper, with its
moving average, is saved as its trainer does, and opened here, once plain and once averaged.
"""

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

import sat_config
import sat_models.builtin  # noqa: F401 - builders, where the package is not installed but on a path
from sat_models.build import build_model
from sat_models.checkpoint import load_weights, open_checkpoint, save_checkpoint

CODER = {"channels": 8, "c_mults": [1, 2], "strides": [2, 4]}
SNAKE = {**CODER, "use_snake": True}
SEANET = {"channels": 2, "n_filters": 4, "ratios": [2, 4], "dimension": 8}
RVQ = {"dim": 8, "codebook_size": 16, "num_quantizers": 2, "kmeans_init": False}
DAC_RVQ = {"input_dim": 8, "n_codebooks": 2, "codebook_size": 16, "codebook_dim": 4}


def oobleck(coder: dict[str, Any], *, wide: int, narrow: int) -> dict[str, Any]:
    """An encoder and a decoder of the same sizes."""
    return {
        "encoder": {"type": "oobleck", "config": {**coder, "in_channels": 2, "latent_dim": wide}},
        "decoder": {
            "type": "oobleck",
            "config": {**coder, "out_channels": 2, "latent_dim": narrow},
        },
        "latent_dim": narrow,
    }


CASES: dict[str, dict[str, Any]] = {
    "oobleck, vae": {**oobleck(SNAKE, wide=16, narrow=8), "bottleneck": {"type": "vae"}},
    "oobleck, dac_rvq": {
        **oobleck(CODER, wide=8, narrow=8),
        "bottleneck": {"type": "dac_rvq", "config": DAC_RVQ},
    },
    "seanet, rvq": {
        "encoder": {"type": "seanet", "config": SEANET},
        "decoder": {"type": "seanet", "config": SEANET},
        "bottleneck": {"type": "rvq", "config": RVQ},
        "latent_dim": 8,
    },
    "dac": {
        "encoder": {
            "type": "dac",
            "config": {"in_channels": 2, "d_model": 8, "strides": [2, 4], "latent_dim": 8},
        },
        "decoder": {
            "type": "dac",
            "config": {"out_channels": 2, "latent_dim": 8, "channels": 32, "rates": [4, 2]},
        },
        "latent_dim": 8,
    },
}


def document(model: dict[str, Any]) -> dict[str, Any]:
    """A whole model document."""
    sizes = {"downsampling_ratio": 8, "io_channels": 2}
    about = {"model_type": "autoencoder", "sample_rate": 8000, "sample_size": 64}
    return {**about, "model": {**model, **sizes}}


def main() -> int:
    """Check every case and print what came out; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sat", type=Path, required=True, help="site-packages with SAT")
    parser.add_argument("--out", type=Path, help="file that also takes the report")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.path.append(str(arguments.sat))
    experiments = {name: sat_config.decode(document(model)) for name, model in CASES.items()}
    experiments["sat:stable_audio_2_0_vae"] = sat_config.load_model("sat:stable_audio_2_0_vae")
    lines = ["Largest difference of the audio, over its peak, between both models.", ""]
    worst = 0.0
    for name, experiment in experiments.items():
        for way, difference in check(experiment).items():
            worst = max(worst, difference)
            lines.append(f"{name:26} {way:38} {difference:.0e}")
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if arguments.out is not None:
        arguments.out.write_text(text, encoding="utf-8")
    return 1 if worst > 1e-4 else 0


def check(experiment: Any) -> dict[str, float]:  # noqa: ANN401 - an experiment on an autoencoder
    """The difference of the audio, for every way that weights take."""
    from stable_audio_tools.models.factory import (  # type: ignore[import-not-found]
        create_model_from_config,
    )
    from stable_audio_tools.models.utils import (  # type: ignore[import-not-found]
        load_ckpt_state_dict,
    )

    torch.manual_seed(0)
    config = sat_config.dumps(experiment, "json")
    ours = build_model(experiment).eval()
    latents = torch.randn(1, experiment.model.latent_dim, 6)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("ckpt", "safetensors"):
            path = Path(folder, f"model.{suffix}")
            save_checkpoint(path, ours, config=config)
            theirs = create_model_from_config(json.loads(config)).eval()
            theirs.load_state_dict(load_ckpt_state_dict(str(path)))
            found[f"SAT opens our .{suffix}"] = difference(ours, theirs, latents)
        path = Path(folder, "training.ckpt")
        averaged = save_training(theirs, json.loads(config), path)
        for title, source, ema in (("", theirs, False), (" averaged", averaged, True)):
            target = build_model(experiment).eval()
            load_weights(target, open_checkpoint(path, ema=ema))
            found[f"we open SAT's{title} training state"] = difference(target, source, latents)
    return found


def save_training(model: nn.Module, config: dict[str, Any], path: Path) -> nn.Module:
    """Save a training wrapper as Lightning does; returns the averaged copy in it."""
    from stable_audio_tools.training.autoencoders import (  # type: ignore[import-not-found]
        AutoencoderTrainingWrapper,
    )

    wrapper: nn.Module = AutoencoderTrainingWrapper(
        model,
        sample_rate=config["sample_rate"],
        loss_config=LOSSES,
        use_ema=True,
        ema_copy=shifted(model, config),
    )
    state = {"state_dict": wrapper.state_dict(), "model_config": config, "global_step": 1}
    torch.save(state, path)
    averaged: nn.Module = wrapper.get_submodule("autoencoder_ema.ema_model")
    return averaged.eval()


STFT = {"fft_sizes": [64], "hop_sizes": [16], "win_lengths": [64]}
LOSSES = {
    "spectral": {"type": "mrstft", "config": STFT, "weights": {"mrstft": 1.0}},
    "time": {"weights": {}},
    "bottleneck": {"weights": {}},
}


def shifted(model: nn.Module, config: dict[str, Any]) -> nn.Module:
    """The same model with other weights."""
    from stable_audio_tools.models.factory import create_model_from_config

    other: nn.Module = create_model_from_config(config)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.01)
    return other


def difference(ours: nn.Module, theirs: nn.Module, latents: torch.Tensor) -> float:
    """How far decoded audio lies apart, over its peak."""
    with torch.no_grad():
        one, other = ours.decode(latents), theirs.decode(latents)  # type: ignore[operator]
    return float((one - other).abs().max() / other.abs().max())


if __name__ == "__main__":
    sys.exit(main())
