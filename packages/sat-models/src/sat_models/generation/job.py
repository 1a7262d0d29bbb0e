"""What to generate, and what the kinds of models have in common when they do it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import singledispatch

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.inference import Inference
from sat_models.audio import read_audio
from sat_models.build import load_builtin
from sat_models.errors import GenerationError
from sat_models.models.objectives import Objective
from sat_models.prepare import fit_length
from sat_models.sampling.steps import Callback
from sat_models.sampling.table import Solver, check_sampler

Progress = Callable[[int, int | None], None]
"""Called after each step with the number of steps done, and that of all, if it is known."""

CLIPS = frozenset({"num_samples", "seconds", "seed"})
SOLVER = frozenset({"sampler", "steps", "sigma_min", "sigma_max", "rho"})
CONDITIONS = frozenset({"conditioning", "negative_conditioning", "cfg_scale"})


@dataclass(frozen=True)
class Job:
    """A call of `generate`, with everything settled that may be left open.

    Attributes:
        inference: The table.
        num_samples: Samples of a clip.
        seed: Decides all noise and all draws.
        device: Where the model is.
        progress: Hears of every step.
    """

    inference: Inference
    num_samples: int
    seed: int
    device: torch.device
    progress: Progress

    @property
    def count(self) -> int:
        """Clips to make."""
        return self.inference.num_samples

    def heard_by(self, solver: Solver) -> Callback:
        """What tells the progress of a solver."""

        def hear(step: int, x: Tensor, denoised: Tensor) -> None:
            self.progress(step + 1, solver.known_steps)

        return hear


@singledispatch
def make_clips(model: nn.Module, job: Job) -> Float[Tensor, "b c t"]:
    """Generate with a model of this class; the clips may be longer than asked for.

    Torch's global generators are seeded, there are no gradients, and the model is in eval mode.

    Raises:
        GenerationError: Models of this class do not generate, or not like that.
    """
    if load_builtin():
        return make_clips(model, job)
    raise GenerationError(
        f"{type(model).__name__} generates nothing: generation is for diffusion models, diffusion"
        " autoencoders and language models"
    )


def refuse_idle(inference: Inference, used: Collection[str], *, kind: str) -> None:
    """Refuse settings that a kind of model does not look at.

    Args:
        inference: The table.
        used: Keys that it does look at.
        kind: What it is called in the message.

    Raises:
        GenerationError: Another key than those has another value than its default.
    """
    plain = Inference()
    idle = [
        f"inference.{field.name}"
        for field in msgspec.structs.fields(Inference)
        if field.name not in used and getattr(inference, field.name) != getattr(plain, field.name)
    ]
    if idle:
        raise GenerationError(
            f"{', '.join(idle)}: {'this has' if len(idle) == 1 else 'these have'} no effect on"
            f" {kind}; leave {'it' if len(idle) == 1 else 'them'} out"
        )


def read_clip(
    path: str, *, num_samples: int, sample_rate: int, channels: int
) -> Float[Tensor, "1 c t"]:
    """The beginning of a file, followed by zeros if it is shorter.

    Raises:
        AudioError: The file cannot be read.
    """
    audio = read_audio(
        path, start=0, num_samples=num_samples, sample_rate=sample_rate, channels=channels
    )
    return fit_length(audio, num_samples=num_samples)[None]


def required(value: str | None, *, key: str, why: str) -> str:
    """A setting that a kind of model cannot do without.

    Raises:
        GenerationError: It is missing.
    """
    if value is None:
        raise GenerationError(f"inference.{key} is missing: {why}")
    return value


def solver_from(inference: Inference, objective: Objective) -> Solver:
    """The solver of a table, for a model that predicts `objective`.

    Raises:
        SamplerError: It does not fit the model.
    """
    name = objective.sampler if inference.sampler is None else inference.sampler
    check_sampler(name, objective)
    return Solver(
        name,
        steps=inference.steps,
        sigma_min=inference.sigma_min,
        sigma_max=inference.sigma_max,
        rho=inference.rho,
    )
