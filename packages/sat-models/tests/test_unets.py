import msgspec
import pytest
import torch

from sat_config.audio.diffusion import (
    Adp1dAutoencoderNode,
    Adp1dNode,
    AdpCfg1dNode,
    AdpUncond1dNode,
    DAU1dAutoencoderNode,
    DiTAutoencoderNode,
)
from sat_config.audio.unet import AdpUncond1dConfig
from sat_models.backbones.adp import build_unet
from sat_models.backbones.autoencoder import build_autoencoder_backbone
from sat_models.backbones.base import build_backbone, build_conditioned_backbone
from sat_models.backbones.conditioning import NO_CONDITIONING, Conditioning
from sat_models.models.objectives import RectifiedFlow, VObjective

SIZES = {
    "in_channels": 2,
    "channels": 32,
    "multipliers": [1, 1],
    "factors": [2],
    "num_blocks": [1],
    "attentions": [0, 1],
    "attention_heads": 2,
    "attention_multiplier": 2,
}
TOKENS = {"context_embedding_features": 12, "context_embedding_max_length": 6}
STFT = {"use_stft": True, "stft_num_fft": 63, "stft_hop_length": 16}
DANCE = {"io_channels": 2, "depth": 2, "n_attn_layers": 1, "channels": [32, 32], "strides": [2]}


def build(cls, *, objective="v", **options):
    mapping = {"type": cls.__struct_config__.tag, "config": {**SIZES, **options}}
    if cls is AdpUncond1dNode:
        return build_backbone(msgspec.convert(mapping, cls)).eval()
    mapping["diffusion_objective"] = objective
    return build_conditioned_backbone(msgspec.convert(mapping, cls)).eval()


def autoencoder_backbone(cls, **config):
    node = msgspec.convert({"type": cls.__struct_config__.tag, "config": config}, cls)
    return build_autoencoder_backbone(node).eval()


@pytest.fixture
def x():
    return torch.randn(2, 2, 12)


@pytest.fixture
def t():
    return torch.rand(2)


@pytest.fixture
def tokens():
    return Conditioning(cross_attention=torch.randn(2, 4, 12))


def check_conformance(make, x, t, conditioning):
    network, other = make(), make()
    y = network(x, t, conditioning)
    assert y.shape == x.shape
    torch.testing.assert_close(network(x, t, conditioning), y, rtol=0, atol=0)
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(x, t, conditioning), y)
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("level", [0, 1])
def test_unet_with_vector_and_channels_conforms(x, t, level):
    channels = [0] * level + [8]
    conditioning = Conditioning(global_=torch.randn(2, 5), input_concat=torch.randn(2, 8, 7))
    check_conformance(
        lambda: build(Adp1dNode, context_features=5, context_channels=channels),
        x,
        t,
        conditioning,
    )


def test_unet_with_tokens_conforms(x, t, tokens):
    half = Conditioning(
        cross_attention=tokens.cross_attention * torch.tensor([1.0, 0])[:, None, None]
    )
    check_conformance(lambda: build(AdpCfg1dNode, **TOKENS, use_xattn_time=True), x, t, half)


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (Adp1dAutoencoderNode, {**SIZES, "context_channels": [3]}),
        (DAU1dAutoencoderNode, {**DANCE, "cond_dim": 3}),
        (DAU1dAutoencoderNode, {**DANCE, "cond_dim": 3, "cond_noise_aug": True}),
        (
            DiTAutoencoderNode,
            {
                "io_channels": 2,
                "embed_dim": 64,
                "depth": 1,
                "num_heads": 1,
                "input_concat_dim": 3,
                "diffusion_objective": "v",
            },
        ),
    ],
    ids=["adp", "dance", "dance-noisy", "dit"],
)
def test_backbone_of_a_diffusion_autoencoder_follows_its_latents(cls, config, x, t):
    network = autoencoder_backbone(cls, **config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    one, other = (Conditioning(input_concat=torch.randn(2, 3, 4)) for _ in range(2))
    assert isinstance(network.objective, VObjective)
    assert network(x, t, one).shape == x.shape
    assert not torch.equal(network(x, t, one), network(x, t, other))


def test_objective_follows_the_node():
    network = build(Adp1dNode, objective="rectified_flow")
    assert isinstance(network.objective, RectifiedFlow)


def test_fresh_weights_are_half_of_the_usual():
    norm = build(AdpUncond1dNode).model.bottleneck.pre_block.block1.groupnorm.weight
    assert torch.equal(norm, torch.full_like(norm, 0.5))


@pytest.mark.parametrize("time", [False, True])
def test_dropped_tokens_are_replaced_by_learned_ones(x, t, tokens, time):
    network = build(AdpCfg1dNode, **TOKENS, use_xattn_time=time)
    learned = network.model.fixed_embedding.embedding.weight
    without = network(x, t, tokens.dropped())
    assert not torch.equal(without, network(x, t, tokens))
    explicit = Conditioning(cross_attention=learned[None, :4].expand(2, -1, -1))
    if not time:  # the timestep's token gives way too, which cannot be said explicitly
        torch.testing.assert_close(without, network(x, t, explicit))
    items = torch.tensor([True, False])
    mixed = network(x, t, tokens.dropped(items))
    torch.testing.assert_close(mixed, torch.stack([without[0], network(x, t, tokens)[1]]))


def test_padding_of_tokens_does_not_count(x, t, tokens):
    network = build(AdpCfg1dNode, **TOKENS, use_xattn_time=True)
    mask = torch.tensor([[True, True, True, False]] * 2)
    other = tokens.cross_attention.clone()
    other[:, 3] = torch.randn(12)
    one, two = (
        Conditioning(cross_attention=embeddings, cross_attention_mask=mask)
        for embeddings in (tokens.cross_attention, other)
    )
    torch.testing.assert_close(network(x, t, one), network(x, t, two))
    assert not torch.equal(network(x, t, tokens), network(x, t, one))


def test_too_many_tokens_are_refused(x, t):
    with pytest.raises(ValueError, match="at most 6 tokens to attend to, got 7"):
        build(AdpCfg1dNode, **TOKENS)(x, t, Conditioning(cross_attention=torch.randn(2, 7, 12)))


@pytest.mark.parametrize(
    ("conditioning", "message"),
    [
        (NO_CONDITIONING, "features: the U-Net was made with them"),
        (Conditioning(global_=torch.ones(2, 5), prepend=torch.ones(2, 1, 3)), "before the input"),
        (
            Conditioning(global_=torch.ones(2, 5), input_concat=torch.ones(2, 3, 4)),
            "channels: the U-Net was made without them",
        ),
        (
            Conditioning(global_=torch.ones(2, 5), cross_attention=torch.ones(2, 3, 4)),
            "embedding: the U-Net was made without them",
        ),
    ],
)
def test_conditions_that_do_not_fit_are_refused(x, t, conditioning, message):
    network = build(Adp1dNode, context_features=5)
    with pytest.raises(ValueError, match=message):
        network(x, t, conditioning)


def test_dance_refuses_conditions_that_do_not_fit(x, t):
    network = autoencoder_backbone(DAU1dAutoencoderNode, **DANCE, cond_dim=3)
    with pytest.raises(ValueError, match="made for 3 channels of condition"):
        network(x, t, NO_CONDITIONING)
    with pytest.raises(ValueError, match="as channels only"):
        network(x, t, Conditioning(global_=torch.ones(2, 5)))


@pytest.mark.parametrize("frames", [7, 9])
def test_length_that_does_not_fit_is_refused(frames, t):
    with pytest.raises(ValueError, match=f"multiple of 2 frames .*, got {frames}"):
        build(AdpUncond1dNode)(torch.randn(2, 2, frames), t)


@pytest.mark.parametrize("frames", [4, 9])
def test_dance_refuses_a_length_that_does_not_fit(frames, t):
    network = autoencoder_backbone(DAU1dAutoencoderNode, **DANCE)
    with pytest.raises(ValueError, match=f"multiple of 2 frames .* at least 6, got {frames}"):
        network(torch.randn(2, 2, frames), t, NO_CONDITIONING)


def test_noise_on_latents_is_for_training_only(x, t):
    network = autoencoder_backbone(DAU1dAutoencoderNode, **DANCE, cond_dim=3, cond_noise_aug=True)
    latents = Conditioning(input_concat=torch.randn(2, 3, 12))
    assert torch.equal(network(x, t, latents), network(x, t, latents))
    network.train()
    assert not torch.equal(network(x, t, latents), network(x, t, latents))


@pytest.mark.parametrize("complex_parts", [False, True])
def test_stft_keeps_the_length_and_is_undone(complex_parts, t):
    network = build(AdpUncond1dNode, **STFT, stft_use_complex=complex_parts)
    audio = torch.randn(2, 2, 203)
    assert network(audio, t).shape == audio.shape
    stft = network.model.stft
    frames = stft.encode(audio, multiple=4)
    assert frames.shape == (2, 2 * stft.channels_per_channel, 16)
    torch.testing.assert_close(stft.decode(frames, samples=203), audio, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("transformed", [False, True])
def test_condition_joins_a_transformed_signal(transformed, t):
    network = build(Adp1dNode, **STFT, context_channels=[3], use_stft_context=transformed)
    audio, channels = torch.randn(2, 2, 200), torch.randn(2, 3, 10)
    assert network(audio, t, Conditioning(input_concat=channels)).shape == audio.shape


def test_attention_without_sizes_is_refused():
    options = {**SIZES, "attention_heads": None}
    with pytest.raises(ValueError, match="attention needs a multiplier, and heads or their width"):
        build_unet(msgspec.convert(options, AdpUncond1dConfig))


def test_half_precision(x, t, tokens):
    network = build(AdpCfg1dNode, **TOKENS, use_xattn_time=True)
    exact = network(x, t, tokens)
    rough = network.bfloat16()(x, t, tokens)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.1)
    dance = autoencoder_backbone(DAU1dAutoencoderNode, **DANCE, cond_dim=3).bfloat16()
    latents = Conditioning(input_concat=torch.randn(2, 3, 4))
    assert dance(x, t, latents).dtype == torch.bfloat16
