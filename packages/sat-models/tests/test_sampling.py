import math
from itertools import pairwise

import pytest
import torch

from sat_models.models.objectives import RectifiedFlow, RFDenoiser, VObjective
from sat_models.models.timesteps import DistributionShift
from sat_models.sampling.samplers import sample_euler, sample_v_ddim
from sat_models.sampling.schedules import (
    linear_times,
    log_snr_times,
    polyexponential_sigmas,
    shifted_times,
)
from sat_models.sampling.sigma_samplers import adams_weights
from sat_models.sampling.start import starting_noise
from sat_models.sampling.table import Solver, Start, sample

OBJECTIVES = [VObjective(), RectifiedFlow(), RFDenoiser()]
objectives = pytest.mark.parametrize(
    "objective", OBJECTIVES, ids=["v", "rectified_flow", "rf_denoiser"]
)
SHIFT = DistributionShift(0.5, 1.15, min_length=8, max_length=64, use_sine=True)


@pytest.fixture
def x0():
    return torch.randn(2, 3, 5)


@pytest.fixture
def noise():
    return torch.randn(2, 3, 5)


@objectives
def test_noisy_signal_is_clean_at_zero_and_noise_at_one(objective, x0, noise):
    clean, _ = objective.training_pair(x0, noise, torch.zeros(2))
    noisy, _ = objective.training_pair(x0, noise, torch.ones(2))
    torch.testing.assert_close(clean, x0)
    torch.testing.assert_close(noisy, noise)


@objectives
def test_target_is_the_derivative_of_the_noisy_signal(objective, x0, noise):
    t = torch.full((2,), 0.3, dtype=torch.double, requires_grad=True)
    noisy, target = objective.training_pair(x0.double(), noise.double(), t)
    speed = math.pi / 2 if isinstance(objective, VObjective) else 1.0
    slope = torch.autograd.functional.jvp(
        lambda t: objective.training_pair(x0.double(), noise.double(), t)[0], t, torch.ones_like(t)
    )[1]
    torch.testing.assert_close(speed * target, slope)
    assert noisy.shape == target.shape


@objectives
def test_items_have_times_of_their_own(objective, x0, noise):
    t = torch.tensor([0.0, 1.0])
    noisy, _ = objective.training_pair(x0, noise, t)
    torch.testing.assert_close(noisy, torch.stack([x0[0], noise[1]]))


@pytest.mark.parametrize("objective", OBJECTIVES[:2], ids=["v", "rectified_flow"])
@pytest.mark.parametrize("steps", [1, 7])
def test_perfect_network_leads_back_to_the_signal(objective, steps, x0, noise):
    def model_fn(x, t):
        return objective.training_pair(x0, noise, t)[1]

    solver = Solver(objective.sampler, steps=steps, sigma_min=0.1, sigma_max=10.0, rho=1.0)
    start = Start(noise, init=None, init_noise_level=1.0)
    sampled = sample(solver, model_fn, start, objective=objective)
    torch.testing.assert_close(sampled, x0, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("times", [linear_times, log_snr_times, shifted_times(SHIFT, frames=30)])
@pytest.mark.parametrize("t_max", [1.0, 0.6, 0.05])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_times_fall_from_t_max_to_zero(times, t_max, steps):
    found = times(steps, t_max=t_max)
    assert len(found) == steps + 1
    assert found[0] == t_max
    assert found[-1] == 0
    assert all(now > after for now, after in pairwise(found))


def test_samplers_ask_the_network_once_per_step(noise):
    asked = []

    def model_fn(x, t):
        asked.append(t.tolist())
        return torch.zeros_like(x)

    sample_euler(model_fn, noise, steps=4)
    sample_v_ddim(model_fn, noise, steps=4)
    assert len(asked) == 8
    assert asked[0] == asked[4] == [1.0, 1.0]


def test_fresh_noise_comes_from_the_generator(noise):
    def sampled(seed):
        generator = torch.Generator().manual_seed(seed)
        return sample_v_ddim(lambda x, t: -x, noise, steps=3, eta=1.0, generator=generator)

    torch.testing.assert_close(sampled(1), sampled(1), rtol=0, atol=0)
    assert not torch.equal(sampled(1), sampled(2))


def test_sampling_builds_no_graph(noise):
    weight = torch.ones((), requires_grad=True)
    assert not sample_euler(lambda x, t: weight * x, noise, steps=2).requires_grad


def test_sigmas_fall_at_even_ratios_and_end_at_nothing():
    sigmas = polyexponential_sigmas(4, sigma_min=0.1, sigma_max=100.0, rho=1.0)
    assert sigmas == pytest.approx([100.0, 10.0, 1.0, 0.1, 0.0])
    assert polyexponential_sigmas(1, sigma_min=0.1, sigma_max=9.0, rho=1.0) == pytest.approx([9, 0])


def test_adams_weights_of_even_steps_are_the_textbook_ones():
    weights = adams_weights([3.0, 2.0, 1.0, 0.0], 4.0)
    assert weights == pytest.approx([55 / 24, -59 / 24, 37 / 24, -9 / 24])
    assert adams_weights([0.5], 0.2) == pytest.approx([-0.3])


def test_starting_noise_and_later_noise_follow_the_seed_and_differ():
    noise, generator = starting_noise((2, 3), seed=4, device="cpu")
    again, _ = starting_noise((2, 3), seed=4, device="cpu")
    torch.testing.assert_close(noise, again, rtol=0, atol=0)
    assert not torch.equal(torch.randn((2, 3), generator=generator), noise)
