"""`generate`: new audio from any generative model."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.inference import Inference
from sat_models.generation.job import Job, Progress, make_clips

LARGEST_SEED = 2**31


@dataclass(frozen=True)
class Generated:
    """Clips, and what it takes to get them again.

    Attributes:
        audio: The clips; float32, not limited to [-1, 1].
        sample_rate: Hz.
        seed: What was drawn if the table has none.
    """

    audio: Float[Tensor, "b c t"]
    sample_rate: int
    seed: int


def ignore(done: int, total: int | None) -> None:
    """The progress of nobody."""


def generate(
    model: nn.Module,
    inference: Inference,
    *,
    sample_size: int,
    progress: Progress = ignore,
) -> Generated:
    """Make audio as the `[inference]` table says.

    Diffusion models sample, language models continue, and diffusion autoencoders decode what they
    encode of `init_audio`. Clips that are not a whole number of the model's frames are made longer
    and cut. The same table with the same seed gives the same audio on one device; torch's global
    generators are left as they were.

    Args:
        model: A generative model, in eval mode, on the device that is to do it.
        inference: How. A setting that the model does not look at must have its default.
        sample_size: Samples of a clip where the table has no `seconds`.
        progress: Called after each step.

    Raises:
        GenerationError: The model cannot do what the table asks for.
        SamplerError: The sampler does not fit the model.
        ConditionError: A condition cannot be read.
        AudioError: A file cannot be read.
        ValueError: The model is in training mode.
    """
    if model.training:
        raise ValueError("the model is in training mode; call model.eval() before generating")
    sample_rate = _sample_rate(model)
    num_samples = sample_size
    if inference.seconds is not None:
        num_samples = max(1, round(inference.seconds * sample_rate))
    seed = secrets.randbelow(LARGEST_SEED) if inference.seed is None else inference.seed
    device = next(model.parameters()).device
    job = Job(inference, num_samples, seed, device, progress)
    with torch.no_grad(), _seeded(seed, device):
        audio = make_clips(model, job)[..., :num_samples]
    return Generated(audio.float(), sample_rate, seed)


def _sample_rate(model: nn.Module) -> int:
    found: object = getattr(model, "sample_rate", None)
    if not isinstance(found, int):
        raise TypeError(f"{type(model).__name__} has no sample_rate: it is no model of audio")
    return found


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed what draws from torch's global generators, such as noise in a bottleneck."""
    accelerators = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(accelerators, device_type=_kind(device)):
        torch.manual_seed(seed)
        yield


def _kind(device: torch.device) -> str:
    return "cuda" if device.type == "cpu" else device.type
