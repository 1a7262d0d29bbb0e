"""Convolutions give the same however a signal lies in memory, and however they are computed."""

import itertools

import pytest
import torch
from torch.nn import functional

from sat_models.layers import conv
from sat_models.layers.conv import channels_last, conv1d, conv_transpose1d

LAYOUTS = {"plain": lambda x: x, "channels_last": channels_last}
WAYS = {"convolution": 1 << 40, "product": 0}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    monkeypatch.setattr(conv, "WEIGHTS_PER_FRAME", WAYS[request.param])


def layouts(*tensors):
    for chosen in itertools.product(LAYOUTS.values(), repeat=len(tensors)):
        yield tuple(arrange(x) for arrange, x in zip(chosen, tensors, strict=True))


def check(run, x, weight, expected):
    for signal, kernel in layouts(x, weight):
        found = run(signal, kernel)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        if signal.stride(1) == 1:
            assert found.stride(1) == 1


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("stride", [1, 2, 3, 8])
@pytest.mark.parametrize("bias", [True, False])
def test_convolution(stride, bias):
    x, weight = torch.randn(2, 5, 24), torch.randn(4, 5, 2 * stride)
    offset = torch.randn(4) if bias else None
    expected = functional.conv1d(x, weight, offset, stride=stride, padding=1)
    check(
        lambda x, w: conv1d(x, w, offset, stride=stride, padding=1, dilation=1),
        x,
        weight,
        expected,
    )


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("stride", [2, 3, 8])
@pytest.mark.parametrize("bias", [True, False])
def test_transposed_convolution(stride, bias):
    x, weight = torch.randn(2, 5, 7), torch.randn(5, 4, 2 * stride)
    offset = torch.randn(4) if bias else None
    padding = (stride + 1) // 2
    expected = functional.conv_transpose1d(x, weight, offset, stride=stride, padding=padding)
    check(
        lambda x, w: conv_transpose1d(x, w, offset, stride=stride, padding=padding),
        x,
        weight,
        expected,
    )


@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_are_those_of_the_convolution(monkeypatch, transposed):
    x = torch.randn(2, 5, 16, requires_grad=True)
    weight = torch.randn(5, 5, 4, requires_grad=True)
    found = []
    for bound in WAYS.values():
        monkeypatch.setattr(conv, "WEIGHTS_PER_FRAME", bound)
        if transposed:
            y = conv_transpose1d(x, weight, None, stride=2, padding=1)
        else:
            y = conv1d(x, weight, None, stride=2, padding=1, dilation=1)
        found.append(torch.autograd.grad((y * y.detach().cos()).sum(), (x, weight)))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_channels_last_of_one_channel_is_known_as_such():
    assert channels_last(torch.randn(1, 1, 9)).stride(1) == 1
