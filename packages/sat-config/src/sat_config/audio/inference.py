"""Generation: what demos and the generate command share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from sat_config.node import InputPath, Node, NonNegative, NonNegativeFloat, Positive, PositiveFloat

Sampler = Literal[
    "v-ddim",
    "v-ddim-cfgpp",
    "v-ddpm",
    "k-heun",
    "k-lms",
    "k-dpmpp-2s-ancestral",
    "k-dpm-2",
    "k-dpm-fast",
    "k-dpm-adaptive",
    "dpmpp-2m",
    "dpmpp-2m-sde",
    "dpmpp-3m-sde",
    "euler",
    "rk4",
    "dpmpp",
    "pingpong",
]
"""Every solver that SAT's generation accepts."""

Unit = Annotated[float, Meta(ge=0, le=1)]


class Inference(Node, kw_only=True):
    """How a generative model makes audio.

    Attributes:
        sampler: The solver; without it, the one that suits the model's objective.
        steps: Steps of the solver; more is slower and closer to the exact solution.
        num_samples: Clips per call.
        seconds: Length of a clip, in seconds; the training length if left out.
        seed: Seed of the noise; a random one if left out, which is then reported.
        cfg_scale: Strength of classifier-free guidance; 1 turns it off. If left out, it is 6 for
            diffusion models and 1 for language models, as in SAT.
        scale_phi: How far guided outputs are brought back to the spread of unguided ones, 0 to 1.
        cfg_interval: Part of the schedule, from 0 to 1, in which guidance acts.
        conditioning: Metadata per clip, as conditioners read it; free-form, because every
            conditioner defines its own value for its own id; of audio, the name of a file. One
            entry serves all clips.
        negative_conditioning: What guidance moves away from; likewise.
        sigma_min: Lowest noise level of the k-diffusion solvers.
        sigma_max: Highest noise level of the k-diffusion solvers.
        rho: Spacing of the noise levels of the k-diffusion solvers.
        init_audio: Audio to start from in place of noise.
        init_noise_level: How much noise is laid on `init_audio`; the more, the freer the result.
        inpaint_audio: Audio whose masked regions are generated anew.
        inpaint_regions: Start and end of each region to generate, in seconds.
        temperature: Spread of a language model's choices; 0 takes the likeliest token.
        top_k: Choose among so many likeliest tokens; 0 means all.
        top_p: Choose among the likeliest tokens that together have this probability; 0 means all.
    """

    sampler: Sampler | None = None
    steps: Positive = 100
    num_samples: Positive = 1
    seconds: PositiveFloat | None = None
    seed: NonNegative | None = None
    cfg_scale: NonNegativeFloat | None = None
    scale_phi: Unit = 0.0
    cfg_interval: tuple[Unit, Unit] = (0.0, 1.0)
    conditioning: tuple[dict[str, Any], ...] = ()
    negative_conditioning: tuple[dict[str, Any], ...] = ()
    sigma_min: PositiveFloat = 0.5
    sigma_max: PositiveFloat = 50.0
    rho: PositiveFloat = 1.0
    init_audio: InputPath | None = None
    init_noise_level: PositiveFloat = 1.0
    inpaint_audio: InputPath | None = None
    inpaint_regions: tuple[tuple[NonNegativeFloat, PositiveFloat], ...] = ()
    temperature: NonNegativeFloat = 1.0
    top_k: NonNegative = 250
    top_p: Unit = 0.0
