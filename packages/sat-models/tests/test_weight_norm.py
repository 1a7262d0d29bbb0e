import pytest
import torch
from torch.nn.utils import parametrizations

from sat_models.layers.weight_norm import (
    WeightNormConv1d,
    WeightNormConvTranspose1d,
    fold_weight_norm,
)


def conv(bias=True):
    return WeightNormConv1d(3, 5, kernel_size=4, stride=2, padding=1, dilation=1, bias=bias)


def transposed():
    return WeightNormConvTranspose1d(3, 5, kernel_size=4, stride=2, padding=1)


def torch_conv():
    return torch.nn.Conv1d(3, 5, 4, stride=2, padding=1)


def torch_transposed():
    return torch.nn.ConvTranspose1d(3, 5, 4, stride=2, padding=1)


PAIRS = [(conv, torch_conv), (transposed, torch_transposed)]


def test_state_dict_has_the_classic_names_and_shapes():
    shapes = {name: tuple(value.shape) for name, value in conv().state_dict().items()}
    assert shapes == {"bias": (5,), "weight_g": (5, 1, 1), "weight_v": (5, 3, 4)}


def test_transposed_length_belongs_to_the_input_channels():
    assert transposed().weight_g.shape == (3, 1, 1)


def test_without_bias_the_state_has_none():
    assert set(conv(bias=False).state_dict()) == {"weight_g", "weight_v"}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_fresh_layer_equals_torch_for_the_same_seed(ours, theirs):
    torch.manual_seed(3)
    own = ours()
    torch.manual_seed(3)
    other = theirs()
    x = torch.randn(2, 3, 16)
    torch.testing.assert_close(own(x), other(x))


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_gradients_equal_those_of_torch_weight_norm(ours, theirs):
    own, other = ours(), theirs()
    other.load_state_dict({"weight": own.kernel().detach(), "bias": own.bias.detach()})
    parametrizations.weight_norm(other)
    x = torch.randn(2, 3, 16)
    own(x).square().sum().backward()
    other(x).square().sum().backward()
    originals = other.parametrizations.weight
    torch.testing.assert_close(own.weight_g.grad, originals.original0.grad)
    torch.testing.assert_close(own.weight_v.grad, originals.original1.grad)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_plain_weight_loads(ours, theirs):
    own, other = ours(), theirs()
    own.load_state_dict(other.state_dict())
    x = torch.randn(2, 3, 16)
    torch.testing.assert_close(own(x), other(x))


def test_loading_a_plain_weight_leaves_the_given_state_alone():
    state = {"weight": torch.randn(5, 3, 4), "bias": torch.zeros(5)}
    conv().load_state_dict(state)
    assert set(state) == {"weight", "bias"}


def test_wrong_names_are_refused():
    with pytest.raises(RuntimeError, match="weight_v"):
        conv().load_state_dict({"bias": torch.zeros(5), "weight_g": torch.ones(5, 1, 1)})


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_folded_layer_gives_the_same_output_with_plain_names(ours, theirs):
    own = ours()
    torch.nn.init.uniform_(own.weight_g)
    x = torch.randn(2, 3, 16)
    folded = fold_weight_norm(own)
    torch.testing.assert_close(folded(x), own(x), rtol=0, atol=0)
    assert isinstance(folded, type(theirs()))
    assert set(folded.state_dict()) == {"weight", "bias"}


def test_folding_replaces_layers_inside_modules():
    inner = torch.nn.Sequential(conv(bias=False), torch.nn.ELU())
    module = torch.nn.ModuleDict({"inner": inner, "other": torch.nn.Linear(2, 2)})
    module.requires_grad_(False).eval()
    assert fold_weight_norm(module) is module
    assert set(module.state_dict()) == {"inner.0.weight", "other.weight", "other.bias"}
    assert not module["inner"][0].training
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_folded_state_loads_where_nothing_is_folded():
    own, fresh = conv(), conv()
    x = torch.randn(2, 3, 16)
    fresh.load_state_dict(fold_weight_norm(own).state_dict())
    torch.testing.assert_close(fresh(x), own(x))


def test_folding_draws_no_random_numbers():
    own = conv()
    before = torch.get_rng_state()
    fold_weight_norm(own)
    assert torch.equal(torch.get_rng_state(), before)
