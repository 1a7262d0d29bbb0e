"""A small model of every type that generates, at 8000 Hz and with clips of 64 samples."""

import torch

import sat_config
from sat_models.build import build_model

SAMPLE_RATE, SAMPLE_SIZE = 8000, 64
CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
DIT = {"embed_dim": 64, "depth": 1, "num_heads": 2}
CONDITIONING = {
    "cond_dim": 8,
    "configs": [
        {"id": "prompt", "type": "list", "config": {"options": ["rock", "jazz", "folk"]}},
        {"id": "seconds_total", "type": "number", "config": {"max_val": 60}},
    ],
}
STEERED = {"cond_token_dim": 8, "global_cond_dim": 8}
IDS = {"cross_attention_cond_ids": ["prompt"], "global_cond_ids": ["seconds_total"]}
GAPS = ["inpaint_mask", "inpaint_masked_input"]


def coder(bottleneck=None, *, width=3, channels=2):
    """An autoencoder with 8 samples per frame."""
    doubled = 2 * width if bottleneck is None else width
    encoder = {**CODER, "in_channels": channels, "latent_dim": doubled}
    return {
        "encoder": {"type": "oobleck", "config": encoder},
        "decoder": {
            "type": "oobleck",
            "config": {**CODER, "out_channels": channels, "latent_dim": width},
        },
        "bottleneck": bottleneck or {"type": "vae"},
        "latent_dim": width,
        "downsampling_ratio": 8,
        "io_channels": channels,
    }


def conditional(*, objective="v", ids=IDS, conditioning=CONDITIONING, **config):
    backbone = {"type": "dit", "config": {**DIT, "io_channels": 3, **STEERED, **config}}
    return {
        "pretransform": {"type": "autoencoder", "config": coder()},
        "conditioning": conditioning,
        "diffusion": {**backbone, **ids, "diffusion_objective": objective},
        "io_channels": 3,
    }


def language():
    bottleneck = {
        "type": "dac_rvq",
        "config": {"input_dim": 6, "n_codebooks": 3, "codebook_size": 8, "codebook_dim": 3},
    }
    return {
        "pretransform": {"type": "autoencoder", "config": coder(bottleneck, width=6)},
        "lm": {
            "type": "continuous_transformer",
            "config": {
                "embed_dim": 64,
                "depth": 1,
                "dim_heads": 32,
                "cross_attn_cond_dim": 8,
                "project_cross_attn_cond": True,
            },
            "cross_attention_cond_ids": ["prompt"],
        },
        "conditioning": {**CONDITIONING, "configs": CONDITIONING["configs"][:1]},
    }


def autoencoder():
    diffusion = {**DIT, "diffusion_objective": "v", "io_channels": 2, "input_concat_dim": 3}
    return {
        "encoder": coder({"type": "tanh"})["encoder"],
        "diffusion": {"type": "dit", "config": diffusion},
        "latent_dim": 3,
        "downsampling_ratio": 8,
        "io_channels": 2,
    }


MODELS = {
    "diffusion_uncond": {
        "type": "dit",
        "pretransform": {"type": "autoencoder", "config": coder()},
        "config": {**DIT, "in_channels": 3},
    },
    "diffusion_cond": conditional(),
    "diffusion_cond_inpaint": conditional(
        ids={**IDS, "input_concat_ids": GAPS}, input_concat_dim=4
    ),
    "diffusion_autoencoder": autoencoder(),
    "lm": language(),
}


def document(model_type, model=None, **root):
    """A model document; `model` replaces the usual one."""
    return {
        "model_type": model_type,
        "sample_rate": SAMPLE_RATE,
        "sample_size": SAMPLE_SIZE,
        "audio_channels": 2,
        "model": MODELS[model_type] if model is None else model,
        **root,
    }


def build(model_type, model=None):
    """A model in eval mode in which every weight has a part in the result."""
    built = build_model(sat_config.decode(document(model_type, model))).eval()
    networks = [part for name, part in built.named_children() if name != "pretransform"]
    for parameter in (p for network in networks for p in network.parameters()):
        torch.nn.init.normal_(parameter, std=0.2)
    return built
