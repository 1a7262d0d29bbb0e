import math

import pytest
import torch

from sat_models.backbones.conditioning import NO_CONDITIONING, Conditioning
from sat_models.models.guidance import Guidance, guided, guided_only
from sat_models.models.objectives import RectifiedFlow, VObjective

EVERYWHERE = (0.0, 1.0)


class Network:
    """Adds up what steers it, and counts how often it is asked."""

    def __init__(self):
        self.batches = []

    def __call__(self, x, t, conditioning):
        self.batches.append(len(x))
        parts = (conditioning.cross_attention, conditioning.prepend, conditioning.global_)
        sums = [part.flatten(1).sum(1) for part in parts if part is not None]
        return x + sum(sums, torch.zeros(len(x)))[:, None, None]


def run(conditioning, *, scale=3.0, rescale=0.0, interval=EVERYWHERE, t=0.5, **options):
    network, options = Network(), {"objective": RectifiedFlow(), **options}
    guidance = Guidance(scale=scale, rescale=rescale, interval=interval)
    predict = guided(network, conditioning, guidance, **options)
    x = torch.zeros(2, 3, 4)
    return network, *predict(x, torch.full((2,), t))


def text(value, length=2):
    return Conditioning(cross_attention=torch.full((2, length, 1), value))


def test_the_difference_that_conditions_make_is_exaggerated_in_one_batch():
    network, result, without = run(text(0.5))
    torch.testing.assert_close(result, torch.full((2, 3, 4), 3.0))
    torch.testing.assert_close(without, torch.zeros(2, 3, 4))
    assert network.batches == [4]


def test_global_conditions_stay():
    conditioning = Conditioning(
        cross_attention=torch.ones(2, 1, 1), global_=torch.ones(2, 1), prepend=torch.ones(2, 1, 1)
    )
    _, result, without = run(conditioning)
    torch.testing.assert_close(without, torch.ones(2, 3, 4))
    torch.testing.assert_close(result, torch.full((2, 3, 4), 7.0))


@pytest.mark.parametrize(
    ("conditioning", "options"),
    [
        (text(0.5), {"scale": 1.0}),
        (Conditioning(global_=torch.ones(2, 1)), {}),
        (NO_CONDITIONING, {}),
        (text(0.5), {"interval": (0.6, 1.0)}),
        (text(0.5), {"interval": (0.0, 0.4)}),
    ],
)
def test_without_guidance_the_network_is_asked_as_it_is(conditioning, options):
    network, result, without = run(conditioning, **options)
    assert network.batches == [2]
    assert result is without


def test_interval_is_of_noise_which_the_objective_tells_from_time():
    t = math.asin(0.9) * 2 / math.pi  # 0.71
    assert run(text(1.0), interval=(0.8, 1.0), t=t, objective=VObjective())[0].batches == [4]
    assert run(text(1.0), interval=(0.8, 1.0), t=t)[0].batches == [2]


def test_negative_conditions_are_what_it_moves_away_from():
    negative = Conditioning(cross_attention=torch.ones(2, 2, 1), global_=torch.full((2, 1), 4.0))
    positive = Conditioning(cross_attention=torch.ones(2, 2, 1), global_=torch.full((2, 1), 5.0))
    _, result, without = run(positive, negative=negative)
    torch.testing.assert_close(without, torch.full((2, 3, 4), 6.0))
    torch.testing.assert_close(result, torch.full((2, 3, 4), 9.0))


def test_a_negative_global_condition_guides_a_network_that_has_no_other():
    one, two = (Conditioning(global_=torch.full((2, 1), value)) for value in (1.0, 0.5))
    _, result, _ = run(one, negative=two)
    torch.testing.assert_close(result, torch.full((2, 3, 4), 2.0))


def test_masked_negative_conditions_are_zeros():
    mask = torch.tensor([[True, False], [True, True]])
    negative = Conditioning(cross_attention=torch.ones(2, 2, 1), cross_attention_mask=mask)
    positive = Conditioning(cross_attention=torch.zeros(2, 2, 1), cross_attention_mask=mask)
    _, _, without = run(positive, negative=negative)
    torch.testing.assert_close(without[:, 0, 0], torch.tensor([1.0, 2.0]))


def test_a_longer_negative_condition_takes_a_second_pass():
    network, result, _ = run(text(1.0), negative=text(1.0, length=3))
    assert network.batches == [2, 2]
    torch.testing.assert_close(result, torch.zeros(2, 3, 4))


def test_rescaling_restores_the_spread_over_channels():
    conditioning = text(1.0)

    def network(x, t, conditioning):
        return x * (1 + conditioning.cross_attention.sum((1, 2))[:, None, None])

    x, t = torch.randn(2, 5, 4), torch.full((2,), 0.5)
    for share in (0.5, 1.0):
        guidance = Guidance(scale=3.0, rescale=share, interval=EVERYWHERE)
        predict = guided_only(guided(network, conditioning, guidance, objective=VObjective()))
        plain = network(x, t, conditioning)
        free = x + (plain - x) * 3.0
        spread = plain.std(1) / free.std(1) * share + 1 - share
        torch.testing.assert_close(predict(x, t).std(1), free.std(1) * spread)


def test_items_can_be_dropped_one_by_one():
    conditioning = Conditioning(
        cross_attention=torch.ones(2, 1, 1), prepend=torch.ones(2, 1, 1), global_=torch.ones(2, 1)
    )
    dropped = conditioning.dropped(torch.tensor([True, False]))
    assert dropped.cross_attention.flatten().tolist() == [0, 1]
    assert dropped.prepend.flatten().tolist() == [0, 1]
    assert dropped.global_.flatten().tolist() == [1, 1]


def test_joined_conditions_tell_which_items_have_some():
    given = text(0.5)
    assert given.joined(given.dropped()).steered == 2
    assert given.dropped().to(torch.float16).steered == 0
    assert given.joined(given).steered is None
    assert given.dropped().joined(given).steered is None
    assert given.dropped(torch.tensor([True, True])).steered is None
