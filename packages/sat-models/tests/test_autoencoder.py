import copy

import pytest
import torch

import sat_config
from sat_models import build_model
from sat_models.models.autoencoder import AudioAutoencoder

MAPPING = {
    "model_type": "autoencoder",
    "sample_rate": 8000,
    "sample_size": 64,
    "model": {
        "encoder": {
            "type": "oobleck",
            "config": {
                "in_channels": 2,
                "channels": 4,
                "c_mults": [1, 2],
                "strides": [2, 4],
                "latent_dim": 6,
            },
        },
        "decoder": {
            "type": "oobleck",
            "config": {
                "out_channels": 2,
                "channels": 4,
                "c_mults": [1, 2],
                "strides": [2, 4],
                "latent_dim": 3,
                "final_tanh": False,
            },
        },
        "bottleneck": {"type": "vae"},
        "latent_dim": 3,
        "downsampling_ratio": 8,
        "io_channels": 2,
    },
}


def build(**changes) -> AudioAutoencoder:
    """The example with other values, given as paths below `model` with double underscores."""
    mapping = copy.deepcopy(MAPPING)
    for path, value in changes.items():
        *tables, last = path.split("__")
        table = mapping["model"]
        for key in tables:
            table = table[key]
        table[last] = value
    return build_model(sat_config.decode(mapping))


def audio(channels=2, frames=5):
    return torch.randn(2, channels, 8 * frames)


def test_attributes_follow_the_node():
    model = build()
    assert (model.sample_rate, model.hop_length, model.latent_dim) == (8000, 8, 3)
    assert (model.in_channels, model.out_channels, model.soft_clip) == (2, 2, False)


def test_reconstruction_has_the_shape_of_the_audio():
    x = audio()
    result = build()(x)
    assert result.audio.shape == x.shape
    assert result.latents.shape == (2, 3, 5)
    assert set(result.losses) == {"kl"}


def test_mean_does_not_depend_on_the_global_generator():
    model, x = build(), audio()
    first = model.encode(x, sample=False).latents
    torch.testing.assert_close(model.encode(x, sample=False).latents, first, rtol=0, atol=0)


def test_generator_decides_the_sample_and_leaves_the_global_one_alone():
    model, x = build(), audio()
    before = torch.get_rng_state()
    one, two, other = (
        model.encode(x, generator=torch.Generator().manual_seed(seed)).latents for seed in (4, 4, 5)
    )
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_scatter_around_the_mean():
    model, x = build(), audio(frames=50)
    mean = model.encode(x, sample=False).latents
    mean_of_samples = torch.stack([model.encode(x).latents for _ in range(50)]).mean(0)
    assert (mean_of_samples - mean).mean().abs() < 0.02


def test_gradients_reach_every_weight():
    model = build()
    result = model(audio())
    (result.audio.square().sum() + result.losses["kl"]).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_state_dict_round_trip_gives_the_same_audio():
    model, other, x = build(), build(), audio()
    other.load_state_dict(model.state_dict())
    latents = model.encode(x, sample=False).latents
    torch.testing.assert_close(other.decode(latents), model.decode(latents))


def test_without_a_bottleneck_latents_are_the_features():
    model = build(bottleneck=None, encoder__config__latent_dim=3)
    x = audio()
    torch.testing.assert_close(model.encode(x).latents, model.features(x))
    assert model.encode(x).losses == {}


def test_soft_clip_limits_the_audio():
    plain, clipped = build(), build(decoder__soft_clip=True)
    clipped.load_state_dict(plain.state_dict())
    latents = 10 * torch.randn(1, 3, 4)
    torch.testing.assert_close(clipped.decode(latents), plain.decode(latents).tanh())


def test_channels_in_and_out_may_differ():
    model = build(in_channels=1, encoder__config__in_channels=1)
    assert model(audio(channels=1)).audio.shape == (2, 2, 40)


def test_wrong_channels_are_refused_with_wanted_and_got():
    with pytest.raises(ValueError, match=r"\(batch, 2, 8 samples or more\), got \(2, 1, 40\)"):
        build().encode(audio(channels=1))


def test_frozen_encoder_gets_no_gradient():
    model = build(encoder__requires_grad=False)
    model(audio()).audio.sum().backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.decoder.parameters())


def test_inner_pretransform_multiplies_the_hop_length_and_lets_gradients_through():
    inner = {"type": "autoencoder", "config": MAPPING["model"]}
    model = build(
        pretransform=inner,
        downsampling_ratio=64,
        encoder__config__in_channels=3,
        decoder__config__out_channels=3,
    )
    x = torch.randn(1, 2, 128)
    result = model(x)
    assert model.hop_length == 64
    assert result.latents.shape == (1, 3, 2)
    assert result.audio.shape == x.shape
    result.audio.sum().backward()
    assert all(p.grad is not None for p in model.decoder.parameters())
    assert all(p.grad is None for p in model.pretransform.parameters())


DISCRETE = {
    "bottleneck": {"type": "fsq", "config": {"levels": [5, 4, 3], "keep_num_codebooks_dim": True}},
    "encoder__config__latent_dim": 3,
}


def test_codes_decode_to_what_their_latents_decode_to():
    model, x = build(**DISCRETE), audio()
    tokens = model.encode_tokens(x)
    assert tokens.shape == (2, 1, 5)
    torch.testing.assert_close(model.decode_tokens(tokens), model(x).audio)


def test_codes_of_a_continuous_bottleneck_are_refused():
    with pytest.raises(ValueError, match="has VAEBottleneck, and therefore no codes"):
        build().encode_tokens(audio())
    with pytest.raises(ValueError, match="has no bottleneck, and therefore no codes"):
        build(bottleneck=None, encoder__config__latent_dim=3).encode_tokens(audio())


FSQ = {"type": "fsq", "config": {"levels": [5, 3], "num_codebooks": 2}}


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.zeros(2, 4, dtype=torch.long), r"shape \(batch, 2, frames\), got \(2, 4\)"),
        (torch.zeros(1, 3, 4, dtype=torch.long), r"shape \(batch, 2, frames\), got \(1, 3, 4\)"),
        (torch.zeros(1, 2, 4), "codes as integers, got torch.float32"),
        (torch.full((1, 2, 4), 15), "codes from 0 to 14, got 15 to 15"),
        (torch.full((1, 2, 4), -2), "codes from 0 to 14, got -2 to -2"),
    ],
)
def test_codes_of_another_bottleneck_are_refused(tokens, message):
    model = build(
        bottleneck=FSQ, encoder__config__latent_dim=4, decoder__config__latent_dim=4, latent_dim=4
    )
    with pytest.raises(ValueError, match=message):
        model.decode_tokens(tokens)


def test_audio_shorter_than_a_frame_is_refused():
    model = build()
    with pytest.raises(ValueError, match=f"{model.hop_length} samples or more"):
        model.encode(torch.zeros(1, 2, model.hop_length - 1))


def test_generator_decides_the_noise_for_the_decoder():
    wasserstein = {"type": "wasserstein", "config": {"noise_augment_dim": 2}}
    model = build(
        bottleneck=wasserstein, encoder__config__latent_dim=3, decoder__config__latent_dim=5
    )
    latents = torch.randn(1, 3, 4)
    one, two, other = (
        model.decode(latents, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(one, other)


def test_bottleneck_that_is_frozen_by_itself_stays_frozen():
    softnorm = {"type": "softnorm", "config": {"dim": 3, "freeze": True}}
    model = build(bottleneck=softnorm, encoder__config__latent_dim=3)
    assert not any(p.requires_grad for p in model.bottleneck.parameters())
    assert all(p.requires_grad for p in model.encoder.parameters())
