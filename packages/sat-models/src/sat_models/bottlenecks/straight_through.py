"""The gradient of a quantization (Bengio et al. 2013, 1308.3432)."""

from jaxtyping import Float
from torch import Tensor


def straight_through(x: Float[Tensor, "*b"], quantized: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The value of `quantized`, to the last bit, with the gradient of `x`."""
    return quantized.detach() + (x - x.detach())
