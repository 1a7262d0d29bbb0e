"""Windows by name: torch's own, and those of SciPy that need no parameter.

SciPy itself is not needed, since each is a formula of a line; like torch's they are periodic, as
spectral analysis wants them. Deviation from SAT: SciPy's windows come in single precision, and so
does the loss.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

TORCH_WINDOWS: dict[str, Callable[[int], Tensor]] = {
    "bartlett_window": torch.bartlett_window,
    "blackman_window": torch.blackman_window,
    "hamming_window": torch.hamming_window,
    "hann_window": torch.hann_window,
    "kaiser_window": torch.kaiser_window,
}

COSINE_SUMS: dict[str, tuple[float, ...]] = {
    "blackman": (0.42, 0.50, 0.08),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "boxcar": (1.0,),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
    "hamming": (0.54, 0.46),
    "hann": (0.5, 0.5),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
}
"""Weights of 1, cos(pi x), cos(2 pi x) ... for x from -1 to 1."""


def make_window(name: str, length: int) -> Float[Tensor, " w"]:
    """The window `name` of `length` samples, in single precision.

    Raises:
        ValueError: There is no such window.
    """
    if name in TORCH_WINDOWS:
        return TORCH_WINDOWS[name](length)
    if name not in COSINE_SUMS and name not in _SHAPES:
        known = ", ".join(sorted([*TORCH_WINDOWS, *COSINE_SUMS, *_SHAPES]))
        raise ValueError(f"there is no window {name!r}; expected one of {known}")
    if length == 1:
        return torch.ones(1)
    # A periodic window is the symmetric one of one sample more, without its last.
    x = torch.linspace(-1, 1, length + 1, dtype=torch.float64)
    if name in COSINE_SUMS:
        window = torch.stack(
            [a * torch.cos(k * math.pi * x) for k, a in enumerate(COSINE_SUMS[name])]
        ).sum(0)
    else:
        window = _SHAPES[name](x)
    return window[:length].float()


def _barthann(x: Tensor) -> Tensor:
    return 0.62 - 0.24 * x.abs() + 0.38 * torch.cos(math.pi * x)


def _bartlett(x: Tensor) -> Tensor:
    return 1 - x.abs()


def _bohman(x: Tensor) -> Tensor:
    return (1 - x.abs()) * torch.cos(math.pi * x) + torch.sin(math.pi * x.abs()) / math.pi


def _cosine(x: Tensor) -> Tensor:
    return torch.cos(math.pi / 2 * x * (len(x) - 1) / len(x))


def _exponential(x: Tensor) -> Tensor:
    return torch.exp(-x.abs() * (len(x) - 1) / 2)


def _parzen(x: Tensor) -> Tensor:
    distance = x.abs() * (len(x) - 1) / len(x)
    inner = 1 - 6 * distance.square() + 6 * distance**3
    return torch.where(x.abs() <= 0.5, inner, 2 * (1 - distance) ** 3)


def _taylor(x: Tensor) -> Tensor:
    # Four near sidelobes of -30 dB; the weights follow from these two numbers.
    angle = math.pi * x * (len(x) - 1) / len(x)
    weights = (0.2926560110, -0.0157837506, 0.0021810393)
    waves = [2 * a * torch.cos((k + 1) * angle) for k, a in enumerate(weights)]
    return (1 + torch.stack(waves).sum(0)) / (1 + 2 * sum(weights))


def _triang(x: Tensor) -> Tensor:
    return 1 - x.abs() * (len(x) - 1) / (len(x) + len(x) % 2)


def _tukey(x: Tensor) -> Tensor:
    return 0.5 * (1 - torch.cos(math.pi * (2 * (1 - x.abs())).clamp(max=1)))


_SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "barthann": _barthann,
    "bartlett": _bartlett,
    "bohman": _bohman,
    "cosine": _cosine,
    "exponential": _exponential,
    "lanczos": torch.sinc,
    "parzen": _parzen,
    "taylor": _taylor,
    "triang": _triang,
    "tukey": _tukey,
}
