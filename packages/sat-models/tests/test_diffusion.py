import pytest
import torch

import sat_config
from sat_models import build_model
from sat_models.models.objectives import RectifiedFlow, VObjective

CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
PRETRANSFORM = {
    "type": "autoencoder",
    "config": {
        "encoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 6}},
        "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 3}},
        "bottleneck": {"type": "vae"},
        "latent_dim": 3,
        "downsampling_ratio": 8,
        "io_channels": 2,
    },
}


def build(*, pretransform=None, in_channels=3, **config):
    backbone = {"in_channels": in_channels, "embed_dim": 32, "depth": 1, "num_heads": 1, **config}
    model = {"type": "dit", "config": backbone}
    if pretransform:
        model["pretransform"] = pretransform
    mapping = {
        "model_type": "diffusion_uncond",
        "sample_rate": 8000,
        "sample_size": 64,
        "audio_channels": 2,
        "model": model,
    }
    return build_model(sat_config.decode(mapping))


def latent_model():
    return build(pretransform=PRETRANSFORM)


def test_state_names_have_the_prefixes_of_exported_models():
    names = set(latent_model().state_dict())
    assert "model.model.transformer.layers.0.self_attn.to_qkv.weight" in names
    assert "pretransform.model.encoder.layers.0.weight_g" in names
    assert {name.split(".")[0] for name in names} == {"model", "pretransform"}


def test_latent_model_knows_its_pretransform():
    model = latent_model()
    assert (model.hop_length, model.io_channels, model.sample_rate) == (8, 3, 8000)
    audio = torch.randn(2, 2, 32)
    assert model.to_latents(audio).shape == (2, 3, 4)
    assert model.to_audio(torch.randn(2, 3, 4)).shape == (2, 2, 32)


def test_model_without_a_pretransform_works_on_audio():
    model = build(in_channels=2, patch_size=4)
    audio = torch.randn(1, 2, 8)
    assert (model.hop_length, model.frame_multiple) == (1, 4)
    assert model.to_latents(audio) is audio
    assert model.to_audio(audio) is audio
    assert model(audio, torch.rand(1)).shape == audio.shape


def test_fresh_weights_are_half_of_the_usual():
    gamma = build().model.model.transformer.layers[0].pre_norm.gamma
    assert torch.equal(gamma, torch.full_like(gamma, 0.5))


def test_frames_that_do_not_fill_a_patch_are_refused():
    with pytest.raises(ValueError, match="multiple of 4 frames"):
        build(patch_size=4)(torch.randn(1, 3, 6), torch.rand(1))


def test_wrong_channels_are_refused_with_wanted_and_got():
    with pytest.raises(ValueError, match=r"\(batch, 3, frames\), got \(1, 2, 6\)"):
        build()(torch.randn(1, 2, 6), torch.rand(1))


@pytest.mark.parametrize(
    ("name", "objective"), [("v", VObjective), ("rectified_flow", RectifiedFlow)]
)
def test_objective_follows_the_node(name, objective):
    assert isinstance(build(diffusion_objective=name).objective, objective)
