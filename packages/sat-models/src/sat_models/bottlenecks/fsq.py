"""Finite scalar quantization (Mentzer et al. 2023, 2309.15505)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sat_config.audio.bottleneck import FSQNode
from sat_models.bottlenecks.base import DiscreteBottleneck, Encoding, build_bottleneck
from sat_models.bottlenecks.grid import Grid
from sat_models.bottlenecks.noise import append_noise
from sat_models.bottlenecks.straight_through import straight_through

MARGIN = 1e-3


class FSQ(nn.Module):
    """Every channel is squashed by a tanh and rounded to one of a few values in [-1, 1].

    An even number of values has no middle: one more of them lies below zero than above.

    Deviation from vector-quantize-pytorch: codes are 64-bit integers, and rounding is done in
    float32 whatever the dtype of the weights.
    """

    reach: Tensor
    offset: Tensor
    shift: Tensor
    half_width: Tensor

    def __init__(
        self, channels: int, *, levels: Sequence[int], num_codebooks: int, projection_bias: bool
    ) -> None:
        """Create the projections, if any are needed.

        Args:
            channels: Channels of the latents; anything but the channels of all codebooks adds a
                projection to those and back.
            levels: Values of each channel of a codebook.
            num_codebooks: Codes per frame.
            projection_bias: Whether the projections have a bias.
        """
        super().__init__()
        self.grid = Grid(levels, num_codebooks=num_codebooks)
        inner = len(levels) * num_codebooks
        self.project_in: nn.Module = nn.Identity()
        self.project_out: nn.Module = nn.Identity()
        if inner != channels:
            self.project_in = nn.Linear(channels, inner, bias=projection_bias)
            self.project_out = nn.Linear(inner, channels, bias=projection_bias)
        counts = torch.tensor(levels, dtype=torch.float64).repeat(num_codebooks)[:, None]
        reach = (counts - 1) * (1 + MARGIN) / 2
        offset = torch.where(counts % 2 == 0, 0.5, 0.0)
        constants = {
            "reach": reach,
            "offset": offset,
            "shift": (offset / reach).atanh(),
            "half_width": counts // 2,
        }
        for name, value in constants.items():  # d 1
            self.register_buffer(name, value.float(), persistent=False)

    def forward(
        self, x: Float[Tensor, "b d l"]
    ) -> tuple[Float[Tensor, "b d l"], Int[Tensor, "b q l"]]:
        """Round, and name what was rounded to."""
        inner = _over_channels(self.project_in, x).float()  # b q*d l
        bounded = (inner + self.shift).tanh() * self.reach - self.offset
        rounded = bounded.round()
        tokens = self.grid.to_tokens(rounded + self.half_width)
        quantized = straight_through(bounded, rounded) / self.half_width
        return _over_channels(self.project_out, quantized.to(x.dtype)), tokens

    def lookup(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b d l"]:
        """What codes stand for."""
        places = self.grid.to_places(tokens).float()  # b q*d l
        values = (places - self.half_width) / self.half_width
        weight = next(self.project_out.parameters(), values)
        return _over_channels(self.project_out, values.to(weight.dtype))


def _over_channels(module: nn.Module, x: Float[Tensor, "b d l"]) -> Float[Tensor, "b d2 l"]:
    """A module for the last axis, on the channels."""
    result: Tensor = module(x.transpose(1, 2))
    return result.transpose(1, 2)


class FSQBottleneck(DiscreteBottleneck):
    """Latents rounded to a grid.

    Deviations from SAT: a single codebook keeps its axis in the codes, where SAT cannot encode
    with the default of `keep_num_codebooks_dim`; and codes can be decoded.
    """

    def __init__(self, quantizer: FSQ, *, noise_channels: int) -> None:
        """Wrap a quantizer.

        Args:
            quantizer: Rounds.
            noise_channels: Channels of noise behind the latents, for the decoder.
        """
        super().__init__()
        self.quantizer = quantizer
        self.num_quantizers = quantizer.grid.num_codebooks
        self.codebook_size = quantizer.grid.codebook_size
        self.noise_channels = noise_channels

    def encode(
        self,
        features: Float[Tensor, "b d l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Round the features; nothing is drawn."""
        latents, tokens = self.quantizer(features)
        return Encoding(latents=latents, tokens=tokens)

    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d3 l"]:
        """Put noise behind the latents."""
        return append_noise(latents, num_channels=self.noise_channels, generator=generator)

    def tokens_to_latents(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b d l"]:
        """The grid points that codes stand for."""
        return self.quantizer.lookup(tokens)


@build_bottleneck.register
def _(node: FSQNode) -> FSQBottleneck:
    config = node.config
    quantizer = FSQ(
        node.dim,
        levels=config.levels,
        num_codebooks=config.num_codebooks,
        projection_bias=config.projection_has_bias,
    )
    return FSQBottleneck(quantizer, noise_channels=config.noise_augment_dim)
