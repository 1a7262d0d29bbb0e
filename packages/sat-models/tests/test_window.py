import pytest
import torch
from torch.nn import functional

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
