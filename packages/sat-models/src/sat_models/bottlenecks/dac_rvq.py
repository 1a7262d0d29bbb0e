"""The quantizer of the Descript audio codec (Kumar et al. 2023, 2306.06546)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.bottleneck import DACRVQNode, DACRVQVAEConfig, DACRVQVAENode
from sat_models.bottlenecks.base import DiscreteBottleneck, Encoding, build_bottleneck
from sat_models.bottlenecks.noise import append_noise
from sat_models.bottlenecks.straight_through import straight_through
from sat_models.bottlenecks.vae import sample_gaussian
from sat_models.layers.weight_norm import same_length_conv


@dataclass(frozen=True)
class Quantized:
    """Latents after quantization.

    Attributes:
        latents: The quantized latents.
        tokens: Their codes.
        projected: What each codebook looked up, all codebooks' channels one after another.
        codebook_loss: Draws codebooks to the latents; the mean over codebooks.
        commitment_loss: Draws latents to the codebooks; the mean over codebooks.
    """

    latents: Float[Tensor, "b d l"]
    tokens: Int[Tensor, "b q l"]
    projected: Float[Tensor, "b d2 l"]
    codebook_loss: Float[Tensor, ""]
    commitment_loss: Float[Tensor, ""]


@dataclass(frozen=True)
class _Looked:
    latents: Tensor  # b d l
    tokens: Tensor  # b l
    projected: Tensor  # b e l
    codebook_loss: Tensor  # b
    commitment_loss: Tensor  # b


class DACQuantizer(nn.Module):
    """One codebook, looked up by direction in a projection to few channels."""

    def __init__(self, channels: int, *, codebook_size: int, codebook_dim: int) -> None:
        super().__init__()
        self.in_proj = same_length_conv(
            channels, codebook_dim, kernel_size=1, dilation=1, bias=True
        )
        self.out_proj = same_length_conv(
            codebook_dim, channels, kernel_size=1, dilation=1, bias=True
        )
        self.codebook = nn.Embedding(codebook_size, codebook_dim)

    def forward(self, x: Float[Tensor, "b d l"]) -> _Looked:
        """Look up; losses are per item."""
        projected = self.in_proj(x)
        directions = functional.normalize(projected, dim=1)
        entries = functional.normalize(self.codebook.weight, dim=1)
        tokens = torch.einsum("bel,ne->bnl", directions, entries).argmax(dim=1)
        found = self._entry(tokens)
        return _Looked(
            latents=self.out_proj(straight_through(projected, found)),
            tokens=tokens,
            projected=projected,
            codebook_loss=(found - projected.detach()).square().mean(dim=(1, 2)),
            commitment_loss=(projected - found.detach()).square().mean(dim=(1, 2)),
        )

    def lookup(self, tokens: Int[Tensor, "b l"]) -> Float[Tensor, "b d l"]:
        """What codes stand for."""
        latents: Tensor = self.out_proj(self._entry(tokens))
        return latents

    def _entry(self, tokens: Int[Tensor, "b l"]) -> Float[Tensor, "b e l"]:
        entries: Tensor = self.codebook(tokens)
        return entries.transpose(1, 2)


class DACResidualQuantizer(nn.Module):
    """Codebooks that each quantize what the ones before left over.

    Checked against descript-audio-codec 1.0.0 (MIT). Deviation: without dropout nothing is drawn.
    """

    def __init__(
        self, channels: int, *, codebook_size: int, codebook_dims: Sequence[int], dropout: float
    ) -> None:
        """Create the codebooks.

        Args:
            channels: Channels of the latents.
            codebook_size: Entries per codebook.
            codebook_dims: Channels within each codebook.
            dropout: Share of a batch that is quantized by a random number of codebooks, in
                training.
        """
        super().__init__()
        self.quantizers = nn.ModuleList(
            DACQuantizer(channels, codebook_size=codebook_size, codebook_dim=dim)
            for dim in codebook_dims
        )
        self.codebook_size = codebook_size
        self.dropout = dropout

    def forward(
        self, x: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Quantized:
        """Quantize, with all codebooks outside of training."""
        counts = self._counts(x.shape[0], generator=generator).to(x.device)
        latents, residual = torch.zeros_like(x), x
        results = []
        losses = x.new_zeros(2)
        for index, quantizer in enumerate(self.quantizers):
            found: _Looked = quantizer(residual)
            used = (counts > index).to(x.dtype)  # b
            latents = latents + found.latents * used[:, None, None]
            residual = residual - found.latents
            both = torch.stack([found.codebook_loss, found.commitment_loss])  # 2 b
            losses = losses + (both * used).mean(dim=1)
            results.append(found)
        codebook_loss, commitment_loss = losses / len(self.quantizers)
        return Quantized(
            latents=latents,
            tokens=torch.stack([found.tokens for found in results], dim=1),
            projected=torch.cat([found.projected for found in results], dim=1),
            codebook_loss=codebook_loss,
            commitment_loss=commitment_loss,
        )

    def lookup(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b d l"]:
        """What codes stand for; those of the first codebooks alone give a coarser result."""
        quantizers = cast(Iterable[DACQuantizer], self.quantizers)
        pairs = zip(quantizers, tokens.unbind(dim=1), strict=False)
        return torch.stack([quantizer.lookup(codes) for quantizer, codes in pairs]).sum(dim=0)

    def _counts(self, batch: int, *, generator: torch.Generator | None) -> Int[Tensor, " b"]:
        """How many codebooks each item gets."""
        counts = torch.full((batch,), len(self.quantizers))
        short = int(batch * self.dropout) if self.training else 0
        if short:
            device = None if generator is None else generator.device
            drawn = torch.randint(
                1, len(self.quantizers) + 1, (short,), generator=generator, device=device
            )
            counts[:short] = drawn.to(counts.device)
        return counts


class DACRVQBottleneck(DiscreteBottleneck):
    """Latents as sums of codebook entries that are learned by gradient.

    With `gaussian`, latents are drawn first, as by the bottleneck of a variational autoencoder,
    which adds the loss "kl".

    Deviations from SAT: with `quantize_on_decode`, losses and codes are there all the same (SAT
    cannot be trained so), and `decode_tokens` does not quantize once more what codes stand for.
    """

    def __init__(
        self,
        quantizer: DACResidualQuantizer,
        *,
        gaussian: bool,
        quantize_on_decode: bool,
        noise_channels: int,
    ) -> None:
        """Wrap a quantizer.

        Args:
            quantizer: The codebooks.
            gaussian: Whether latents are drawn from a Gaussian before they are quantized.
            quantize_on_decode: Hand out latents as they are before quantization, and quantize them
                in `decode`.
            noise_channels: Channels of noise behind the latents, for the decoder.
        """
        super().__init__()
        self.quantizer = quantizer
        self.num_quantizers = len(quantizer.quantizers)
        self.codebook_size = quantizer.codebook_size
        self.gaussian = gaussian
        self.quantize_on_decode = quantize_on_decode
        self.noise_channels = noise_channels

    def encode(
        self,
        features: Float[Tensor, "b d2 l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Quantize the features, or a draw from what they describe."""
        losses = {}
        latents = features
        if self.gaussian:
            latents, losses["kl"] = sample_gaussian(features, sample=sample, generator=generator)
        quantized: Quantized = self.quantizer(latents, generator=generator)
        losses["codebook_loss"] = quantized.codebook_loss
        losses["commitment_loss"] = quantized.commitment_loss
        if not self.quantize_on_decode:
            latents = quantized.latents
        return Encoding(latents=latents, losses=losses, tokens=quantized.tokens)

    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d3 l"]:
        """Quantize where `encode` has not, and put noise behind the latents."""
        if self.quantize_on_decode:
            latents = self.quantizer(latents, generator=generator).latents
        return append_noise(latents, num_channels=self.noise_channels, generator=generator)

    def tokens_to_latents(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b d l"]:
        """The sums of entries that codes stand for."""
        return self.quantizer.lookup(tokens)

    def decode_tokens(
        self, tokens: Int[Tensor, "b q l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d3 l"]:
        """Turn codes into a decoder's input."""
        latents = self.tokens_to_latents(tokens)
        return append_noise(latents, num_channels=self.noise_channels, generator=generator)


def _build(config: DACRVQVAEConfig, *, gaussian: bool, noise_channels: int) -> DACRVQBottleneck:
    dims = config.codebook_dim
    quantizer = DACResidualQuantizer(
        config.input_dim,
        codebook_size=config.codebook_size,
        codebook_dims=[dims] * config.n_codebooks if isinstance(dims, int) else dims,
        dropout=config.quantizer_dropout,
    )
    return DACRVQBottleneck(
        quantizer,
        gaussian=gaussian,
        quantize_on_decode=config.quantize_on_decode,
        noise_channels=noise_channels,
    )


@build_bottleneck.register
def _(node: DACRVQNode) -> DACRVQBottleneck:
    return _build(node.config, gaussian=False, noise_channels=node.config.noise_augment_dim)


@build_bottleneck.register
def _(node: DACRVQVAENode) -> DACRVQBottleneck:
    return _build(node.config, gaussian=True, noise_channels=0)
