"""Working in pieces changes no value, whatever the network is made of."""

import msgspec
import pytest
import torch

from sat_config.audio.decoder import DecoderNode
from sat_config.audio.encoder import EncoderNode
from sat_config.registry import current
from sat_models.decoders.base import build_decoder
from sat_models.encoders.base import build_encoder
from sat_models.layers import tiles
from sat_models.layers.weight_norm import fold_weight_norm

SIZES = {"channels": 4, "latent_dim": 3, "c_mults": [1, 2]}
ANTIALIAS = {"use_snake": True, "antialias_activation": True}
ENCODERS = {
    "snake": {"type": "oobleck", "config": {**SIZES, "strides": [2, 4], "use_snake": True}},
    "odd": {"type": "oobleck", "config": {**SIZES, "strides": [3, 5]}},
    "one": {"type": "oobleck", "config": {**SIZES, "strides": [2, 1], "in_channels": 1}},
    "antialias": {"type": "oobleck", "config": {**SIZES, "strides": [2, 2], **ANTIALIAS}},
    "dac": {"type": "dac", "config": {"d_model": 4, "strides": [2, 3], "latent_dim": 3}},
}
DECODERS = {
    "snake": {"type": "oobleck", "config": {**SIZES, "strides": [2, 4], "use_snake": True}},
    "odd": {"type": "oobleck", "config": {**SIZES, "strides": [3, 5]}},
    "one": {"type": "oobleck", "config": {**SIZES, "strides": [2, 1]}},
    "antialias": {"type": "oobleck", "config": {**SIZES, "strides": [2, 3], **ANTIALIAS}},
    "nearest": {
        "type": "oobleck",
        "config": {**SIZES, "strides": [3, 2], "use_nearest_upsample": True},
    },
    "dac": {"type": "dac", "config": {"latent_dim": 3, "channels": 8, "rates": [3, 2]}},
}
CASES = [
    pytest.param(base, build, config, id=f"{base.__name__}-{name}")
    for base, build, configs in (
        (EncoderNode, build_encoder, ENCODERS),
        (DecoderNode, build_decoder, DECODERS),
    )
    for name, config in configs.items()
]
LENGTHS = (5000, 5003)


@pytest.fixture
def counted(monkeypatch):
    """Pieces as small as may be; how often kernels were held, which is once per stage."""
    monkeypatch.setattr(tiles, "PIECE_BYTES", 1)
    monkeypatch.setattr(tiles, "MARGINS_PER_PIECE", 1)
    return count_calls(monkeypatch)


def count_calls(monkeypatch):
    calls, held = [], tiles.held_kernels
    monkeypatch.setattr(tiles, "held_kernels", lambda layers: calls.append(1) or held(layers))
    return calls


def some(base, build, config):
    member = current().families[base].members[config["type"]]
    network = build(msgspec.convert(config, member))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network, network.in_channels if base is EncoderNode else network.latent_dim


@pytest.mark.parametrize(("base", "build", "config"), CASES)
@pytest.mark.parametrize("folded", [False, True])
def test_pieces_give_what_one_pass_gives(counted, base, build, config, folded):
    network, channels = some(base, build, config)
    for length in LENGTHS:
        x = torch.randn(2, channels, length if base is EncoderNode else length // 10)
        whole = network(x).detach()  # with gradients there are no pieces
        assert not counted
        network = fold_weight_norm(network) if folded else network
        with torch.no_grad():
            pieces = network(x)
        assert len(counted) >= 2
        assert pieces.is_contiguous()
        torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5 * whole.abs().max().item())
        counted.clear()


def test_short_signals_are_one_piece(monkeypatch):
    counted = count_calls(monkeypatch)
    network, channels = some(DecoderNode, build_decoder, DECODERS["snake"])
    with torch.no_grad():
        network(torch.randn(1, channels, 30))
    assert not counted


def test_kernels_are_computed_anew_after_the_pieces(counted):
    network, channels = some(DecoderNode, build_decoder, DECODERS["snake"])
    x = torch.randn(1, channels, 500)
    with torch.no_grad():
        before = network(x)
        for parameter in network.parameters():
            parameter.mul_(0.5)
        after = network(x)
    torch.testing.assert_close(after, network(x).detach(), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(before, after)


def test_frozen_networks_work_in_pieces_by_themselves(counted):
    network, channels = some(DecoderNode, build_decoder, DECODERS["snake"])
    x = torch.randn(1, channels, 500)
    network.requires_grad_(False)(x)
    assert counted
    counted.clear()
    network(x.requires_grad_()).sum().backward()
    assert not counted
