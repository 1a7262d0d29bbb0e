import pytest
import torch

import sat_config
from sat_models.build import build_model
from sat_models.sampling.table import Solver

SIZES = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
ENCODER = {"type": "oobleck", "config": {**SIZES, "in_channels": 2, "latent_dim": 3}}
DECODER = {
    "type": "oobleck",
    "config": {**SIZES, "out_channels": 5, "latent_dim": 3, "final_tanh": False},
}


def build(*, width=3, objective="v", patch_size=1, ratio=8, channels=2, **parts):
    model = {
        "encoder": ENCODER,
        "diffusion": {
            "type": "dit",
            "config": {
                "diffusion_objective": objective,
                "io_channels": 2,
                "embed_dim": 64,
                "depth": 1,
                "num_heads": 1,
                "input_concat_dim": width,
                "patch_size": patch_size,
            },
        },
        "latent_dim": 3,
        "downsampling_ratio": ratio,
        "io_channels": 2,
        **parts,
    }
    root = {"model_type": "diffusion_autoencoder", "sample_rate": 8000, "sample_size": 256}
    document = {**root, "audio_channels": channels, "model": model}
    return build_model(sat_config.decode(document)).eval()


def solver(name="v-ddim", *, steps=2):
    return Solver(name, steps=steps, sigma_min=0.1, sigma_max=10.0, rho=1.0)


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("objective", "name"), [("v", "v-ddpm"), ("v", "dpmpp-2m"), ("rectified_flow", "euler")]
)
def test_decoding_gives_audio_that_the_generator_decides(objective, name):
    model = build(objective=objective)
    latents = model.encode(torch.randn(2, 2, 64)).latents
    assert latents.shape == (2, 3, 8)
    one, two, other = (
        model.decode(latents, solver=solver(name), generator=generator(seed)) for seed in (1, 1, 2)
    )
    assert one.shape == (2, 2, 64)
    assert not one.requires_grad
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(one, other)


def test_condition_is_the_latents_repeated():
    latents = torch.randn(1, 3, 4)
    torch.testing.assert_close(build().condition_for(latents), latents.repeat_interleave(8, dim=-1))


def test_decoder_makes_the_condition():
    model = build(width=5, decoder=DECODER)
    latents = torch.randn(1, 3, 4)
    torch.testing.assert_close(model.condition_for(latents), model.decoder(latents))
    assert model.decode(latents, solver=solver()).shape == (1, 2, 32)


def test_encoder_may_be_left_out():
    model = build(encoder=None, latent_dim=2, width=2, ratio=1)
    audio = torch.randn(1, 2, 16)
    torch.testing.assert_close(model.encode(audio).latents, audio)
    assert model.hop_length == 1


def test_pretransform_lies_around_everything():
    patched = {"type": "patched", "config": {"channels": 1, "patch_size": 2}}
    model = build(channels=1, pretransform=patched, ratio=16, bottleneck={"type": "l2_norm"})
    audio = torch.randn(2, 1, 128)
    latents = model.encode(audio).latents
    assert (model.hop_length, model.in_channels, latents.shape) == (16, 1, (2, 3, 8))
    assert model.decode(latents, solver=solver()).shape == audio.shape


def test_fresh_encoder_is_halved():
    torch.manual_seed(3)
    model = build()
    torch.manual_seed(3)
    plain = build_model(
        sat_config.decode(
            {
                "model_type": "autoencoder",
                "sample_rate": 8000,
                "sample_size": 256,
                "model": {
                    "encoder": ENCODER,
                    "decoder": {**DECODER, "config": {**DECODER["config"], "out_channels": 2}},
                    "latent_dim": 3,
                    "downsampling_ratio": 8,
                    "io_channels": 2,
                },
            }
        )
    )
    for own, other in zip(model.encoder.parameters(), plain.encoder.parameters(), strict=True):
        torch.testing.assert_close(own, other / 2)


def test_gradients_reach_every_weight():
    model = build(width=5, decoder=DECODER, bottleneck={"type": "tanh"}).train()
    for parameter in model.diffusion.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    audio = torch.randn(1, 2, 64)
    condition = model.condition_for(model.encode(audio).latents)
    model(audio, torch.rand(1), condition).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_length_that_the_backbone_cannot_take_is_refused():
    model = build(patch_size=16)
    assert model.length_multiple == 16
    with pytest.raises(ValueError, match=r"3 latent frames are 24 samples.*multiple of 16"):
        model.decode(torch.randn(1, 3, 3), solver=solver())
