"""A v-prediction network as a denoiser of signals with noise of any strength."""

import math

from torch import Tensor

from sat_models.sampling.samplers import ModelFn
from sat_models.sampling.steps import DenoiseFn, times_of


def v_denoiser(model_fn: ModelFn) -> DenoiseFn:
    """Let a v-prediction network denoise `signal + sigma * noise`.

    Scaled down to unit variance, that is the network's input at time `atan(sigma) 2 / pi`; signal
    and velocity together then give the clean signal. These are the preconditioning factors of
    Karras et al. (2022, 2206.00364, table 1) for data of unit variance.

    Args:
        model_fn: Predicts the velocity.

    Returns:
        A function of the noisy signal and `sigma`.
    """

    def denoise(x: Tensor, sigma: float) -> Tensor:
        alpha = 1 / math.hypot(1.0, sigma)
        t = times_of(x, math.atan(sigma) * 2 / math.pi)
        return alpha**2 * x - (sigma * alpha) * model_fn(alpha * x, t)

    return denoise
