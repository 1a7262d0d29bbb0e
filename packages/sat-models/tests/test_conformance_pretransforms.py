"""What every pretransform must do, whatever it is; one or more examples of each."""

import msgspec
import pytest
import torch

from sat_config.audio.pretransform import PretransformNode
from sat_config.registry import current
from sat_models.pretransforms.audiocraft_pretrained import AudiocraftPretransform
from sat_models.pretransforms.base import build_pretransform
from sat_models.pretransforms.dac_pretrained import DACPretrainedPretransform, DACSizes
from sat_models.pretransforms.encodec import EncodecSizes

CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
AUTOENCODER = {
    "encoder": {"type": "oobleck", "config": {**CODER, "in_channels": 2, "latent_dim": 6}},
    "decoder": {"type": "oobleck", "config": {**CODER, "out_channels": 2, "latent_dim": 3}},
    "bottleneck": {"type": "vae"},
    "latent_dim": 3,
    "downsampling_ratio": 8,
    "io_channels": 2,
}
CODES = {
    **AUTOENCODER,
    "bottleneck": {"type": "fsq", "config": {"levels": [5, 4, 3], "num_codebooks": 2}},
    "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 6}},
    "latent_dim": 6,
}
CONFIGS = {
    "autoencoder": {"type": "autoencoder", "scale": 2.0, "config": AUTOENCODER},
    "autoencoder-codes": {"type": "autoencoder", "config": CODES, "iterate_batch": True},
    "wavelet": {"type": "wavelet", "config": {"channels": 2, "levels": 2, "wavelet": "bior6.8"}},
    "wavelet-none": {
        "type": "wavelet",
        "config": {"channels": 1, "levels": 0, "wavelet": "bior2.2"},
    },
    "pqmf": {"type": "pqmf", "config": {"num_bands": 4, "channels": 2, "attenuation": 60}},
    "patched": {"type": "patched", "config": {"channels": 2, "patch_size": 6}},
    "patched-over": {
        "type": "patched",
        "config": {"channels": 1, "patch_size": 6, "oversampling": 3},
    },
}


def published(make):
    """A small codec of a published kind, with weights loaded, if only its own."""
    pretransform = make()
    pretransform.load_state_dict(pretransform.state_dict())
    return pretransform


def dac(*, quantize_on_decode):
    sizes = DACSizes(
        sample_rate=8000,
        width=4,
        strides=(2, 3),
        latent_dim=8,
        decoder_width=16,
        num_codebooks=3,
        codebook_size=12,
        codebook_dim=4,
    )
    return DACPretrainedPretransform(
        sizes,
        name="a small codec",
        scale=2.0,
        quantize_on_decode=quantize_on_decode,
        enable_grad=False,
    )


def encodec(*, causal):
    sizes = EncodecSizes(
        sample_rate=8000,
        channels=1,
        width=4,
        strides=(2, 3),
        latent_dim=8,
        num_codebooks=3,
        codebook_size=12,
        lstm_layers=1,
        causal=causal,
        true_skip=not causal,
    )
    return AudiocraftPretransform(sizes, name="a small codec", enable_grad=False)


def build(config):
    members = current().families[PretransformNode].members
    node = msgspec.convert(config, members[config["type"]])
    return build_pretransform(node, sample_rate=8000)


MAKERS = {
    **{name: lambda config=config: build(config) for name, config in CONFIGS.items()},
    "dac_pretrained": lambda: published(lambda: dac(quantize_on_decode=False)),
    "dac_pretrained-on-decode": lambda: published(lambda: dac(quantize_on_decode=True)),
    "audiocraft_pretrained": lambda: published(lambda: encodec(causal=False)),
    "audiocraft_pretrained-causal": lambda: published(lambda: encodec(causal=True)),
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def audio_for(pretransform, *, frames=24):
    return torch.randn(2, pretransform.channels, frames * pretransform.hop_length)


def equal(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_every_member_has_an_example():
    tags = {name.partition("-")[0] for name in MAKERS}
    assert tags == set(current().families[PretransformNode].members)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_facts_are_those_of_the_node(config):
    members = current().families[PretransformNode].members
    node, pretransform = msgspec.convert(config, members[config["type"]]), build(config)
    for fact in ("hop_length", "latent_dim", "channels", "is_discrete", "num_quantizers"):
        assert getattr(pretransform, fact) == getattr(node, fact)


@every
def test_shapes(make):
    pretransform = make()
    audio = audio_for(pretransform)
    latents = pretransform.encode(audio)
    assert latents.shape == (2, pretransform.latent_dim, 24)
    assert pretransform.decode(latents).shape == audio.shape


@every
def test_encoding_is_frozen_and_the_same_twice(make):
    pretransform = make().train()
    audio = audio_for(pretransform)
    first, second = (pretransform.encode(audio, sample=False) for _ in range(2))
    equal(first, second)
    assert not first.requires_grad
    assert not any(module.training for module in pretransform.modules())
    assert not any(p.requires_grad for p in pretransform.parameters())


@every
def test_gradients_pass_the_decoder(make):
    pretransform = make()
    latents = torch.randn(2, pretransform.latent_dim, 24, requires_grad=True)
    weights = torch.randn_like(audio_for(pretransform))
    (pretransform.decode(latents) * weights).sum().backward()
    assert latents.grad.isfinite().all()
    assert latents.grad.abs().sum() > 0


@every
def test_state_dict_round_trip_gives_the_same_latents(make):
    pretransform, other = make(), make()
    other.load_state_dict(pretransform.state_dict())
    audio = audio_for(pretransform)
    encoded = [module.encode(audio, sample=False) for module in (pretransform, other)]
    equal(*encoded)


@every
def test_codes_are_in_range_and_decode_like_the_latents(make):
    pretransform = make()
    if not pretransform.is_discrete:
        with pytest.raises(ValueError, match="no codes"):
            pretransform.encode_tokens(audio_for(pretransform))
        return
    audio = audio_for(pretransform)
    tokens = pretransform.encode_tokens(audio)
    assert tokens.shape == (2, pretransform.num_quantizers, 24)
    assert tokens.min() >= 0
    assert tokens.max() < pretransform.codebook_size
    decoded = pretransform.decode(pretransform.encode(audio))
    torch.testing.assert_close(pretransform.decode_tokens(tokens), decoded, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["wavelet", "wavelet-none", "pqmf", "patched", "patched-over"])
def test_formula_gives_back_what_it_encoded_away_from_the_ends(name):
    pretransform = MAKERS[name]()
    time = torch.arange(64 * pretransform.hop_length) / 8000
    audio = torch.sin(2 * torch.pi * 300 * time).expand(1, pretransform.channels, -1)
    decoded = pretransform.decode(pretransform.encode(audio))
    middle = slice(len(time) // 4, -len(time) // 4)
    torch.testing.assert_close(decoded[..., middle], audio[..., middle], rtol=0, atol=0.01)
