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

    Noise comes from generators of its own; see `starting_noise`.

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
    noise, generator = starting_noise(
        (num_samples, model.io_channels, frames), seed=seed, device=device
    )
    return model.objective.sample(model, noise, steps=steps, generator=generator)


def starting_noise(
    shape: tuple[int, ...], *, seed: int, device: torch.device | str
) -> tuple[Float[Tensor, "..."], torch.Generator]:
    """Standard normal noise to start from, and the source of what a sampler draws later.

    Deviation from SAT: the noise is drawn on the CPU, so that a seed starts from the same noise on
    every device; later noise is the same on one device. Torch's global state is not touched.

    Args:
        shape: Of the noise.
        seed: Decides both.
        device: Where both are to be.

    Returns:
        The noise, and a generator on the device.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(shape, generator=generator)
    if torch.device(device).type != "cpu":
        generator = torch.Generator(device).manual_seed(seed)
    return noise.to(device), generator


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
