import pytest
import torch
from torch.func import functional_call

from sat_models.layers.antialias import AntiAliased
from sat_models.layers.attention import SelfAttention
from sat_models.layers.fourier import FourierFeatures
from sat_models.layers.residual import ResidualUnit
from sat_models.layers.rotary import RotaryEmbedding
from sat_models.layers.snake import Snake


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


def test_fresh_attention_adds_nothing():
    attention = SelfAttention(8, num_heads=2)
    assert attention(torch.randn(1, 3, 8), rotation=None).abs().max() == 0


def test_attention_ignores_the_order_without_a_rotation():
    attention = SelfAttention(8, num_heads=2)
    torch.nn.init.normal_(attention.to_out.weight)
    x = torch.randn(1, 5, 8)
    order = torch.tensor([3, 1, 4, 0, 2])
    mixed = attention(x[:, order], rotation=None)
    torch.testing.assert_close(mixed, attention(x, rotation=None)[:, order])


def test_attention_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="3 attention heads do not divide a width of 8"):
        SelfAttention(8, num_heads=3)


def test_fourier_features_are_exact_under_autocast():
    features = FourierFeatures(16)
    t = torch.rand(4)
    with torch.autocast("cpu", torch.bfloat16):
        low = features(t)
    torch.testing.assert_close(low, features(t))
