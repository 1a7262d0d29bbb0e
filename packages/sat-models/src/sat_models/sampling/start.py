"""Where sampling starts: noise that a seed decides."""

import torch
from jaxtyping import Float
from torch import Tensor


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
