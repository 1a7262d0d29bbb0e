"""Residual vector quantization (SoundStream; Zeghidour et al. 2021, 2107.03312)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from sat_models.bottlenecks.base import NO_TOKEN
from sat_models.bottlenecks.codebook import Codebook, CodebookOptions, Found
from sat_models.bottlenecks.straight_through import straight_through


@dataclass(frozen=True)
class LossOptions:
    """What a quantizer's loss is made of.

    Attributes:
        commitment: Weight of the distance between latents and entries.
        cross_entropy: Take cross entropy over scores in place of that distance.
        orthogonal: Weight of a penalty on entries that are not orthogonal.
        orthogonal_used_only: Apply it to the entries that a batch uses only.
        orthogonal_max: How many entries it looks at; None for all.
        diversity: Weight of a penalty on uneven use of entries.
        diversity_temperature: Sharpness of what that takes as use.
        trains_codebook: Whether the distance trains entries as well as latents.
        lookahead: Strength `v` of synchronised updates of entries (Huh et al. 2023, 2305.08842).
    """

    commitment: float
    cross_entropy: bool
    orthogonal: float
    orthogonal_used_only: bool
    orthogonal_max: int | None
    diversity: float
    diversity_temperature: float
    trains_codebook: bool
    lookahead: float


class VectorQuantizer(nn.Module):
    """One codebook and its losses.

    The loss that wants diversity is the library's: it takes entries as used that are far away, and
    averages over the batch before it compares.
    """

    def __init__(self, codebook: Codebook, losses: LossOptions) -> None:
        """Wrap a codebook.

        Args:
            codebook: May be shared with other quantizers.
            losses: What the loss is made of.
        """
        super().__init__()
        self._codebook = codebook
        self._losses = losses

    def forward(
        self, x: Float[Tensor, "b l d"]
    ) -> tuple[Float[Tensor, "b l d"], Int[Tensor, "b l"], Float[Tensor, ""]]:
        """Quantize; outside of training the loss is 0, and no gradient reaches `x`."""
        x = self._codebook.prepare(x)
        found: Found = self._codebook(x)
        entries = found.entries.to(x.dtype)
        if not self.training:
            return entries, found.tokens, x.new_zeros(())
        quantized = straight_through(x, entries)
        if self._losses.lookahead:
            quantized = quantized + self._losses.lookahead * (quantized - quantized.detach())
        return quantized, found.tokens, self._loss(x, found)

    def lookup(self, tokens: Int[Tensor, "b l"]) -> Float[Tensor, "b l d"]:
        """What codes stand for; nothing for those that stand for none."""
        entries = self._codebook.lookup(tokens.clamp(min=0))
        return entries.masked_fill((tokens == NO_TOKEN)[..., None], 0.0)

    def _loss(self, x: Tensor, found: Found) -> Tensor:
        losses = self._losses
        total = x.new_zeros(())
        if losses.diversity:
            far = (-found.scores * losses.diversity_temperature).softmax(dim=-1).mean(dim=0)
            entropy = -(far * far.clamp(min=1e-5).log()).sum(dim=-1)
            total = total - losses.diversity * entropy.mean()
        if losses.commitment:
            total = total + losses.commitment * self._commitment(x, found)
        if losses.orthogonal:
            total = total + losses.orthogonal * self._orthogonality(found.tokens)
        return total

    def _commitment(self, x: Tensor, found: Found) -> Tensor:
        if self._losses.cross_entropy:
            return functional.cross_entropy(found.scores.flatten(0, 1), found.tokens.flatten())
        entries = found.entries if self._losses.trains_codebook else found.entries.detach()
        return functional.mse_loss(entries.to(x.dtype), x)

    def _orthogonality(self, tokens: Tensor) -> Tensor:
        """Equation 2 of Shin et al. 2021 (2112.00384)."""
        entries = self._codebook.embed[0]
        if self._losses.orthogonal_used_only:
            entries = entries[torch.unique(tokens)]
        most = self._losses.orthogonal_max
        if most is not None and len(entries) > most:
            entries = entries[torch.randperm(len(entries), device=entries.device)[:most]]
        directions = functional.normalize(entries, dim=-1)
        count = len(entries)
        return (directions @ directions.T).square().sum() / count**2 - 1 / count


class ResidualVQ(nn.Module):
    """Codebooks that each quantize what the ones before left over.

    As in the library, each codebook hands the gradient of the result on, so that with `n` of them
    latents get it `n` times.

    Deviations from vector-quantize-pytorch 1.14.41: codes of left out codebooks are -1 in the same
    layout; how many are left out is drawn from torch's generator, not Python's.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_quantizers: int,
        codebook: CodebookOptions,
        losses: LossOptions,
        shared: bool,
        dropout_from: int | None,
        dropout_group: int,
    ) -> None:
        """Create the codebooks.

        Args:
            channels: Channels of the latents; anything but those of the codebooks adds a
                projection to those and back.
            num_quantizers: Codebooks.
            codebook: Each of them.
            losses: What their losses are made of.
            shared: One codebook for all.
            dropout_from: The first codebook that may be left out, with all after it, in training;
                None leaves out none.
            dropout_group: Codebooks are left out in groups of this many.
        """
        super().__init__()
        inner = codebook.channels
        self.project_in: nn.Module = nn.Identity()
        self.project_out: nn.Module = nn.Identity()
        if inner != channels:
            self.project_in = nn.Linear(channels, inner)
            self.project_out = nn.Linear(inner, channels)
        one = Codebook(codebook)
        books = [one] + [one if shared else Codebook(codebook) for _ in range(num_quantizers - 1)]
        self.layers = nn.ModuleList(VectorQuantizer(book, losses) for book in books)
        self.dropout_from = dropout_from if num_quantizers > 1 else None
        self.dropout_group = dropout_group

    def forward(
        self, x: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b d l"], Int[Tensor, "b q l"], Float[Tensor, ""]]:
        """Quantize; the loss is the mean over codebooks, left out ones counting as 0."""
        residual = self.project_in(x.transpose(1, 2))  # b l d
        total, loss = torch.zeros_like(residual), x.new_zeros(())
        tokens = []
        used = self._num_used(generator)
        for layer in self.layers[:used]:
            quantized, numbers, layer_loss = layer(residual)
            residual = residual - quantized.detach()
            total, loss = total + quantized, loss + layer_loss
            tokens.append(numbers)
        tokens += [torch.full_like(tokens[0], NO_TOKEN)] * (len(self.layers) - used)
        latents = self.project_out(total).transpose(1, 2)  # b d l
        return latents, torch.stack(tokens, dim=1), loss / len(self.layers)

    def lookup(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b d l"]:
        """What codes stand for; those of the first codebooks alone give a coarser result."""
        layers = cast(Iterable[VectorQuantizer], self.layers)
        pairs = zip(layers, tokens.unbind(dim=1), strict=False)
        total = torch.stack([layer.lookup(numbers) for layer, numbers in pairs]).sum(dim=0)
        weight = next(self.project_out.parameters(), total)
        latents: Tensor = self.project_out(total.to(weight.dtype))
        return latents.transpose(1, 2)

    def _num_used(self, generator: torch.Generator | None) -> int:
        count = len(self.layers)
        if not self.training or self.dropout_from is None:
            return count
        device = None if generator is None else generator.device
        low = min(self.dropout_from, count - 1)
        last = torch.randint(low, count, (1,), generator=generator, device=device)
        groups = -(-(int(last) + 1) // self.dropout_group)
        return min(groups * self.dropout_group, count)
