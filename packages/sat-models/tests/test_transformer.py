import torch

from sat_models.layers.attention import CrossAttention, SelfAttention
from sat_models.layers.conformer import ConformerModule
from sat_models.layers.feed_forward import FeedForward
from sat_models.layers.norm import DynamicTanh, plain_layer_norm
from sat_models.layers.rotary import RotaryEmbedding
from sat_models.layers.transformer import Tokens, TransformerBlock
from sat_models.layers.window import EVERYWHERE

WIDTH = 8


def block(*, make_norm=plain_layer_norm, layer_scale=False, modulated=False, rotary=None):
    attention = {
        "num_heads": 2,
        "qk_norm": "none",
        "differential": False,
        "feature_scale": False,
        "zero_init": False,
    }
    return TransformerBlock(
        WIDTH,
        make_norm=make_norm,
        attention=SelfAttention(WIDTH, window=EVERYWHERE, **attention),
        cross_attention=CrossAttention(WIDTH, context_width=4, **attention),
        conformer=ConformerModule(WIDTH, make_norm=plain_layer_norm),
        feed_forward=FeedForward(
            WIDTH, hidden_width=16, gated=True, bias=True, kernel_size=None, zero_init=False
        ),
        rotary=rotary,
        layer_scale=layer_scale,
        modulated=modulated,
    )


def tokens():
    return torch.randn(2, 5, WIDTH)


def test_fresh_layer_scales_pass_tokens_on():
    x = tokens()
    y = block(layer_scale=True)(x, context=Tokens(torch.randn(2, 3, 4)))
    assert 0 < (y - x).abs().max() < 1e-3


def test_context_takes_part_where_it_is_given():
    layer, x = block(), tokens()
    values = torch.randn(2, 3, 4)
    alone = layer(x)
    first, second = (layer(x, context=Tokens(context)) for context in (values, -values))
    assert not torch.equal(alone, first)
    assert not torch.equal(first, second)


def test_dynamic_tanh_replaces_the_norms_in_front_of_branches():
    layer = block(make_norm=DynamicTanh)
    norms = [layer.pre_norm, layer.cross_attend_norm, layer.ff_norm]
    assert all(isinstance(norm, DynamicTanh) for norm in norms)
    torch.testing.assert_close(norms[0](torch.full((1, WIDTH), 9.0)), torch.ones(1, WIDTH))


def test_modulation_shuts_both_branches():
    layer, x = block(modulated=True), tokens()
    layer.conformer = None
    modulation = torch.zeros(2, 6, WIDTH)
    modulation[:, 2], modulation[:, 5] = 1e4, 1e4  # the gates
    torch.testing.assert_close(layer(x, modulation=modulation.flatten(1)), x)


def test_modulation_shifts_and_scales_after_the_norm():
    layer, x = block(modulated=True), tokens()
    layer.conformer = None
    torch.nn.init.zeros_(layer.to_scale_shift_gate)
    modulation = torch.zeros(2, 6, WIDTH)
    modulation[:, 0], modulation[:, 3] = -1, -1  # scales: what the branches see is the shift
    y = layer(x, modulation=modulation.flatten(1))
    torch.testing.assert_close(y - x, (y - x)[:, :1].expand_as(x))


def test_positions_of_the_layer_count_only_where_none_are_given():
    rotary = RotaryEmbedding(4)
    own, other = block(rotary=rotary), block()
    other.load_state_dict(own.state_dict(), strict=False)
    x = tokens()
    torch.testing.assert_close(own(x), other(x, rotation=rotary(5)))
    unturned = RotaryEmbedding(0)(5)
    torch.testing.assert_close(own(x, rotation=unturned), other(x))
