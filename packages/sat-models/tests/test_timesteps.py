import math
from typing import get_args, get_type_hints

import pytest
import torch

from sat_config.audio.arc import NoiseDistribution
from sat_config.audio.diffusion import DistributionShift as DistributionShiftNode
from sat_config.audio.training import ConditionalTraining, TimestepSamplerOptions
from sat_models.models.timesteps import (
    ConstantTimesteps,
    DistributionShift,
    LogitNormalTimesteps,
    LogSNRTimesteps,
    TruncatedLogitNormalTimesteps,
    UniformLogSNRTimesteps,
    UniformTimesteps,
    build_distribution_shift,
    build_timestep_sampler,
)

SAMPLERS = {
    "uniform": UniformTimesteps,
    "logit_normal": LogitNormalTimesteps,
    "trunc_logit_normal": TruncatedLogitNormalTimesteps,
    "log_snr": lambda: LogSNRTimesteps(mean=-1.2, std=2.0),
    "logsnr_uniform": lambda: UniformLogSNRTimesteps(low=-6.0, high=2.0),
    "constant": lambda: ConstantTimesteps(1.0),
}
samplers = pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS.keys())
shifts = pytest.mark.parametrize("use_sine", [False, True])


def draw(make, count, *, seed=0):
    return make().draw(count, generator=torch.Generator().manual_seed(seed))


def shift(**options):
    sizes = {"base_shift": 0.5, "max_shift": 1.15, "min_length": 256, "max_length": 4096}
    return DistributionShift(**{**sizes, "use_sine": False, **options})


@samplers
def test_times_lie_between_signal_and_noise_and_follow_the_seed(make):
    before = torch.get_rng_state()
    times = draw(make, 1000)
    assert times.shape == (1000,)
    assert times.min() >= 0
    assert times.max() <= 1
    torch.testing.assert_close(draw(make, 1000), times, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"constant"}))
def test_another_seed_gives_other_times(name):
    assert not torch.equal(draw(SAMPLERS[name], 8), draw(SAMPLERS[name], 8, seed=1))


def test_uniform_times_leave_no_gap_over_several_draws():
    sampler = UniformTimesteps()
    times = torch.cat([sampler.draw(32) for _ in range(8)]).sort().values
    gaps = times.diff()
    assert gaps.max() < 2 / 256
    assert times[0] < 1 / 256
    assert times[-1] > 255 / 256


def test_truncated_times_are_the_kept_part_of_a_logistic_normal():
    cut, normal = 0.075, torch.distributions.Normal(0.0, 1.0)
    below = normal.cdf(torch.logit(torch.tensor(cut)))
    median = torch.sigmoid(normal.icdf(below + (1 - below) / 2))
    expected = 1 - (median.item() - cut) / (1 - cut)
    found = draw(TruncatedLogitNormalTimesteps, 20_000).median().item()
    assert found == pytest.approx(expected, abs=0.01)


def test_log_snr_times_have_the_mean_and_spread_asked_for():
    times = draw(lambda: LogSNRTimesteps(mean=1.0, std=0.5), 20_000)
    log_snr = torch.log((1 - times) / times)
    assert log_snr.mean().item() == pytest.approx(1.0, abs=0.02)
    assert log_snr.std().item() == pytest.approx(0.5, abs=0.02)


def test_extreme_log_snr_times_keep_off_the_ends():
    times = draw(lambda: LogSNRTimesteps(mean=0.0, std=100.0), 100)
    assert times.min().item() == pytest.approx(1e-4)
    assert times.max().item() == pytest.approx(1 - 1e-4)


@shifts
def test_shift_keeps_the_ends_and_the_order(use_sine):
    times = shift(use_sine=use_sine)(torch.linspace(0, 1, 11), frames=1000)
    assert times[0] == 0
    assert times[-1] == 1
    assert (times.diff() > 0).all()


@shifts
@pytest.mark.parametrize("frames", [10, 300, 5000])
def test_inverse_undoes_the_shift(use_sine, frames):
    moved = shift(use_sine=use_sine)
    for t in (0.0, 0.2, 0.9, 1.0):
        assert moved.inverse(moved.at(t, frames=frames), frames=frames) == pytest.approx(t)


def test_shift_grows_with_the_length_and_stops_at_its_bounds():
    moved = shift()
    times = [moved.at(0.5, frames=frames) for frames in (1, 256, 1000, 4096, 9999)]
    assert times[0] == times[1] == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert times[1] < times[2] < times[3]
    assert times[3] == times[4] == pytest.approx(1 / (1 + math.exp(-1.15)))


def test_every_distribution_of_the_schema_is_built():
    options = TimestepSamplerOptions(mean_logsnr=1.0, std_logsnr=0.5)
    named = get_args(get_type_hints(ConditionalTraining)["timestep_sampler"])
    for name in {*named, *get_args(NoiseDistribution)}:
        assert build_timestep_sampler(name, options=options).draw(3).shape == (3,)
    assert build_timestep_sampler("log_snr", options=options) == LogSNRTimesteps(1.0, 0.5)
    assert build_timestep_sampler("denoised", options=options) == ConstantTimesteps(0.0)


def test_shift_is_built_from_its_node():
    assert build_distribution_shift(DistributionShiftNode()) == shift()
    assert build_distribution_shift(DistributionShiftNode(use_sine=True)) == shift(use_sine=True)
