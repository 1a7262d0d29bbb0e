"""Every model type through the real commands: train, resume, export, reload, generate."""

import json

import pytest
import soundfile
import torch

import sat_config
from sat_models.build import build_model
from sat_models.checkpoint import load_weights, open_checkpoint
from sat_models.cli import main as sat_models
from sat_train.cli import main as sat_train

CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
QUANTIZER = {"input_dim": 4, "n_codebooks": 2, "codebook_size": 8, "codebook_dim": 2}
DIT = {"embed_dim": 32, "depth": 1, "num_heads": 1}
SECONDS = {"id": "seconds_total", "type": "number", "config": {"min_val": 0, "max_val": 10}}


def coder(*, out, bottleneck=None):
    model = {
        "encoder": {"type": "oobleck", "config": {**CODER, "in_channels": 2, "latent_dim": out}},
        "decoder": {"type": "oobleck", "config": {**CODER, "out_channels": 2, "latent_dim": 4}},
        "latent_dim": 4,
        "downsampling_ratio": 8,
        "io_channels": 2,
    }
    return model if bottleneck is None else {**model, "bottleneck": bottleneck}


def hyperencoder(document):
    document["model"] = coder(out=8, bottleneck={"type": "vae"})
    document["model"]["hypernetwork"] = {"summary_dim": 8, "hidden_sizes": [8], "rank": 1}
    return document


def conditional(document):
    diffusion = {
        "type": "dit",
        "diffusion_objective": "v",
        "cross_attention_cond_ids": ["seconds_total"],
        "config": {**DIT, "io_channels": 2, "patch_size": 8, "cond_token_dim": 8},
    }
    document["model"] = {
        "io_channels": 2,
        "conditioning": {"cond_dim": 8, "configs": [SECONDS]},
        "diffusion": diffusion,
    }
    document["training"] = {"learning_rate": 1e-3}
    return document


def gaps(document):
    document = conditional(document)
    document["model"]["diffusion"]["input_concat_ids"] = ["inpaint_mask", "inpaint_masked_input"]
    document["model"]["diffusion"]["config"]["input_concat_dim"] = 3
    document["training"]["inpainting"] = {}
    return document


def adversarial(document):
    """After a few steps with a discriminator, one step of sampling makes a clip."""
    document = conditional({**document, "model_type": "diffusion_cond"})
    document["model"]["diffusion"]["diffusion_objective"] = "rf_denoiser"
    group = {"optimizer": {"type": "AdamW", "config": {"lr": 1e-3}}}
    head = {"channels": 8, "c_mults": [1], "strides": [2], "num_blocks": [1]}
    document["training"] = {
        "optimizer_configs": {"diffusion": group, "discriminator": group},
        "arc": {
            "use_model_as_discriminator": True,
            "discriminator": {"type": "convnext", "dit_hidden_layer": 0, "config": head},
        },
        "demo": {
            "demo_steps": 1,
            "num_demos": 1,
            "demo_cfg_scales": [1],
            "demo_cond": [{"seconds_total": 1}],
        },
    }
    return document


def language(document):
    document["model"] = {
        "pretransform": {
            "type": "autoencoder",
            "config": coder(out=4, bottleneck={"type": "dac_rvq", "config": QUANTIZER}),
        },
        "conditioning": {"cond_dim": 8, "configs": [SECONDS]},
        "lm": {
            "type": "continuous_transformer",
            "codebook_pattern": "delay",
            "cross_attention_cond_ids": ["seconds_total"],
            "config": {
                "embed_dim": 64,
                "depth": 1,
                "cross_attn_cond_dim": 8,
                "project_cross_attn_cond": True,
            },
        },
    }
    document["training"] = {"learning_rate": 1e-3, "use_ema": True, "demo": {"num_demos": 1}}
    return document


def diffusion_autoencoder(document):
    document["model"] = {
        "encoder": {"type": "oobleck", "config": {**CODER, "in_channels": 2, "latent_dim": 4}},
        "diffusion": {
            "type": "dit",
            "config": {
                **DIT,
                "io_channels": 2,
                "patch_size": 8,
                "input_concat_dim": 4,
                "diffusion_objective": "v",
            },
        },
        "latent_dim": 4,
        "downsampling_ratio": 8,
        "io_channels": 2,
    }
    document["training"] = {"learning_rate": 1e-3, "demo": {"demo_steps": 2}}
    return document


def unconditional(document):
    document["model"] = {"type": "dit", "config": {**DIT, "in_channels": 2, "patch_size": 8}}
    document["training"] = {"learning_rate": 1e-3, "demo": {"demo_steps": 2, "num_demos": 1}}
    return document


MODELS = {
    "diffusion_uncond": (unconditional, ["--steps=2"]),
    "diffusion_cond": (conditional, ["--steps=2"]),
    "arc": (adversarial, ["--steps=1"]),
    "diffusion_cond_inpaint": (gaps, ["--steps=2", "--inpaint-start=0", "--inpaint-end=0.01"]),
    "lm": (language, ["--cfg-scale=2"]),
    "diffusion_autoencoder": (diffusion_autoencoder, ["--steps=2"]),
}


@pytest.fixture
def trained(autoencoder_document, tmp_path, caplog):
    """Trains a document by the command, two steps and then two more."""

    def train(document):
        file = tmp_path / "experiment.json"
        document["val_dataset"] = autoencoder_document["val_dataset"]
        file.write_text(json.dumps(document))
        assert sat_train([str(file), "--override", "max_steps=2"]) == 0
        more = ["--override", "max_steps=3", "--override", "recover=true"]
        assert sat_train([str(file), *more]) == 0
        assert "no demo" not in caplog.text
        return tmp_path / "runs" / document["name"] / "latest"

    return train


def weights_of_pretransform(document, tmp_path):
    """A file with weights for the codec of a language model."""

    model = build_model(sat_config.decode(document))
    path = tmp_path / "codec.ckpt"
    torch.save({"state_dict": model.pretransform.model.state_dict()}, path)
    return str(path)


@pytest.mark.parametrize("kind", MODELS)
def test_generative_model_from_training_to_audio(
    kind, trained, autoencoder_document, clips, tmp_path
):
    make, flags = MODELS[kind]
    document = make({**autoencoder_document, "model_type": kind, "name": kind})
    if kind == "lm":
        document["pretransform_ckpt_path"] = weights_of_pretransform(document, tmp_path)
    latest = trained(document)
    weights = tmp_path / "model.safetensors"
    assert sat_models(["export", str(latest), str(weights), "--ema"]) == 0
    if kind == "diffusion_cond_inpaint":
        flags = [*flags, f"--inpaint-audio={clips / 'heldout' / 'kept.wav'}"]
    if kind == "diffusion_autoencoder":
        flags = [*flags, f"--init-audio={clips / 'heldout' / 'kept.wav'}"]
    out = tmp_path / "made.wav"
    assert sat_models(["generate", str(weights), "--seed=1", *flags, f"--out={out}"]) == 0
    info = soundfile.info(out)
    assert (info.frames, info.channels, info.samplerate) == (256, 2, 8000)


@pytest.mark.parametrize("kind", ["autoencoder", "hyperencoder"])
def test_autoencoder_from_training_to_a_file(kind, trained, autoencoder_document, tmp_path):
    document = {**autoencoder_document, "model_type": kind, "name": kind}
    latest = trained(hyperencoder(document) if kind == "hyperencoder" else document)
    weights = tmp_path / "model.ckpt"
    assert sat_models(["export", str(latest), str(weights)]) == 0
    model = build_model(sat_config.decode(document)).eval()
    load_weights(model, open_checkpoint(weights))
    assert any(name.startswith("hypernetwork.") for name in model.state_dict()) is (
        kind == "hyperencoder"
    )
    with torch.no_grad():
        decoded = model.decode(model.encode(torch.randn(1, 2, 256), sample=False).latents)
    assert decoded.shape == (1, 2, 256)
    assert decoded.isfinite().all()
