"""How a language model's next codes are drawn from its guesses."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class TokenChoice:
    """How to draw.

    Attributes:
        temperature: Spread; 0 takes the likeliest code.
        top_k: Draw from so many likeliest codes; 0 for all.
        top_p: Draw from the likeliest codes that together have this probability (Holtzman et al.
            2019, 1904.09751), whatever `top_k` is; 0 for all.
    """

    temperature: float
    top_k: int
    top_p: float

    def __call__(
        self, logits: Float[Tensor, "*b v"], *, generator: torch.Generator | None = None
    ) -> Int[Tensor, "*b"]:
        """Draw one code per row.

        Deviation from SAT: `top_k` may be more than there are codes.

        Args:
            logits: Unnormalised logarithms of probabilities.
            generator: Source of the draw; torch's global one if left out.
        """
        if self.temperature <= 0:
            return logits.argmax(-1)
        probabilities = torch.softmax(logits.float() / self.temperature, dim=-1)
        if self.top_p > 0:
            sorted_, order = probabilities.sort(-1, descending=True)
            before = sorted_.cumsum(-1) - sorted_
            place = _draw(sorted_.masked_fill(before > self.top_p, 0), generator)
            return order.gather(-1, place[..., None])[..., 0]
        if 0 < self.top_k < logits.shape[-1]:
            least = probabilities.topk(self.top_k, dim=-1).values[..., -1:]
            probabilities = probabilities.masked_fill(probabilities < least, 0)
        return _draw(probabilities, generator)


def _draw(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    """An index with a probability in proportion to its weight: the winner of a race."""
    times = torch.empty_like(weights).exponential_(1, generator=generator)
    return (weights / times).argmax(-1)
