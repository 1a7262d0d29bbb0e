"""Finite scalar quantization that gives way to noise in training."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sat_config.audio.bottleneck import DitheredFSQNode
from sat_models.bottlenecks.base import DiscreteBottleneck, Encoding, build_bottleneck
from sat_models.bottlenecks.grid import Grid
from sat_models.bottlenecks.straight_through import straight_through


class DitheredFSQBottleneck(DiscreteBottleneck):
    """A tanh, then rounding to evenly spaced values from -1 to 1.

    In training, each item is treated in one of three ways: with probability
    `(1 - p) (1 - p) + p (1 - p) = 1 - p` it gets uniform noise as wide as the distance between
    values, which behaves as rounding does and has a gradient; with `p (1 - p)` it is rounded; with
    `p * p` it stays as it is, for the probability `p` that is set. Outside of training all is
    rounded.

    Deviation from SAT: codes are laid out as everywhere else, and can be decoded.
    """

    step: Tensor

    def __init__(self, levels: Sequence[int], *, num_codebooks: int, noise_dropout: float) -> None:
        """Lay out the grid.

        Args:
            levels: Values of each channel of a codebook, two or more.
            num_codebooks: Codes per frame.
            noise_dropout: The probability `p`.
        """
        super().__init__()
        self.grid = Grid(levels, num_codebooks=num_codebooks)
        self.num_quantizers = num_codebooks
        self.codebook_size = self.grid.codebook_size
        self.noise_dropout = noise_dropout
        counts = torch.tensor(levels, dtype=torch.float32).repeat(num_codebooks)[:, None]
        self.register_buffer("step", 2 / (counts - 1), persistent=False)  # d 1

    def encode(
        self,
        features: Float[Tensor, "b d l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Round the features, or add noise in training; the draws come from `generator`."""
        bounded = features.float().tanh()
        latents = straight_through(bounded, self._value(self._place(bounded)))
        if self.training:
            latents = self._dither(bounded, latents, generator=generator)
        tokens = self.grid.to_tokens(self._place(latents))
        return Encoding(latents=latents.to(features.dtype), tokens=tokens)

    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d l"]:
        """Hand the latents on."""
        return latents

    def tokens_to_latents(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b d l"]:
        """The grid points that codes stand for."""
        return self._value(self.grid.to_places(tokens))

    def _place(self, values: Tensor) -> Tensor:
        """The nearest place along each axis; noise may lead half a step beyond the last."""
        places = ((values + 1) / self.step).round()
        return torch.minimum(places.clamp(min=0), (2 / self.step).round())

    def _value(self, places: Tensor) -> Tensor:
        return places * self.step - 1

    def _dither(
        self, bounded: Tensor, rounded: Tensor, *, generator: torch.Generator | None
    ) -> Tensor:
        def chosen() -> Tensor:
            odds = bounded.new_full((bounded.shape[0], 1, 1), self.noise_dropout)
            return torch.bernoulli(odds, generator=generator).bool()

        kept = torch.where(chosen(), bounded, rounded)
        without_noise = chosen()
        noise = torch.rand(
            bounded.shape, generator=generator, device=bounded.device, dtype=bounded.dtype
        )
        return torch.where(without_noise, kept, bounded + (noise - 0.5) * self.step)


@build_bottleneck.register
def _(node: DitheredFSQNode) -> DitheredFSQBottleneck:
    config = node.config
    levels = config.levels
    return DitheredFSQBottleneck(
        [levels] * config.dim if isinstance(levels, int) else levels,
        num_codebooks=config.num_codebooks,
        noise_dropout=config.noise_dropout,
    )
