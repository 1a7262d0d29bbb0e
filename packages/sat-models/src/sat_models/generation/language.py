"""Generation with language models: codes from nothing, or what continues those of audio."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sat_models.audio import probe, read_audio
from sat_models.backbones.conditioning import Conditioning
from sat_models.errors import GenerationError
from sat_models.generation.job import CLIPS, CONDITIONS, Job, make_clips, refuse_idle
from sat_models.generation.metadata import Wanted
from sat_models.language.choice import TokenChoice
from sat_models.language.generate import generate_codes
from sat_models.models.language_model import AudioLanguageModel

TOKENS = frozenset({"temperature", "top_k", "top_p"})


@make_clips.register
def _(model: AudioLanguageModel, job: Job) -> Float[Tensor, "b c t"]:
    inference = job.inference
    used = CLIPS | CONDITIONS | TOKENS | {"init_audio"}
    refuse_idle(inference, used, kind="a language model")
    conditioning, negative = _conditioning(model, job)
    codes = generate_codes(
        model.lm,
        conditioning,
        prompt=_prompt(model, job),
        num_frames=math.ceil(job.num_samples / model.hop_length),
        choose=TokenChoice(inference.temperature, inference.top_k, inference.top_p),
        guidance_scale=1.0 if inference.cfg_scale is None else inference.cfg_scale,
        negative=negative,
        generator=torch.Generator(job.device).manual_seed(job.seed),
        callback=job.progress,
    )
    return model.to_audio(codes)


def _conditioning(model: AudioLanguageModel, job: Job) -> tuple[Conditioning, Conditioning | None]:
    wanted = Wanted(model.conditioner, job.num_samples, model.sample_rate)
    entries = wanted.of_clips(job.inference.conditioning, count=job.count)
    conditioning = model.condition(entries)
    if not job.inference.negative_conditioning:
        return conditioning, None
    away = wanted.away_from(job.inference.negative_conditioning, entries)
    return conditioning, model.condition(away)


def _prompt(model: AudioLanguageModel, job: Job) -> Int[Tensor, "b q p"]:
    """The codes to continue, which are as many as fit into the file."""
    path = job.inference.init_audio
    if path is None:
        shape = (job.count, model.lm.num_codebooks, 0)
        return torch.zeros(shape, dtype=torch.long, device=job.device)
    samples = probe(path).length_at(model.sample_rate) // model.hop_length * model.hop_length
    if samples >= job.num_samples:
        raise GenerationError(
            f"inference.init_audio is {samples / model.sample_rate:g} s long, which leaves nothing"
            f" to continue in a clip of {job.num_samples / model.sample_rate:g} s: set"
            " inference.seconds to more"
        )
    if samples == 0:
        raise GenerationError(f"inference.init_audio: {path} is shorter than a frame of codes")
    audio = read_audio(
        path,
        start=0,
        num_samples=samples,
        sample_rate=model.sample_rate,
        channels=model.pretransform.channels,
    )
    return model.to_codes(audio[None].to(job.device)).expand(job.count, -1, -1)
