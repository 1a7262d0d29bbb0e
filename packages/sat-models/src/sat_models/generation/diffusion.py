"""Generation with diffusion models, conditional and not."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.diffusion import INPAINT_MASK
from sat_config.audio.inference import Inference
from sat_models.backbones.conditioning import Conditioning
from sat_models.errors import GenerationError, SamplerError
from sat_models.generation.job import (
    CLIPS,
    CONDITIONS,
    SOLVER,
    Job,
    make_clips,
    read_clip,
    refuse_idle,
    solver_from,
)
from sat_models.generation.metadata import Wanted
from sat_models.models.conditioned_diffusion import ConditionedDiffusionModel, inpainting_signals
from sat_models.models.diffusion import DiffusionModel
from sat_models.models.guidance import Guidance, guided_only
from sat_models.models.inpainting import region_mask
from sat_models.models.timesteps import DistributionShift
from sat_models.sampling.samplers import GuidedFn
from sat_models.sampling.start import starting_noise
from sat_models.sampling.table import Solver, Start, sample

AnyDiffusion = DiffusionModel | ConditionedDiffusionModel

START = frozenset({"init_audio", "init_noise_level"})
GUIDANCE = frozenset({"scale_phi", "cfg_interval"})
DEFAULT_SCALE = 6.0
"""Of guidance, as in SAT."""
GAPS = frozenset({"inpaint_audio", "inpaint_regions"})


@make_clips.register
def _(model: DiffusionModel, job: Job) -> Float[Tensor, "b c t"]:
    refuse_idle(job.inference, CLIPS | SOLVER | START, kind="an unconditional diffusion model")

    def predict(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        prediction = model(x, t)
        return prediction, prediction

    return _sampled(model, job, predict, shift=None)


@make_clips.register
def _(model: ConditionedDiffusionModel, job: Job) -> Float[Tensor, "b c t"]:
    fills_gaps = INPAINT_MASK in model.routes.input_concat
    used = CLIPS | SOLVER | START | CONDITIONS | GUIDANCE | (GAPS if fills_gaps else frozenset())
    kind = "a diffusion model" if fills_gaps else "a diffusion model that fills no gaps"
    refuse_idle(job.inference, used, kind=kind)
    conditioning, negative = _conditioning(model, job, fills_gaps=fills_gaps)
    inference = job.inference
    scale = DEFAULT_SCALE if inference.cfg_scale is None else inference.cfg_scale
    guidance = Guidance(scale, inference.scale_phi, inference.cfg_interval)
    predict = model.guided(conditioning, guidance, negative=negative)
    return _sampled(model, job, predict, shift=model.distribution_shift)


def _conditioning(
    model: ConditionedDiffusionModel, job: Job, *, fills_gaps: bool
) -> tuple[Conditioning, Conditioning | None]:
    """What the clips follow, and what they are led away from."""
    inference = job.inference
    wanted = Wanted(model.conditioner, job.num_samples, model.sample_rate)
    entries = wanted.of_clips(inference.conditioning, count=job.count)
    signals = _gap_signals(model, job) if fills_gaps else {}
    conditioning = model.condition(entries, signals=signals)
    if inference.negative_conditioning:
        away = wanted.away_from(inference.negative_conditioning, entries)
        return conditioning, model.condition(away, signals=signals)
    _check_scale(inference, conditioning)
    return conditioning, None


def _check_scale(inference: Inference, conditioning: Conditioning) -> None:
    if inference.cfg_scale not in (None, 1) and not conditioning.can_be_dropped:
        raise GenerationError(
            f"inference.cfg_scale is {inference.cfg_scale:g}, but this model knows no clip without"
            " its conditions, so there is nothing to lead away from: leave it out, or give"
            " inference.negative_conditioning"
        )


def _gap_signals(model: ConditionedDiffusionModel, job: Job) -> dict[str, Tensor]:
    """What is there and what is to be filled in; without audio, everything is."""
    frames, path = _frames(model, job), job.inference.inpaint_audio
    regions = job.inference.inpaint_regions
    if (path is None) == bool(regions):
        raise GenerationError(
            "inference.inpaint_audio and inference.inpaint_regions belong together: the one says"
            " what is there, the other what of it to generate anew"
        )
    if path is None:
        latents = torch.zeros(1, model.io_channels, frames, device=job.device)
        mask = torch.zeros(1, 1, frames, device=job.device)
    else:
        latents = _encoded(model, job, path)
        rate = model.sample_rate / model.hop_length
        _check_regions(regions, seconds=job.num_samples / model.sample_rate)
        mask = region_mask(regions, frames=frames, frame_rate=rate).to(job.device)
    signals = inpainting_signals(latents, mask)
    return {name: signal.expand(job.count, -1, -1) for name, signal in signals.items()}


def _check_regions(regions: Sequence[tuple[float, float]], *, seconds: float) -> None:
    for start, end in regions:
        if not start < min(end, seconds):
            raise GenerationError(
                f"inference.inpaint_regions has ({start:g}, {end:g}): a region ends after it"
                f" starts, and starts before the end of the clip, which is {seconds:g} s long"
            )


def _sampled(
    model: AnyDiffusion, job: Job, predict: GuidedFn, *, shift: DistributionShift | None
) -> Float[Tensor, "b c t"]:
    inference = job.inference
    solver = solver_from(inference, model.objective)
    shape = (job.count, model.io_channels, _frames(model, job))
    noise, generator = starting_noise(shape, seed=job.seed, device=job.device)
    latents = sample(
        solver,
        guided_only(predict),
        Start(noise, _init(model, job, solver), inference.init_noise_level),
        objective=model.objective,
        shift=shift,
        guided_fn=predict,
        generator=generator,
        callback=job.heard_by(solver),
    )
    return model.to_audio(latents)


def _init(model: AnyDiffusion, job: Job, solver: Solver) -> Float[Tensor, "1 d l"] | None:
    """What to vary, if anything."""
    path, level = job.inference.init_audio, job.inference.init_noise_level
    if path is None:
        return None
    if solver.counts_times and level == 1:
        raise SamplerError(
            f"inference.init_noise_level is 1, with which sampler {solver.name!r} leaves nothing of"
            " inference.init_audio: choose less, such as 0.7"
        )
    return _encoded(model, job, path)


def _encoded(model: AnyDiffusion, job: Job, path: str) -> Float[Tensor, "1 d l"]:
    channels = model.io_channels if model.pretransform is None else model.pretransform.channels
    audio = read_clip(
        path,
        num_samples=_frames(model, job) * model.hop_length,
        sample_rate=model.sample_rate,
        channels=channels,
    )
    return model.to_latents(audio.to(job.device))


def _frames(model: AnyDiffusion, job: Job) -> int:
    """Frames of a clip, as many as the network can take."""
    multiple = model.frame_multiple
    return math.ceil(job.num_samples / (model.hop_length * multiple)) * multiple
