"""New latents and new audio from a diffusion model."""

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.models.diffusion import DiffusionModel


def generate_latents(
    model: DiffusionModel,
    *,
    num_samples: int,
    frames: int,
    steps: int,
    seed: int,
    device: torch.device | str,
) -> Float[Tensor, "b d l"]:
    """Sample latents with the sampler that suits the model's objective, without gradients.

    Deviation from SAT: the initial noise is drawn on the CPU from a generator of its own, so that a
    seed means the same on every device, and nothing outside changes.

    Args:
        model: The model, in eval mode.
        num_samples: Items to generate.
        frames: Latent frames per item, a multiple of the model's `frame_multiple`.
        steps: Evaluations of the network.
        seed: Decides the result, together with the model.
        device: Where the model is.

    Raises:
        ValueError: The network cannot take that many frames.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((num_samples, model.io_channels, frames), generator=generator)
    return model.objective.sample(model, noise.to(device), steps=steps)


def generate_audio(
    model: DiffusionModel,
    *,
    num_samples: int,
    frames: int,
    steps: int,
    seed: int,
    device: torch.device | str,
) -> Float[Tensor, "b c t"]:
    """Sample latents and decode them; as `generate_latents`.

    Returns:
        Audio of `frames * model.hop_length` samples, not limited to [-1, 1].
    """
    latents = generate_latents(
        model, num_samples=num_samples, frames=frames, steps=steps, seed=seed, device=device
    )
    with torch.no_grad():
        return model.to_audio(latents)
