"""Samplers by name, and which models each can serve."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.inference import Sampler
from sat_models.errors import SamplerError
from sat_models.models.objectives import Objective, RectifiedFlow, RFDenoiser, VObjective
from sat_models.models.timesteps import DistributionShift
from sat_models.sampling.denoiser import v_denoiser
from sat_models.sampling.dpm_solver import sample_dpm_adaptive, sample_dpm_fast
from sat_models.sampling.samplers import (
    GuidedFn,
    ModelFn,
    sample_euler,
    sample_flow_dpmpp,
    sample_pingpong,
    sample_rk4,
    sample_v_ddim,
    sample_v_ddim_cfgpp,
)
from sat_models.sampling.schedules import polyexponential_sigmas, shifted_times
from sat_models.sampling.sigma_samplers import (
    sample_dpm_2,
    sample_dpmpp_2m,
    sample_dpmpp_2m_sde,
    sample_dpmpp_2s_ancestral,
    sample_dpmpp_3m_sde,
    sample_heun,
    sample_lms,
)
from sat_models.sampling.steps import Callback, ignore

_V = (VObjective,)
_FLOW = (RectifiedFlow, RFDenoiser)

SERVES: dict[Sampler, tuple[type[Objective], ...]] = {
    "v-ddim": _V,
    "v-ddim-cfgpp": _V,
    "v-ddpm": _V,
    "k-heun": _V,
    "k-lms": _V,
    "k-dpmpp-2s-ancestral": _V,
    "k-dpm-2": _V,
    "k-dpm-fast": _V,
    "k-dpm-adaptive": _V,
    "dpmpp-2m": _V,
    "dpmpp-2m-sde": _V,
    "dpmpp-3m-sde": _V,
    "euler": _FLOW,
    "rk4": _FLOW,
    "dpmpp": _FLOW,
    "pingpong": _FLOW,
}
"""What a model must predict for each sampler."""

# Functions of the model function and a noisy signal; the keywords are given where they are called.
_OVER_TIMES: dict[Sampler, Callable[..., Tensor]] = {
    "v-ddim": sample_v_ddim,
    "euler": sample_euler,
    "rk4": sample_rk4,
    "dpmpp": sample_flow_dpmpp,
}
_OVER_TIMES_WITH_NOISE: dict[Sampler, Callable[..., Tensor]] = {
    "v-ddpm": partial(sample_v_ddim, eta=1.0),
    "pingpong": sample_pingpong,
}
_OVER_SIGMAS: dict[Sampler, Callable[..., Tensor]] = {
    "k-heun": sample_heun,
    "k-lms": sample_lms,
    "k-dpm-2": sample_dpm_2,
    "dpmpp-2m": sample_dpmpp_2m,
}
_OVER_SIGMAS_WITH_NOISE: dict[Sampler, Callable[..., Tensor]] = {
    "k-dpmpp-2s-ancestral": sample_dpmpp_2s_ancestral,
    "dpmpp-2m-sde": sample_dpmpp_2m_sde,
    "dpmpp-3m-sde": sample_dpmpp_3m_sde,
}
_COUNT_TIMES = {*_OVER_TIMES, *_OVER_TIMES_WITH_NOISE, "v-ddim-cfgpp"}


@dataclass(frozen=True)
class Solver:
    """A sampler and its settings.

    Attributes:
        name: Which sampler.
        steps: Its steps; "k-dpm-adaptive" finds its own number.
        sigma_min: Least noise above 0, for the samplers that count in standard deviations: those
            for v-prediction whose names do not begin with "v".
        sigma_max: Their greatest noise.
        rho: Spacing of their noise, see `polyexponential_sigmas`.
    """

    name: Sampler
    steps: int
    sigma_min: float
    sigma_max: float
    rho: float

    @property
    def counts_times(self) -> bool:
        """Whether noise is a time in [0, 1] to the sampler, and not a standard deviation."""
        return self.name in _COUNT_TIMES

    @property
    def known_steps(self) -> int | None:
        """How many steps a callback hears of; None if the sampler finds their number."""
        if self.name == "k-dpm-fast":
            return self.steps // 3 + 1
        return None if self.name == "k-dpm-adaptive" else self.steps


@dataclass(frozen=True)
class Start:
    """Where sampling starts.

    Attributes:
        noise: Standard normal.
        init: A signal to vary; none to begin with noise alone.
        init_noise_level: How much noise is laid on `init`: a time in (0, 1], or for samplers that
            count in standard deviations, one of those in place of `sigma_max`.
    """

    noise: Float[Tensor, "b d l"]
    init: Float[Tensor, "b d l"] | None
    init_noise_level: float


def check_sampler(name: Sampler, objective: Objective) -> None:
    """Refuse a sampler that cannot read what a model predicts.

    Raises:
        SamplerError: Names the samplers that can.
    """
    if not isinstance(objective, SERVES[name]):
        fitting = [other for other, served in SERVES.items() if isinstance(objective, served)]
        raise SamplerError(
            f"sampler {name!r} is not for a model that predicts {objective.description}; use one"
            f" of {', '.join(fitting)}"
        )


@torch.no_grad()
def sample(
    solver: Solver,
    model_fn: ModelFn,
    start: Start,
    *,
    objective: Objective,
    shift: DistributionShift | None = None,
    guided_fn: GuidedFn | None = None,
    generator: torch.Generator | None = None,
    callback: Callback = ignore,
) -> Float[Tensor, "b d l"]:
    """Turn noise into a signal, without gradients.

    Args:
        solver: The sampler.
        model_fn: The network with its condition, guided if it is to be.
        start: Noise, and what to vary with it.
        objective: What the network predicts.
        shift: That of the model, where it has one. It shapes the times of samplers that count in
            times; those that count in standard deviations go by `rho` alone, as SAT's.
        guided_fn: The guided and the unguided prediction, which "v-ddim-cfgpp" needs; without it,
            that sampler takes the model to be unguided and does what "v-ddim" does.
        generator: Source of fresh noise on the device of the start; torch's global one if left out.
        callback: Called after each step.

    Raises:
        SamplerError: The sampler does not fit the objective, or the noise level the sampler.
    """
    check_sampler(solver.name, objective)
    if not solver.counts_times:
        return _over_sigmas(
            solver, v_denoiser(model_fn), start, generator=generator, callback=callback
        )
    run = _over_times(solver.name, model_fn, guided_fn=guided_fn, generator=generator)
    t_max = _first_time(solver.name, start)
    if shift is not None:
        run = partial(run, schedule=shifted_times(shift, frames=start.noise.shape[-1]))
    x = start.noise
    if start.init is not None:
        x, _ = objective.training_pair(start.init, x, x.new_full((x.shape[0],), t_max))
    return run(x, steps=solver.steps, t_max=t_max, callback=callback)


def _over_times(
    name: Sampler,
    model_fn: ModelFn,
    *,
    guided_fn: GuidedFn | None,
    generator: torch.Generator | None,
) -> Callable[..., Tensor]:
    if name in _OVER_TIMES_WITH_NOISE:
        return partial(_OVER_TIMES_WITH_NOISE[name], model_fn, generator=generator)
    if name == "v-ddim-cfgpp" and guided_fn is not None:
        return partial(sample_v_ddim_cfgpp, guided_fn)
    return partial(_OVER_TIMES.get(name, sample_v_ddim), model_fn)


def _first_time(name: Sampler, start: Start) -> float:
    if start.init is None:
        return 1.0
    if not 0 < start.init_noise_level <= 1:
        raise SamplerError(
            f"init_noise_level is {start.init_noise_level}; sampler {name!r} takes a share of"
            f" noise above 0 and up to 1"
        )
    return start.init_noise_level


def _over_sigmas(
    solver: Solver,
    denoise: Callable[[Tensor, float], Tensor],
    start: Start,
    *,
    generator: torch.Generator | None,
    callback: Callback,
) -> Tensor:
    name, sigma_min = solver.name, solver.sigma_min
    sigma_max = solver.sigma_max if start.init is None else start.init_noise_level
    if sigma_min >= sigma_max:
        what = "sigma_max" if start.init is None else "init_noise_level"
        raise SamplerError(
            f"{what} is {sigma_max}; it must be above sigma_min, which is {sigma_min}, for sampler"
            f" {name!r}"
        )
    x = sigma_max * start.noise
    x = x if start.init is None else start.init + x
    if name == "k-dpm-adaptive":
        return sample_dpm_adaptive(
            denoise, x, sigma_min=sigma_min, sigma_max=sigma_max, callback=callback
        )
    if name == "k-dpm-fast":
        return sample_dpm_fast(
            denoise,
            x,
            evaluations=solver.steps,
            sigma_min=sigma_min,
            sigma_max=sigma_max,
            callback=callback,
        )
    sigmas = polyexponential_sigmas(
        solver.steps, sigma_min=sigma_min, sigma_max=sigma_max, rho=solver.rho
    )
    if name in _OVER_SIGMAS_WITH_NOISE:
        return _OVER_SIGMAS_WITH_NOISE[name](
            denoise, x, sigmas=sigmas, generator=generator, callback=callback
        )
    return _OVER_SIGMAS[name](denoise, x, sigmas=sigmas, callback=callback)
