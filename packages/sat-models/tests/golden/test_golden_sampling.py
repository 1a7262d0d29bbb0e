"""Our samplers, timesteps and masks against numbers that stable-audio-tools computed.

See golden.py. The recorded calls are evaluated, with our functions in place of those they name.
"""

import random
import re

import golden
import numpy as np
import pytest
import torch

from sat_models.models import timesteps
from sat_models.models.inpainting import random_masks
from sat_models.models.objectives import RectifiedFlow, VObjective
from sat_models.sampling import sigma_samplers
from sat_models.sampling.samplers import (
    sample_euler,
    sample_flow_dpmpp,
    sample_rk4,
    sample_v_ddim,
)
from sat_models.sampling.schedules import linear_times, shifted_times
from sat_models.sampling.table import Solver, Start, sample

SHIFT = {"base_shift": 0.5, "max_shift": 1.15, "max_length": 4096, "min_length": 256}


def toy_pair(x, t):
    velocity, info = golden.toy_velocity_info(x, t, return_info=True)
    return velocity, info["uncond_output"]


def sample_k(fn, noise, init, steps, *, sampler_type, sigma_max, device, sigma_min=0.01, rho=1.0):
    solver = Solver(sampler_type, steps, sigma_min, sigma_max, rho)
    start = Start(noise, init, sigma_max)
    return sample(solver, fn, start, objective=VObjective(), guided_fn=toy_pair)


def sample_rf(fn, noise, *, init_data=None, steps, sampler_type, sigma_max, device):
    solver = Solver(sampler_type, steps, 0.01, 100.0, 1.0)
    start = Start(noise, init_data, sigma_max)
    return sample(solver, fn, start, objective=RectifiedFlow())


def sample_discrete_euler(fn, noise, *, steps, sigma_max, dist_shift):
    schedule = shifted_times(dist_shift, frames=noise.shape[-1])
    return sample_euler(fn, noise, steps=steps, t_max=sigma_max, schedule=schedule)


def make_shift(base_shift, max_shift, max_length, min_length, use_sine=False):
    return timesteps.DistributionShift(base_shift, max_shift, min_length, max_length, use_sine)


FUNCTIONS = {
    "sample_k": sample_k,
    "sample_rf": sample_rf,
    "sample_discrete_euler": sample_discrete_euler,
    "sample_rk4": lambda fn, x, *, steps, sigma_max: sample_rk4(fn, x, steps=steps),
    "sample_flow_dpmpp": lambda fn, x, *, steps, sigma_max: sample_flow_dpmpp(
        fn, x, steps=steps, schedule=linear_times
    ),
    "sample": lambda fn, x, steps, eta: sample_v_ddim(fn, x, steps=steps, eta=eta),
    "DistributionShift": make_shift,
    "toy_velocity": golden.toy_velocity,
    "toy_velocity_info": golden.toy_velocity,
}


@pytest.fixture
def brownian_path(monkeypatch):
    """The noise that torchsde's Brownian tree gave SAT's solvers, in the order of the steps."""
    recorded = iter(torch.from_numpy(np.load(golden.HERE / "brownian_noise.npz")["noise"]))

    def recorded_noise(x, *, generator):
        return next(recorded)

    monkeypatch.setattr(sigma_samplers, "randn_like", recorded_noise)


def check_sampler(name):
    case = golden.case(name)
    call = case.steps["sample"]["call"]
    torch.manual_seed(int(re.search(r"manual_seed\((\d+)\)", call)[1]))
    expression = re.search(r"sample\w*\(.*\)", call)[0]
    case.check("sample", "x", eval(expression, {"init": None, **FUNCTIONS, **case.inputs()}))


SDE = {"sampler_dpmpp-2m-sde", "sampler_dpmpp-3m-sde"}
SAMPLERS = sorted({case.name for case in golden.cases("sampler")} - SDE)


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampler_agrees(name):
    check_sampler(name)


@pytest.mark.usefixtures("brownian_path")
@pytest.mark.parametrize("name", sorted(SDE))
def test_stochastic_sampler_agrees_given_the_same_noise(name):
    check_sampler(name)


DRAWS = {
    "timesteps_uniform": timesteps.UniformTimesteps(),
    "timesteps_logit_normal": timesteps.LogitNormalTimesteps(),
    "timesteps_trunc_logit_normal": timesteps.TruncatedLogitNormalTimesteps(),
    "timesteps_log_snr": timesteps.LogSNRTimesteps(mean=-1.2, std=2.0),
}


@pytest.mark.parametrize("name", DRAWS)
def test_timesteps_agree(name):
    case = golden.case(name)
    torch.manual_seed(31)
    case.check("sample", "t", DRAWS[name].draw(64))


@pytest.mark.parametrize("name", ["timesteps_shift", "timesteps_shift_sine"])
def test_shift_agrees(name):
    case = golden.case(name)
    shift = make_shift(**case.config["kwargs"])
    for frames in case.config["lengths"]:
        case.check(f"len{frames}", "t", shift(torch.linspace(0, 0.999, 33), frames=frames))


def test_shares_of_signal_and_noise_agree():
    case = golden.case("timesteps_alphas_sigmas")
    t = torch.linspace(0, 1, 21)
    one, nothing = torch.ones(21, 1, 1), torch.zeros(21, 1, 1)
    case.check("convert", "alphas", VObjective().training_pair(one, nothing, t)[0][:, 0, 0])
    case.check("convert", "sigmas", VObjective().training_pair(nothing, one, t)[0][:, 0, 0])
    case.check("convert", "t", t)


@pytest.mark.parametrize("kind", ["segments", "causal", "mixed"])
def test_inpainting_masks_agree(kind):
    case = golden.case(f"inpaint_mask_{kind}")
    padding = torch.ones(6, 40, dtype=torch.bool)
    padding[3:, 25:] = False
    mask = random_masks(
        padding,
        max_segments=case.config.get("max_mask_segments", 10),
        probabilities=case.config["mask_type_probabilities"],
        rng=random.Random(41),
    )
    case.check("mask", "mask", mask)
    case.check("mask", "masked", mask * case.inputs()["sequence"])
