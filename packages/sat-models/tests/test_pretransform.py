import msgspec
import pytest
import torch

from sat_config.audio.pretransform import AutoencoderPretransformNode
from sat_models.pretransforms.base import build_pretransform
from sat_models.pretransforms.filter_design import prototype_filter
from sat_models.pretransforms.wavelet import WaveletPretransform

CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
NODE = {
    "type": "autoencoder",
    "scale": 0.5,
    "config": {
        "encoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 6}},
        "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 3}},
        "bottleneck": {"type": "vae"},
        "latent_dim": 3,
        "downsampling_ratio": 8,
        "io_channels": 2,
    },
}


def build(**changes):
    node = msgspec.convert({**NODE, **changes}, AutoencoderPretransformNode)
    return build_pretransform(node, sample_rate=8000)


@pytest.fixture
def audio():
    return torch.randn(3, 2, 64)


def test_attributes_are_those_of_the_autoencoder():
    pretransform = build()
    assert (pretransform.channels, pretransform.latent_dim) == (2, 3)
    assert (pretransform.hop_length, pretransform.scale) == (8, 0.5)


def test_latents_are_divided_by_the_scale_and_multiplied_back(audio):
    pretransform = build()
    latents = pretransform.encode(audio, sample=False)
    own = pretransform.model.encode(audio, sample=False).latents
    torch.testing.assert_close(latents, own / 0.5)
    torch.testing.assert_close(pretransform.decode(latents), pretransform.model.decode(own))


def test_iterating_over_the_batch_gives_the_same_sample(audio):
    whole, parts = build(), build(iterate_batch=True)
    parts.load_state_dict(whole.state_dict())
    encoded = [
        module.encode(audio, generator=torch.Generator().manual_seed(1))
        for module in (whole, parts)
    ]
    torch.testing.assert_close(*encoded)
    torch.testing.assert_close(whole.decode(encoded[0]), parts.decode(encoded[0]))


def test_frozen_pretransform_stays_in_eval_mode_inside_a_training_model():
    pretransform = build()
    torch.nn.ModuleList([pretransform]).train()
    assert not pretransform.training
    assert not pretransform.model.encoder.training
    assert not any(p.requires_grad for p in pretransform.parameters())


def test_frozen_pretransform_lets_gradients_through_decoding():
    latents = torch.randn(1, 3, 4, requires_grad=True)
    build().decode(latents).sum().backward()
    assert latents.grad.abs().sum() > 0


def test_enable_grad_trains_the_weights(audio):
    pretransform = build(enable_grad=True).train()
    pretransform.decode(pretransform.encode(audio)).sum().backward()
    assert pretransform.training
    assert all(p.grad is not None for p in pretransform.parameters())


def test_enable_grad_leaves_a_frozen_encoder_frozen():
    frozen = {**NODE["config"]["encoder"], "requires_grad": False}
    pretransform = build(enable_grad=True, config={**NODE["config"], "encoder": frozen})
    assert not any(p.requires_grad for p in pretransform.model.encoder.parameters())
    assert all(p.requires_grad for p in pretransform.model.decoder.parameters())


def test_enable_grad_respects_no_grad(audio):
    with torch.no_grad():
        assert not build(enable_grad=True).encode(audio).requires_grad


def test_half_precision_computes_in_float16_and_hands_out_float32(audio):
    whole, half = build(), build(model_half=True)
    half.load_state_dict(whole.state_dict())
    assert {p.dtype for p in half.parameters()} == {torch.float16}
    latents = half.encode(audio, sample=False)
    assert latents.dtype == half.decode(latents).dtype == torch.float32
    torch.testing.assert_close(latents, whole.encode(audio, sample=False), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("frames", [20, 128, 300])
def test_chunks_give_what_one_pass_gives(frames):
    whole, chunked = build(), build(chunked=True)
    chunked.load_state_dict(whole.state_dict())
    audio = torch.randn(2, 2, 8 * frames)
    encoded = [
        module.encode(audio, generator=torch.Generator().manual_seed(1))
        for module in (whole, chunked)
    ]
    torch.testing.assert_close(*encoded)
    torch.testing.assert_close(whole.decode(encoded[0]), chunked.decode(encoded[0]))


def test_continuous_autoencoder_has_no_codes(audio):
    pretransform = build()
    assert not pretransform.is_discrete
    with pytest.raises(ValueError, match="has VAEBottleneck, and therefore no codes"):
        pretransform.encode_tokens(audio)
    with pytest.raises(ValueError, match="has VAEBottleneck, and therefore no codes"):
        pretransform.decode_tokens(torch.zeros(1, 2, 4, dtype=torch.long))


def test_pqmf_refuses_attenuation_without_a_design():
    with pytest.raises(ValueError, match="attenuation must be above 8"):
        prototype_filter(num_bands=4, attenuation=8)


def test_wavelet_refuses_lengths_that_its_levels_do_not_divide():
    pretransform = WaveletPretransform(channels=1, levels=3, wavelet="bior2.2")
    with pytest.raises(ValueError, match="a length that 8 divides, got 60"):
        pretransform.encode(torch.zeros(1, 1, 60))
