from typing import get_args

import pytest
import torch

from sat_config.audio.inference import Sampler
from sat_models.errors import SamplerError
from sat_models.models.objectives import RectifiedFlow, RFDenoiser, VObjective
from sat_models.models.timesteps import DistributionShift
from sat_models.sampling.table import SERVES, Solver, Start, check_sampler, sample

NAMES = get_args(Sampler)
RANDOM = {"v-ddpm", "pingpong", "k-dpmpp-2s-ancestral", "dpmpp-2m-sde", "dpmpp-3m-sde"}
SHIFT = DistributionShift(0.5, 1.15, min_length=4, max_length=64, use_sine=False)
names = pytest.mark.parametrize("name", NAMES)


def pull(x, t):
    return 0.5 * x


def run(name, *, steps=5, noise=None, init=None, level=1.0, seed=0, **more):
    noise = torch.ones(2, 3, 8) if noise is None else noise
    return sample(
        Solver(name, steps=steps, sigma_min=0.1, sigma_max=20.0, rho=1.0),
        more.pop("model_fn", pull),
        Start(noise, init=init, init_noise_level=level),
        objective=SERVES[name][0](),
        generator=torch.Generator().manual_seed(seed),
        **more,
    )


def test_every_sampler_of_the_schema_is_in_the_table():
    assert set(SERVES) == set(NAMES)


@names
def test_seed_decides_the_result_and_nothing_outside_changes(name):
    before = torch.get_rng_state()
    one, again, other = run(name, seed=1), run(name, seed=1), run(name, seed=2)
    torch.testing.assert_close(one, again, rtol=0, atol=0)
    assert torch.equal(one, other) == (name not in RANDOM)
    assert torch.equal(torch.get_rng_state(), before)


@names
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_shape_and_dtype_stay(name, dtype):
    noise = torch.ones(1, 2, 4, dtype=dtype)
    result = run(name, noise=noise)
    assert result.shape == noise.shape
    assert result.dtype == dtype
    assert result.isfinite().all()


@names
def test_times_are_exact_in_half_precision(name):
    seen = []
    noise = torch.ones(1, 2, 4, dtype=torch.bfloat16)
    run(name, noise=noise, model_fn=lambda x, t: seen.append(t) or 0 * x, steps=30)
    assert all(t.dtype == torch.float32 for t in seen)


@names
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_few_steps_suffice(name, steps):
    assert run(name, steps=steps).isfinite().all()


@names
def test_callback_hears_of_every_step(name):
    heard = []

    def callback(step, x, denoised):
        heard.append((step, x, denoised))

    result = run(name, steps=6, callback=callback)
    steps = [step for step, _, _ in heard]
    assert steps == list(range(len(steps)))
    if name not in {"k-dpm-fast", "k-dpm-adaptive"}:  # these have evaluations, not steps
        assert len(steps) == 6
    torch.testing.assert_close(heard[-1][1], result, rtol=0, atol=0)
    assert all(denoised.shape == result.shape for _, _, denoised in heard)


@names
def test_no_graph_is_built(name):
    weight = torch.ones((), requires_grad=True)
    assert not run(name, model_fn=lambda x, t: weight * x).requires_grad


@names
def test_times_are_per_item_and_fall(name):
    times = []

    def model_fn(x, t):
        assert t.shape == (2,)
        assert t[0] == t[1]
        times.append(t[0].item())
        return 0.5 * x

    run(name, model_fn=model_fn)
    assert 0.96 < max(times) == times[0] <= 1
    assert min(times) >= 0


@names
def test_little_noise_leaves_the_start_as_it_was(name):
    init = torch.randn(2, 3, 8)
    level = 0.11 if name.startswith(("k-", "dpmpp-")) else 0.01
    assert (run(name, init=init, level=level, model_fn=lambda x, t: 0 * x) - init).abs().max() < 0.3


@names
def test_wrong_objective_is_refused_naming_the_right_samplers(name):
    wrong = RectifiedFlow() if VObjective in SERVES[name] else VObjective()
    fitting = "euler, rk4, dpmpp, pingpong" if VObjective in SERVES[name] else "v-ddim, "
    with pytest.raises(SamplerError, match=fitting):
        check_sampler(name, wrong)


def test_flow_samplers_serve_distilled_flows_too():
    check_sampler("pingpong", RFDenoiser())
    check_sampler("euler", RFDenoiser())


def test_noise_level_above_one_is_refused_where_times_are_counted():
    with pytest.raises(SamplerError, match=r"init_noise_level is 3\.0; sampler 'euler'"):
        run("euler", init=torch.zeros(2, 3, 8), level=3.0)


def test_noise_level_below_the_least_is_refused_where_deviations_are_counted():
    with pytest.raises(
        SamplerError, match=r"init_noise_level is 0\.05; it must be above sigma_min"
    ):
        run("dpmpp-2m", init=torch.zeros(2, 3, 8), level=0.05)


@pytest.mark.parametrize("name", ["v-ddim", "v-ddim-cfgpp", "v-ddpm", "euler", "rk4", "dpmpp"])
def test_shift_moves_the_times_towards_noise(name):
    def visited(**more):
        times = []
        run(name, model_fn=lambda x, t: times.append(t[0].item()) or 0 * x, **more)
        return times

    assert visited(shift=SHIFT)[0] == 1
    assert sum(visited(shift=SHIFT)) != sum(visited())
    init = torch.zeros(2, 3, 8)
    start = visited(shift=SHIFT, init=init, level=0.6)[0]
    assert start == pytest.approx(0.6)


def test_cfgpp_without_guidance_is_ddim():
    torch.testing.assert_close(run("v-ddim-cfgpp"), run("v-ddim"), rtol=0, atol=0)
    twice = run("v-ddim-cfgpp", guided_fn=lambda x, t: (pull(x, t), pull(x, t)))
    torch.testing.assert_close(twice, run("v-ddim"), rtol=0, atol=0)


def test_adaptive_sampler_does_not_depend_on_steps():
    one, other = run("k-dpm-adaptive", steps=1), run("k-dpm-adaptive", steps=9)
    torch.testing.assert_close(one, other, rtol=0, atol=0)
