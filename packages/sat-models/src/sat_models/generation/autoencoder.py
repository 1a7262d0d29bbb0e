"""Generation with diffusion autoencoders: audio is encoded, and decoded anew."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.generation.job import (
    CLIPS,
    SOLVER,
    Job,
    make_clips,
    read_clip,
    refuse_idle,
    required,
    solver_from,
)
from sat_models.models.diffusion_autoencoder import DiffusionAutoencoder


@make_clips.register
def _(model: DiffusionAutoencoder, job: Job) -> Float[Tensor, "b c t"]:
    inference = job.inference
    refuse_idle(inference, CLIPS | SOLVER | {"init_audio"}, kind="a diffusion autoencoder")
    path = required(
        inference.init_audio,
        key="init_audio",
        why="a diffusion autoencoder makes audio from the latents of other audio",
    )
    multiple = model.length_multiple
    audio = read_clip(
        path,
        num_samples=math.ceil(job.num_samples / multiple) * multiple,
        sample_rate=model.sample_rate,
        channels=model.in_channels,
    )
    latents = model.encode(audio.to(job.device), sample=False).latents
    solver = solver_from(inference, model.objective)
    return model.decode(
        latents.expand(job.count, -1, -1),
        solver=solver,
        generator=torch.Generator(job.device).manual_seed(job.seed),
        callback=job.heard_by(solver),
    )
