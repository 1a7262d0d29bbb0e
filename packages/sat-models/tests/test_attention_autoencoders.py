"""The encoders and decoders made of transformers: taae and local_attn."""

import msgspec
import pytest
import torch

from sat_config.audio.decoder import LocalAttnDecoderNode, TAAEDecoderNode
from sat_config.audio.encoder import LocalAttnEncoderNode, TAAEEncoderNode
from sat_models.decoders.base import build_decoder
from sat_models.encoders.base import build_encoder
from sat_models.layers.local_attention import local_window
from sat_models.layers.window import Window

TAAE = {
    "channels": 8,
    "latent_dim": 3,
    "c_mults": [1, 2],
    "strides": [2, 2],
    "transformer_depths": [1, 1],
    "sliding_window": [1, 2],
    "layer_scale": False,
}
LOCAL = {"embed_dims": [8, 8], "heads": [2, 2], "depths": [1, 1], "ratios": [2, 2]}


def shake(module):
    """Fresh layers add nothing; give every weight a part in the result."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def taae_encoder(**config):
    mapping = {"type": "taae", "config": {**TAAE, **config}}
    return shake(build_encoder(msgspec.convert(mapping, TAAEEncoderNode)))


def taae_decoder(**config):
    mapping = {"type": "taae", "config": {**TAAE, **config}}
    return shake(build_decoder(msgspec.convert(mapping, TAAEDecoderNode)))


def local_encoder(**config):
    config = {"in_channels": 2, "out_channels": 3, **LOCAL, **config}
    mapping = {"type": "local_attn", "config": config}
    return shake(build_encoder(msgspec.convert(mapping, LocalAttnEncoderNode)))


def local_decoder(**config):
    config = {"in_channels": 3, "out_channels": 2, **LOCAL, **config}
    mapping = {"type": "local_attn", "config": config}
    return shake(build_decoder(msgspec.convert(mapping, LocalAttnDecoderNode)))


def reach(module, x, position):
    """First and last sample that a result depends on."""
    x = x.requires_grad_()
    module(x)[..., position].sum().backward()
    touched = x.grad.abs().sum((0, 1)).nonzero().flatten()
    return touched[0].item(), touched[-1].item()


def test_narrow_window_limits_what_taae_hears():
    x = torch.randn(1, 2, 240)
    near = reach(taae_encoder(), x, 30)
    far = reach(taae_encoder(sliding_window=[-1, -1]), x, 30)
    assert near[0] > 60
    assert near[1] < 180
    assert far == (0, 239)


def test_taae_checkpointing_changes_no_gradient():
    plain, recomputing = taae_encoder(), taae_encoder(checkpointing=True)
    recomputing.load_state_dict(plain.state_dict())
    x = torch.randn(1, 2, 32)
    for module in (plain, recomputing):
        module(x).square().sum().backward()
    pairs = zip(plain.parameters(), recomputing.parameters(), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one.grad, other.grad)


def test_taae_decoder_with_snake_may_change_width():
    audio = taae_decoder(use_snake=True)(torch.randn(1, 3, 5))
    assert audio.shape == (1, 2, 20)


def test_taae_decoder_fills_what_odd_strides_leave_out():
    audio = taae_decoder(strides=[2, 3])(torch.randn(1, 3, 5))
    assert audio.shape == (1, 2, 30)
    assert audio[..., -2:].abs().max() == 0


def test_taae_refuses_widths_that_are_no_heads():
    with pytest.raises(ValueError, match="width of 192 does not divide into heads of 128"):
        taae_encoder(channels=192)


def test_taae_refuses_unit_strides_that_change_the_width():
    with pytest.raises(ValueError, match="cannot go from 8 to 16"):
        taae_encoder(strides=[2, 1])


def test_local_window_counts_the_token_itself():
    assert local_window(64, causal=False) == Window(31, 32)
    assert local_window(5, causal=False) == Window(2, 2)
    assert local_window(4, causal=True) == Window(3, 0)


def test_local_window_limits_what_is_heard():
    first, last = reach(local_encoder(local_attn_window_size=3), torch.randn(1, 2, 80), 10)
    assert (first, last) == (37, 46)


def test_causal_local_decoder_does_not_see_the_future():
    _, last = reach(local_decoder(causal=True), torch.randn(1, 3, 12), 20)
    assert last == 5


def test_local_encoder_fills_up_partial_frames():
    module = local_encoder()
    x = torch.randn(1, 2, 6)
    padded = torch.nn.functional.pad(x, (0, 2))
    torch.testing.assert_close(module(x), module(padded))


def test_local_attention_takes_odd_and_narrow_heads():
    module = local_encoder(embed_dims=[9, 2], heads=[3, 2])
    assert module(torch.randn(1, 2, 8)).shape == (1, 3, 2)
