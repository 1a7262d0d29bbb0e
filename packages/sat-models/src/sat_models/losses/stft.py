"""Distances of spectra: one STFT, several STFTs, and sum and difference of stereo.

All take `(input, target)` of shape `b c t`; every channel of every item counts as a signal of its
own, `s` of them. The formulas are auraloss's (Steinmetz and Reiss 2020), as stable-audio-tools
ships them, checked against recorded values and gradients. Everything is computed in single
precision, whatever the signals come in and whatever autocast says: half precision has neither the
range nor, on CPU, the kernels for an FFT.

Deviations from SAT: `scale_invariance`, which fails there for more than one signal, scales each
signal by its own factor; a loss without a term, and bands that catch no bin (which make SAT's
logarithm infinite), are refused; filters and windows are not part of the state dict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from sat_models.losses.weighting import AWeighting
from sat_models.losses.windows import make_window

PHASE_EPSILON = 1e-7


@dataclass(frozen=True, kw_only=True)
class SpectralTerms:
    """What is measured on a pair of spectra, and how it becomes one number.

    Attributes:
        convergence: Weight of the Frobenius norm of the difference over that of the target (Arik et
            al. 2018, 1808.06719); swapping the arguments changes the value.
        log_magnitude: Weight of the distance of log magnitudes.
        linear_magnitude: Weight of the distance of magnitudes.
        phase: Weight of the distance of complex bins over the mean of their magnitudes.
        distance: Whether differences of magnitudes count absolute or squared.
        floor: Smallest power that a bin has; keeps the logarithm of silence finite.
        log_factor: Factor of magnitudes inside the logarithm.
        log_offset: Added to them there.
        scale_invariant: Scale the target's magnitudes to fit best before anything is measured.
        reduction: Mean or sum over bins, frames and signals, or neither. As in SAT a sum is taken
            of each distance of magnitudes alone and then again together with the other terms, which
            counts it once per element of these.
        per_signal: Reduce bins and frames only; one value for each of the `s` signals stays.
    """

    convergence: float
    log_magnitude: float
    linear_magnitude: float
    phase: float
    distance: Literal["L1", "L2"]
    floor: float
    log_factor: float
    log_offset: float
    scale_invariant: bool
    reduction: Literal["mean", "sum", "none"]
    per_signal: bool


@dataclass(frozen=True)
class SpectralParts:
    """The terms of a spectral distance before weighting; None stands for those of weight 0.

    Attributes:
        convergence: One value per signal, `s 1 1`.
        log_magnitude: A scalar, or `s f n` where nothing is reduced.
        linear_magnitude: The same.
        phase: `s f n`.
    """

    convergence: Tensor | None
    log_magnitude: Tensor | None
    linear_magnitude: Tensor | None
    phase: Tensor | None


class STFTLoss(nn.Module):
    """Weighted distances of the spectra of one STFT with centred frames and reflected edges."""

    window: Tensor
    bands: Tensor | None

    def __init__(
        self,
        *,
        fft_size: int,
        hop_size: int,
        win_length: int,
        window: str,
        terms: SpectralTerms,
        bands: Float[Tensor, "m f"] | None,
        weighting: AWeighting | None,
    ) -> None:
        """Prepare window and filters.

        Args:
            fft_size: Samples per transform, which has `f = fft_size // 2 + 1` bins.
            hop_size: Samples between frames.
            win_length: Samples under the window; at most `fft_size`.
            window: Its name, see `make_window`.
            terms: What is measured.
            bands: Sums magnitudes into bands, all terms but the phase; None measures bins.
            weighting: Filters both signals first.

        Raises:
            ValueError: No term has a weight; a band is empty and its logarithm is asked for.
        """
        super().__init__()
        weights = (terms.convergence, terms.log_magnitude, terms.linear_magnitude, terms.phase)
        if not any(weights):
            raise ValueError("every term of the spectral distance has weight 0")
        if bands is not None and terms.log_magnitude and not terms.log_offset:
            empty = int((bands.sum(1) == 0).sum())
            if empty:
                raise ValueError(
                    f"{empty} of {len(bands)} bands contain no bin of a transform of {fft_size}"
                    " samples, and the logarithm of nothing is infinite; take fewer bands, a longer"
                    " transform or an offset inside the logarithm"
                )
        self.fft_size, self.hop_size, self.win_length = fft_size, hop_size, win_length
        self.terms = terms
        self.weighting = weighting
        self.register_buffer("window", make_window(window, win_length), persistent=False)
        self.register_buffer("bands", bands, persistent=False)

    def forward(
        self, input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"]
    ) -> Float[Tensor, "*s"]:
        """The distance, differentiable in both arguments: a scalar unless `terms` keep axes."""
        return self.combine(self.parts(input, target))

    def parts(self, input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"]) -> SpectralParts:
        """The terms of the distance, each for itself."""
        with torch.autocast(input.device.type, enabled=False):
            input, target = input.float(), target.float()
            if self.weighting is not None:
                input, target = self.weighting(input), self.weighting(target)
            return self._compare(
                self._spectra(input.flatten(0, 1)), self._spectra(target.flatten(0, 1))
            )

    def combine(self, parts: SpectralParts) -> Float[Tensor, "*s"]:
        """The weighted sum of the terms."""
        terms = self.terms
        weighted = [
            weight * part
            for weight, part in (
                (terms.convergence, parts.convergence),
                (terms.log_magnitude, parts.log_magnitude),
                (terms.linear_magnitude, parts.linear_magnitude),
                (terms.phase, parts.phase),
            )
            if part is not None
        ]
        total = weighted[0]
        for term in weighted[1:]:
            total = total + term
        if terms.reduction == "none":
            return total
        axes = (-2, -1) if terms.per_signal else tuple(range(total.ndim))
        return total.mean(axes) if terms.reduction == "mean" else total.sum(axes)

    def _spectra(self, signals: Float[Tensor, "s t"]) -> Complex[Tensor, "s f n"]:
        return torch.stft(
            signals,
            self.fft_size,
            self.hop_size,
            self.win_length,
            self.window.float(),
            return_complex=True,
        )

    def _magnitudes(self, spectra: Complex[Tensor, "s f n"]) -> Float[Tensor, "s m n"]:
        power = spectra.real.square() + spectra.imag.square()
        magnitudes: Tensor = power.clamp(min=self.terms.floor).sqrt()
        return magnitudes if self.bands is None else self.bands.float() @ magnitudes

    def _compare(
        self, got: Complex[Tensor, "s f n"], want: Complex[Tensor, "s f n"]
    ) -> SpectralParts:
        terms = self.terms
        x, y = self._magnitudes(got), self._magnitudes(want)
        if terms.scale_invariant:
            fit = (x * y).sum((-2, -1), keepdim=True) / y.square().sum((-2, -1), keepdim=True)
            y = fit * y
        convergence = log_magnitude = linear_magnitude = phase = None
        if terms.convergence:
            error = torch.linalg.matrix_norm(y - x, keepdim=True)
            convergence = error / torch.linalg.matrix_norm(y, keepdim=True)
        if terms.log_magnitude:
            log_magnitude = self._distance(self._log(x), self._log(y))
        if terms.linear_magnitude:
            linear_magnitude = self._distance(x, y)
        if terms.phase:
            phase = (got - want).abs() / (0.5 * (got.abs() + want.abs()) + PHASE_EPSILON)
        return SpectralParts(convergence, log_magnitude, linear_magnitude, phase)

    def _log(self, magnitudes: Tensor) -> Tensor:
        terms = self.terms
        if terms.log_factor != 1 or terms.log_offset != 0:
            magnitudes = terms.log_factor * magnitudes + terms.log_offset
        return magnitudes.log()

    def _distance(self, x: Tensor, y: Tensor) -> Tensor:
        difference = (x - y).abs() if self.terms.distance == "L1" else (x - y).square()
        if self.terms.per_signal or self.terms.reduction == "none":
            return difference
        return difference.mean() if self.terms.reduction == "mean" else difference.sum()


class MultiResolutionSTFTLoss(nn.Module):
    """Mean of `STFTLoss` over several resolutions (Yamamoto et al. 2020, 1910.11480).

    Args:
        resolutions: The losses, without weighting of their own.
        weighting: Filters both signals once for all of them.

    Raises:
        ValueError: There is no resolution, or one does not reduce (their shapes differ).
    """

    def __init__(self, resolutions: Sequence[STFTLoss], *, weighting: AWeighting | None) -> None:
        super().__init__()
        if not resolutions:
            raise ValueError("a multi-resolution loss needs at least one resolution")
        if any(loss.terms.reduction == "none" for loss in resolutions):
            raise ValueError(
                "spectra of different resolutions cannot be averaged bin by bin; take the reduction"
                " 'mean' or 'sum' in place of 'none'"
            )
        self.resolutions = nn.ModuleList(resolutions)
        self.weighting = weighting
        self.shortest_signal = max(loss.fft_size for loss in resolutions) // 2 + 1

    def forward(
        self, input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"]
    ) -> Float[Tensor, "*s"]:
        """The distance; both need at least `shortest_signal` samples."""
        with torch.autocast(input.device.type, enabled=False):
            input, target = input.float(), target.float()
            if self.weighting is not None:
                input, target = self.weighting(input), self.weighting(target)
            return torch.stack([loss(input, target) for loss in self.resolutions]).mean(0)


class SumAndDifferenceSTFTLoss(nn.Module):
    """Multi-resolution STFT loss of a stereo signal's sum and difference (Steinmetz et al. 2020).

    Hears what a listener hears of the stereo image, where a loss per channel does not (2010.10291).

    Args:
        loss: Applied to the sums and to the differences.
        sum_weight: Factor of the first.
        difference_weight: Factor of the second; the result is half of the weighted sum.
    """

    def __init__(
        self, loss: MultiResolutionSTFTLoss, *, sum_weight: float, difference_weight: float
    ) -> None:
        super().__init__()
        self.loss = loss
        self.sum_weight = sum_weight
        self.difference_weight = difference_weight

    def forward(
        self, input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"]
    ) -> Float[Tensor, "*s"]:
        """The distance of two stereo signals.

        Raises:
            ValueError: They have other than two channels.
        """
        if input.shape[1] != 2:
            raise ValueError(f"sum and difference need two channels; got {input.shape[1]}")
        sums = self.loss(input[:, :1] + input[:, 1:], target[:, :1] + target[:, 1:])
        differences = self.loss(input[:, :1] - input[:, 1:], target[:, :1] - target[:, 1:])
        weighted: Tensor = self.sum_weight * sums + self.difference_weight * differences
        return weighted / 2
