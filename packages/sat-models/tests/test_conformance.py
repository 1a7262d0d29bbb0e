"""What every member of a family must do, whatever it is; one or more examples of each."""

import msgspec
import pytest
import torch

from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.decoder import DecoderNode
from sat_config.audio.diffusion import DiffusionUncondNode
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.pretransform import PretransformNode
from sat_config.registry import current
from sat_models.backbones.base import build_backbone
from sat_models.bottlenecks.base import build_bottleneck
from sat_models.decoders.base import build_decoder
from sat_models.encoders.base import build_encoder
from sat_models.pretransforms.base import build_pretransform

SIZES = {"channels": 4, "latent_dim": 6, "c_mults": [1, 2], "strides": [2, 4]}
SNAKE = {"use_snake": True, "antialias_activation": True}

ENCODERS = {
    "oobleck": {"type": "oobleck", "config": {"in_channels": 2, **SIZES}},
    "oobleck-snake": {"type": "oobleck", "config": {"in_channels": 1, **SIZES, **SNAKE}},
    "oobleck-odd": {"type": "oobleck", "config": {**SIZES, "strides": [3, 5]}},
    "oobleck-one": {"type": "oobleck", "config": {**SIZES, "strides": [2, 1]}},
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
}
BOTTLENECKS = {"vae": {"type": "vae"}}
BACKBONES = {
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
PRETRANSFORMS = {
    "autoencoder": {
        "type": "autoencoder",
        "scale": 2.0,
        "config": {
            "encoder": ENCODERS["oobleck"],
            "decoder": {"type": "oobleck", "config": {**SIZES, "latent_dim": 3}},
            "bottleneck": {"type": "vae"},
            "latent_dim": 3,
            "downsampling_ratio": 8,
            "io_channels": 2,
        },
    }
}
EXAMPLES = {
    EncoderNode: ENCODERS,
    DecoderNode: DECODERS,
    BottleneckNode: BOTTLENECKS,
    DiffusionUncondNode: BACKBONES,
    PretransformNode: PRETRANSFORMS,
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


@every(BottleneckNode)
def test_bottleneck(example):
    node = node_of(BottleneckNode, example)
    bottleneck = build_bottleneck(node)
    features = torch.randn(2, 4 * node.encoder_channels_per_latent, 5, requires_grad=True)

    def draw(seed):
        return bottleneck.encode(features, generator=torch.Generator().manual_seed(seed)).latents

    encoding = bottleneck.encode(features)
    assert encoding.latents.shape == (2, 4, 5)
    assert all(loss.shape == () and loss.isfinite() for loss in encoding.losses.values())
    torch.testing.assert_close(draw(5), draw(5), rtol=0, atol=0)
    certain = [bottleneck.encode(features, sample=False).latents for _ in range(2)]
    torch.testing.assert_close(*certain, rtol=0, atol=0)
    (bottleneck.decode(encoding.latents).sum() + sum(encoding.losses.values())).backward()
    assert features.grad.isfinite().all()


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


@every(PretransformNode)
def test_pretransform(example):
    node = node_of(PretransformNode, example)
    pretransform = build_pretransform(node, sample_rate=8000)
    audio = torch.randn(2, pretransform.channels, 4 * pretransform.hop_length)
    latents = pretransform.encode(audio, sample=False)
    assert latents.shape == (2, pretransform.latent_dim, 4)
    assert pretransform.decode(latents).shape == audio.shape
    assert not latents.requires_grad
    torch.testing.assert_close(pretransform.encode(audio, sample=False), latents, rtol=0, atol=0)
    assert not pretransform.train().training
    check_round_trip(
        lambda: build_pretransform(node, sample_rate=8000),
        pretransform,
        lambda module: module.encode(audio, sample=False),
    )
