"""What every member of a family must do, whatever it is; one or more examples of each."""

import msgspec
import pytest
import torch

from sat_config.audio.decoder import DecoderNode
from sat_config.audio.diffusion import DiffusionUncondNode
from sat_config.audio.encoder import EncoderNode
from sat_config.registry import current
from sat_models.backbones.base import build_backbone
from sat_models.decoders.base import build_decoder
from sat_models.encoders.base import build_encoder

SIZES = {"channels": 4, "latent_dim": 6, "c_mults": [1, 2], "strides": [2, 4]}
SNAKE = {"use_snake": True, "antialias_activation": True}
TAAE = {
    "channels": 8,
    "latent_dim": 6,
    "c_mults": [1, 2],
    "strides": [2, 4],
    "transformer_depths": [1, 1],
    "sliding_window": [3, 4],
}
TAAE_FULL = {
    **TAAE,
    "use_snake": True,
    "conformer": True,
    "use_dilated_conv": True,
    "checkpointing": True,
    "layer_scale": False,
}
SEANET = {"channels": 2, "n_filters": 2, "dimension": 6}
SEANET_CAUSAL = {
    **SEANET,
    "norm": "layer_norm",
    "lstm": 0,
    "causal": True,
    "true_skip": True,
    "activation": "PReLU",
    "activation_params": {"init": 0.1},
}
LOCAL = {"heads": [2, 2], "depths": [1, 2], "ratios": [2, 3], "local_attn_window_size": 3}

ENCODERS = {
    "oobleck": {"type": "oobleck", "config": {"in_channels": 2, **SIZES}},
    "oobleck-snake": {"type": "oobleck", "config": {"in_channels": 1, **SIZES, **SNAKE}},
    "oobleck-odd": {"type": "oobleck", "config": {**SIZES, "strides": [3, 5]}},
    "oobleck-one": {"type": "oobleck", "config": {**SIZES, "strides": [2, 1]}},
    "seanet": {"type": "seanet", "config": {**SEANET, "ratios": [2, 3]}},
    "seanet-causal": {"type": "seanet", "config": {**SEANET_CAUSAL, "ratios": [2, 3]}},
    "dac": {"type": "dac", "config": {"d_model": 4, "strides": [2, 4]}},
    "dac-odd": {"type": "dac", "config": {"d_model": 4, "strides": [3, 1], "latent_dim": 6}},
    "local_attn": {
        "type": "local_attn",
        "config": {"in_channels": 2, "out_channels": 6, "embed_dims": [16, 8], **LOCAL},
    },
    "taae": {"type": "taae", "config": TAAE},
    "taae-full": {"type": "taae", "config": {**TAAE_FULL, "c_mults": [1, 1], "strides": [1, 3]}},
}
DECODERS = {
    "oobleck": {"type": "oobleck", "config": {"out_channels": 2, **SIZES}},
    "oobleck-snake": {"type": "oobleck", "config": {"out_channels": 1, **SIZES, **SNAKE}},
    "oobleck-odd": {"type": "oobleck", "config": {**SIZES, "strides": [3, 5]}},
    "oobleck-one": {"type": "oobleck", "config": {**SIZES, "strides": [2, 1]}},
    "oobleck-nearest": {
        "type": "oobleck",
        "config": {**SIZES, "strides": [3, 2], "use_nearest_upsample": True, "final_tanh": False},
    },
    "seanet": {"type": "seanet", "config": {**SEANET, "ratios": [3, 2]}},
    "seanet-causal": {
        "type": "seanet",
        "config": {
            **SEANET_CAUSAL,
            "ratios": [3, 2],
            "trim_right_ratio": 0.5,
            "final_activation": "Tanh",
        },
    },
    "dac": {"type": "dac", "config": {"latent_dim": 6, "channels": 8, "rates": [4, 2]}},
    "dac-odd": {"type": "dac", "config": {"latent_dim": 6, "channels": 8, "rates": [1, 3]}},
    "local_attn": {
        "type": "local_attn",
        "config": {
            "in_channels": 6,
            "out_channels": 2,
            "embed_dims": [8, 16],
            "causal": True,
            **LOCAL,
        },
    },
    "taae": {"type": "taae", "config": TAAE},
    "taae-full": {"type": "taae", "config": {**TAAE_FULL, "strides": [3, 2]}},
}
ADP = {
    "in_channels": 3,
    "channels": 32,
    "multipliers": [1, 1, 2],
    "factors": [2, 3],
    "num_blocks": [1, 2],
    "attentions": [0, 1, 1],
    "attention_heads": 2,
    "attention_multiplier": 2,
}
DANCE = {"io_channels": 3, "depth": 3, "n_attn_layers": 1, "channels": [32, 32, 64]}
BACKBONES = {
    "adp": {"type": "adp_uncond_1d", "config": ADP},
    "adp-patch": {
        "type": "adp_uncond_1d",
        "config": {**ADP, "patch_size": 2, "use_nearest_upsample": True, "use_skip_scale": False},
    },
    "dance": {"type": "DAU1d", "config": {**DANCE, "strides": [2, 2]}},
    "dance-learned": {
        "type": "DAU1d",
        "config": {**DANCE, "strides": [3, 1], "learned_resample": True, "use_snake": True},
    },
    "dit": {
        "type": "dit",
        "config": {"in_channels": 3, "embed_dim": 64, "depth": 2, "num_heads": 2},
    },
    "dit-patch": {
        "type": "dit",
        "config": {
            "in_channels": 3,
            "embed_dim": 96,
            "depth": 1,
            "num_heads": 1,
            "patch_size": 4,
            "diffusion_objective": "rectified_flow",
        },
    },
}
EXAMPLES = {
    EncoderNode: ENCODERS,
    DecoderNode: DECODERS,
    DiffusionUncondNode: BACKBONES,
}


def node_of(base, example):
    members = current().families[base].members
    return msgspec.convert(example, members[example["type"]])


def every(base):
    examples = EXAMPLES[base]
    return pytest.mark.parametrize("example", examples.values(), ids=examples.keys())


def check_round_trip(build, module, run):
    other = build()
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(run(other), run(module))


def check_gradients(module, output):
    output.square().sum().backward()
    missing = [name for name, p in module.named_parameters() if p.grad is None]
    assert not missing
    assert all(p.grad.isfinite().all() for p in module.parameters())


def shake(module):
    """Fresh transformers pass their input on; give every weight a part in the result."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return module


@pytest.mark.parametrize("base", EXAMPLES, ids=lambda base: base.__name__)
def test_every_member_has_an_example(base):
    tags = {example["type"] for example in EXAMPLES[base].values()}
    assert tags == set(current().families[base].members)


@every(EncoderNode)
def test_encoder(example):
    node = node_of(EncoderNode, example)
    encoder = build_encoder(node)
    assert encoder.hop_length == node.hop_length
    x = torch.randn(2, encoder.in_channels, 6 * encoder.hop_length)
    y = encoder(x)
    assert y.shape == (2, encoder.latent_dim, 6)
    torch.testing.assert_close(encoder(x), y, rtol=0, atol=0)
    check_round_trip(lambda: build_encoder(node), encoder, lambda module: module(x))
    check_gradients(encoder, y)


@every(DecoderNode)
def test_decoder(example):
    node = node_of(DecoderNode, example)
    decoder = build_decoder(node)
    assert decoder.hop_length == node.hop_length
    latents = torch.randn(2, decoder.latent_dim, 6)
    y = decoder(latents)
    assert y.shape == (2, decoder.out_channels, 6 * decoder.hop_length)
    torch.testing.assert_close(decoder(latents), y, rtol=0, atol=0)
    check_round_trip(lambda: build_decoder(node), decoder, lambda module: module(latents))
    check_gradients(decoder, y)


@every(EncoderNode)
def test_encoder_in_bfloat16(example):
    encoder = build_encoder(node_of(EncoderNode, example)).bfloat16()
    y = encoder(torch.randn(2, encoder.in_channels, 6 * encoder.hop_length).bfloat16())
    assert y.dtype == torch.bfloat16
    check_gradients(encoder, y)


@every(DecoderNode)
def test_decoder_in_bfloat16(example):
    decoder = build_decoder(node_of(DecoderNode, example)).bfloat16()
    y = decoder(torch.randn(2, decoder.latent_dim, 6).bfloat16())
    assert y.dtype == torch.bfloat16
    check_gradients(decoder, y)


@every(DiffusionUncondNode)
def test_backbone(example):
    node = node_of(DiffusionUncondNode, example)
    backbone = shake(build_backbone(node))
    x, t = torch.randn(2, backbone.io_channels, 3 * backbone.frame_multiple), torch.rand(2)
    y = backbone(x, t)
    assert y.shape == x.shape
    torch.testing.assert_close(backbone(x, t), y, rtol=0, atol=0)
    assert not torch.equal(backbone(x, t / 2), y)
    check_round_trip(lambda: build_backbone(node), backbone, lambda module: module(x, t))
    check_gradients(backbone, y)
