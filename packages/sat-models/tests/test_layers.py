import pytest
import torch
from torch.func import functional_call

from sat_models.layers.antialias import AntiAliased
from sat_models.layers.attention import CrossAttention, SelfAttention
from sat_models.layers.feed_forward import FeedForward
from sat_models.layers.fourier import FourierFeatures
from sat_models.layers.norm import LayerNorm
from sat_models.layers.recompute import Recomputed
from sat_models.layers.residual import ResidualUnit
from sat_models.layers.rotary import RotaryEmbedding
from sat_models.layers.snake import LinearSnake, Snake
from sat_models.layers.window import EVERYWHERE


def test_snake_gradients_match_finite_differences():
    snake = Snake(3).double()
    x = torch.randn(2, 3, 4, dtype=torch.double, requires_grad=True)
    alpha = torch.randn(3, dtype=torch.double, requires_grad=True)
    beta = torch.randn(3, dtype=torch.double, requires_grad=True)

    def apply(x, alpha, beta):
        return functional_call(snake, {"alpha": alpha, "beta": beta}, (x,))

    assert torch.autograd.gradcheck(apply, (x, alpha, beta))


def test_fresh_snake_is_x_plus_squared_sine():
    x = torch.linspace(-3, 3, 12).view(1, 2, 6)
    torch.testing.assert_close(Snake(2)(x), x + x.sin() ** 2)


def test_snake_keeps_half_precision():
    x = torch.randn(1, 2, 6, dtype=torch.bfloat16, requires_grad=True)
    y = Snake(2)(x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == torch.bfloat16


def test_residual_unit_keeps_its_input():
    x = torch.randn(1, 4, 40)
    before = x.clone()
    ResidualUnit(4, dilation=3, snake=True)(x)
    torch.testing.assert_close(x, before)


def test_antialiased_identity_keeps_slow_signals():
    time = torch.arange(400)
    x = torch.sin(2 * torch.pi * 0.02 * time).view(1, 1, -1)
    y = AntiAliased(torch.nn.Identity())(x)
    assert y.shape == x.shape
    assert (y - x)[..., 20:-20].abs().max() < 0.02


class Square(torch.nn.Module):
    def forward(self, x):
        return x**2


def test_antialiased_activation_folds_less_back():
    time = torch.arange(400)
    x = torch.sin(2 * torch.pi * 0.4 * time).view(1, 1, -1)  # its square is at 0.8, folds to 0.2
    probe = torch.exp(-2j * torch.pi * 0.2 * time[20:-20])

    def folded(module):
        return (module(x)[0, 0, 20:-20] * probe).sum().abs()

    assert folded(AntiAliased(Square())) < 0.5 * folded(Square())


def test_rotation_makes_scores_depend_on_distance_alone():
    rotation = RotaryEmbedding(8)(6)
    query, key = torch.randn(8), torch.randn(8)
    turned_query = rotation.apply(query.expand(6, 8))
    turned_key = rotation.apply(key.expand(6, 8))
    scores = turned_query @ turned_key.T
    for offset in (-2, 0, 3):
        diagonal = scores.diagonal(offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))


def test_rotation_leaves_the_other_features_alone():
    x = torch.randn(2, 5, 12)
    turned = RotaryEmbedding(8)(5).apply(x)
    torch.testing.assert_close(turned[..., 8:], x[..., 8:])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def self_attention(width, *, num_heads, zero_init=True, **changes):
    options = {
        "qk_norm": "none",
        "differential": False,
        "feature_scale": False,
        "window": EVERYWHERE,
    }
    return SelfAttention(width, num_heads=num_heads, zero_init=zero_init, **{**options, **changes})


def test_fresh_attention_adds_nothing():
    attention = self_attention(8, num_heads=2)
    assert attention(torch.randn(1, 3, 8), rotation=None).abs().max() == 0


def test_attention_ignores_the_order_without_a_rotation():
    attention = self_attention(8, num_heads=2, zero_init=False)
    x = torch.randn(1, 5, 8)
    order = torch.tensor([3, 1, 4, 0, 2])
    mixed = attention(x[:, order], rotation=None)
    torch.testing.assert_close(mixed, attention(x, rotation=None)[:, order])


def test_attention_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="3 attention heads do not divide a width of 8"):
        self_attention(8, num_heads=3)


@pytest.mark.parametrize("qk_norm", ["l2", "ln", "dyt"])
def test_normalised_queries_and_keys_bound_the_scores(qk_norm):
    attention = self_attention(8, num_heads=2, zero_init=False, qk_norm=qk_norm)
    x = torch.randn(1, 5, 8)
    usual = attention(x, rotation=None)
    attention.to_qkv.weight.data[:16] *= 1e4  # of queries and keys
    assert (attention(x, rotation=None) - usual).abs().max() < 2


def test_differential_attention_cancels_where_both_maps_agree():
    attention = self_attention(8, num_heads=2, zero_init=False, differential=True)
    weight = attention.to_qkv.weight.data
    weight[24:40] = weight[:16]
    assert attention(torch.randn(1, 5, 8), rotation=None).abs().max() < 1e-6


def test_feature_scale_can_leave_the_mean_alone():
    attention = self_attention(8, num_heads=2, zero_init=False, feature_scale=True)
    torch.nn.init.constant_(attention.lambda_hf, -1)
    y = attention(torch.randn(1, 5, 8), rotation=None)
    torch.testing.assert_close(y, y[:, :1].expand_as(y))


def test_attention_to_a_narrow_context_shares_its_heads():
    attention = CrossAttention(
        16,
        context_width=8,
        num_heads=4,
        qk_norm="none",
        differential=False,
        feature_scale=False,
        zero_init=False,
    )
    context = torch.randn(2, 3, 8)
    y = attention(torch.randn(2, 5, 16), context=context)
    assert y.shape == (2, 5, 16)
    order = context[:, [2, 0, 1]]
    torch.testing.assert_close(
        attention(y, context=order), attention(y, context=context), rtol=1e-5, atol=1e-6
    )


def test_attention_refuses_a_context_of_part_of_a_head():
    with pytest.raises(ValueError, match="context of 6 features cannot be shared by 4 heads of 4"):
        CrossAttention(
            16,
            context_width=6,
            num_heads=4,
            qk_norm="none",
            differential=False,
            feature_scale=False,
            zero_init=False,
        )


def test_norm_in_float32_keeps_the_dtype_and_loses_less():
    x = (100 + torch.randn(4, 64)).bfloat16()
    norms = [
        LayerNorm(64, epsilon=1e-5, bias=True, fixed_gain=True, in_float32=in_float32)
        for in_float32 in (True, False)
    ]
    exact = norms[1](x.float())
    y = norms[0].bfloat16()(x)
    assert y.dtype == torch.bfloat16
    assert (y - exact).abs().max() < 0.02
    assert set(dict(norms[0].named_parameters())) == {"beta"}


@pytest.mark.parametrize("gated", [True, False])
def test_convolving_feed_forward_mixes_neighbours_alone(gated):
    network = FeedForward(
        4, hidden_width=8, gated=gated, bias=False, kernel_size=3, zero_init=False
    )
    x = torch.randn(1, 9, 4, requires_grad=True)
    network(x)[0, 4].sum().backward()
    reach = 1 if gated else 2
    touched = x.grad.abs().sum(-1)[0].nonzero().flatten().tolist()
    assert touched == list(range(4 - reach, 5 + reach))


def test_linear_snake_of_one_is_x_plus_squared_sine():
    x = torch.linspace(-3, 3, 12).view(1, 2, 6)
    torch.testing.assert_close(LinearSnake(2)(x), x + x.sin() ** 2)


def test_recomputing_leaves_gradients_as_they_are():
    def gradients(recompute):
        torch.manual_seed(3)
        inner = Recomputed([torch.nn.Linear(4, 4), torch.nn.Tanh()], recompute=recompute)
        outer = Recomputed([torch.nn.Linear(4, 4), inner], recompute=recompute)
        outer(torch.ones(1, 4)).sum().backward()
        return [p.grad for p in outer.parameters()]

    torch.testing.assert_close(gradients(True), gradients(False))


def test_fourier_features_are_exact_under_autocast():
    features = FourierFeatures(16)
    t = torch.rand(4)
    with torch.autocast("cpu", torch.bfloat16):
        low = features(t)
    torch.testing.assert_close(low, features(t))
