import pytest
import torch
from torch.nn import functional

from sat_models.layers import flex
from sat_models.layers.flex import flex_serves
from sat_models.layers.window import CAUSAL, EVERYWHERE, Window, attend

LENGTH = 23


def heads(length=LENGTH):
    return [torch.randn(2, 3, length, 4, requires_grad=True) for _ in range(3)]


def by_mask(query, key, value, window):
    position = torch.arange(query.shape[-2])
    offset = position - position[:, None]
    seen = torch.ones_like(offset, dtype=torch.bool)
    if window.before is not None:
        seen &= offset >= -window.before
    if window.after is not None:
        seen &= offset <= window.after
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)


@pytest.mark.parametrize(
    "window",
    [
        EVERYWHERE,
        CAUSAL,
        Window(0, 0),
        Window(3, 0),
        Window(0, 2),
        Window(2, 3),
        Window(11, 12),
        Window(22, 22),
        Window(5, 40),
        Window(3, None),
        Window(None, 4),
    ],
    ids=str,
)
def test_window_equals_a_mask_with_its_gradients(window):
    inputs = heads()
    got, want = attend(*inputs, window=window), by_mask(*inputs, window)
    torch.testing.assert_close(got, want)
    weight = torch.randn_like(got)
    got_grads = torch.autograd.grad((got * weight).sum(), inputs)
    want_grads = torch.autograd.grad((want * weight).sum(), inputs)
    torch.testing.assert_close(got_grads, want_grads)


def test_window_wider_than_the_sequence_has_no_limits():
    assert Window(63, 64).within(64) == EVERYWHERE
    assert Window(63, 64).within(65) == Window(63, None)
    assert CAUSAL.within(9) == CAUSAL


def test_single_token_sees_itself():
    query, key, value = heads(1)
    torch.testing.assert_close(attend(query, key, value, window=CAUSAL), value)


def test_context_of_another_length_is_seen_whole():
    query, (_, key, value) = heads()[0], heads(5)
    assert attend(query, key, value, window=EVERYWHERE).shape == query.shape


def test_half_precision_stays():
    inputs = [x.bfloat16() for x in heads()]
    assert attend(*inputs, window=Window(2, 3)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "window",
    [EVERYWHERE, CAUSAL, Window(2, 3), Window(3, None), Window(None, 1), Window(1, 0)],
    ids=str,
)
def test_masked_keys_are_not_seen(window):
    query, key, value = heads()
    mask = torch.ones(2, LENGTH, dtype=torch.bool)
    mask[0, 17:] = False
    result = attend(query, key, value, window=window, key_mask=mask)
    short = [x[:1, :, :17] for x in (query, key, value)]
    torch.testing.assert_close(result[:1, :, :17], attend(*short, window=window))
    whole = attend(query, key, value, window=window)
    torch.testing.assert_close(result[1], whole[1])
    result.sum().backward()
    assert all(x.grad.isfinite().all() for x in (query, key, value))


@pytest.mark.parametrize("window", [EVERYWHERE, CAUSAL, Window(2, 3), Window(3, None)], ids=str)
def test_queries_may_be_the_last_of_the_tokens(window):
    query, key, value = heads()
    last = attend(query[..., -4:, :], key, value, window=window)
    torch.testing.assert_close(last, attend(query, key, value, window=window)[..., -4:, :])


def test_where_no_key_is_seen_zeros_are_gathered():
    query, key, value = heads()
    mask = torch.zeros(2, LENGTH, dtype=torch.bool)
    mask[1, 0] = True
    result = attend(query, key, value, window=EVERYWHERE, key_mask=mask)
    assert not result[0].any()
    torch.testing.assert_close(result[1], value[1, :, :1].expand(-1, LENGTH, -1))


FLEX_WINDOWS = [Window(64, 64), Window(200, 0), Window(0, 130), Window(10, None), Window(None, 3)]


def without_gradients(length):
    return [x.detach() for x in heads(length)]


@pytest.fixture
def flex_on_cpu(monkeypatch):
    """Take the way of a graphics card, uncompiled."""
    warned_without_compiling = "torch.nn.attention.flex_attention._warn_once"
    monkeypatch.setattr(warned_without_compiling, lambda **warning: None)
    monkeypatch.setattr("sat_models.layers.window.flex_serves", lambda query: True)


@pytest.mark.parametrize("window", FLEX_WINDOWS, ids=str)
@pytest.mark.parametrize("length", [23, 300])
@pytest.mark.usefixtures("flex_on_cpu")
def test_flex_equals_blocks_and_a_mask(window, length, monkeypatch):
    inputs = without_gradients(length)
    got = attend(*inputs, window=window)
    torch.testing.assert_close(got, by_mask(*inputs, window))
    monkeypatch.setattr("sat_models.layers.window.flex_serves", flex_serves)
    torch.testing.assert_close(got, attend(*inputs, window=window))


@pytest.mark.parametrize("window", FLEX_WINDOWS, ids=str)
@pytest.mark.usefixtures("flex_on_cpu")
def test_flex_does_not_see_masked_keys(window):
    inputs = without_gradients(300)
    mask = torch.ones(2, 300, dtype=torch.bool)
    mask[0, 140:] = False
    got = attend(*inputs, window=window, key_mask=mask)
    short = [x[:1, :, :140] for x in inputs]
    torch.testing.assert_close(got[:1, :, :140], attend(*short, window=window))
    torch.testing.assert_close(got[1:], attend(*(x[1:] for x in inputs), window=window))
    assert got.isfinite().all()


def test_flex_computes_only_the_blocks_that_a_window_touches():
    blocks = flex._block_mask(100, 30, 1000, torch.device("cpu")).to_dense()[0, 0]
    seen = by_mask(*(torch.eye(1000)[None, None] for _ in range(3)), Window(100, 30))[0, 0] > 0
    seen = functional.pad(seen, (0, 24, 0, 24)).unfold(0, 128, 128).unfold(1, 128, 128)
    assert torch.equal(blocks.bool(), seen.any((-1, -2)))


def test_flex_is_for_graphics_cards_and_widths_that_it_knows(monkeypatch):
    class OnCard(torch.Tensor):
        is_cuda = True

    monkeypatch.setattr(flex, "_is_installed", lambda: True)
    assert not flex_serves(torch.zeros(1, 1, 4, 64))
    served = [width for width in (8, 16, 48, 64) if flex_serves(OnCard(1, 1, 4, width))]
    assert served == [16, 64]
    monkeypatch.setattr(flex, "_is_installed", lambda: False)
    assert not flex_serves(OnCard(1, 1, 4, 64))
