import copy

import pytest
import torch
from torch import nn

from sat_train.ema import USUAL, Averaging, WeightAverage


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("size", torch.ones(2))
        self.register_buffer("count", torch.tensor(0))


def move(model, by=1.0):
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(by)
    model.size += by
    model.count += 1


def test_average_starts_as_a_copy_and_then_lags_behind():
    model = Model()
    average = WeightAverage(model, USUAL)
    for _ in range(3):  # two updates copy, the third finds a copy
        move(model)
        average.update(model)
    assert torch.equal(average.ema_model.linear.weight, model.linear.weight)
    before = average.ema_model.linear.weight.clone()
    move(model)
    average.update(model)
    keep = 1 - 3**-0.75
    torch.testing.assert_close(average.ema_model.linear.weight, before + (1 - keep))
    assert average.ema_model.count == 4
    assert not torch.equal(average.ema_model.size, model.size)


def test_decay_has_a_ceiling():
    model = Model()
    average = WeightAverage(model, Averaging(decay=0.5, power=10.0, every=1, after=0))
    values = []
    for _ in range(6):
        move(model)
        average.update(model)
        values.append(float(model.size[0] - average.ema_model.size[0]))
    assert values[0] == values[1] == 0
    assert values[-1] == pytest.approx(1 - 0.5**4)


def test_updates_come_every_so_many_steps():
    model = Model()
    average = WeightAverage(model, Averaging(decay=0.9, power=1.0, every=3, after=100))
    seen = []
    for _ in range(5):
        move(model)
        average.update(model)
        seen.append(int(average.ema_model.count))
    assert seen == [1, 1, 1, 4, 4]


def test_average_is_frozen_and_stays_in_evaluation_mode():
    average = WeightAverage(Model(), USUAL).train()
    assert not average.ema_model.training
    assert not any(weight.requires_grad for weight in average.parameters())


def test_average_of_half_precision_weights_is_single_precision():
    model = Model()
    average = WeightAverage(model, USUAL)
    holder = nn.ModuleList([model, average]).to(torch.bfloat16)
    for _ in range(5):
        move(holder[0], by=1e-2)
        average.update(holder[0])
    assert model.linear.weight.dtype == torch.bfloat16
    assert average.ema_model.linear.weight.dtype == torch.float32
    assert not torch.equal(average.ema_model.linear.weight, model.linear.weight.float())


def test_state_goes_on_where_it_was():
    model = Model()
    first = WeightAverage(model, USUAL)
    for _ in range(4):
        move(model)
        first.update(model)
    second = WeightAverage(Model(), USUAL)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    move(model)
    first.update(model)
    second.update(model)
    assert torch.equal(first.ema_model.linear.weight, second.ema_model.linear.weight)
