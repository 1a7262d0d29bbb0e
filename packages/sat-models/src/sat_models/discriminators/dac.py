"""The discriminator of the Descript audio codec (Kumar et al. 2023, 2306.06546).

Names are those of descript-audio-codec (MIT licence), in the stereo variant of stable-audio-tools.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.discriminator import DACDiscriminatorNode
from sat_models.discriminators.base import (
    Discriminator,
    Judgement,
    Parts,
    build_discriminator,
)
from sat_models.discriminators.conv import NormedConv1d, NormedConv2d
from sat_models.discriminators.gan import GANLoss, LeastSquaresLoss, ZeroHingeLoss
from sat_models.discriminators.resample import SincResample

SLOPE = 0.1
PEAK = 0.8
PEAK_EPSILON = 1e-9

Band = tuple[float, float]


class DACDiscriminator(Discriminator):
    """Networks on foldings of the waveform, on slower copies of it, and on bands of its spectrum.

    Signals are brought to mean 0 and a peak of 0.8 first. Deviations from SAT: networks on slower
    copies work; what every layer returns is kept for the backward pass and overwritten by its
    activation, which takes the memory that recomputing would, and less time.
    """

    def __init__(
        self,
        channels: int,
        *,
        sample_rate: int,
        periods: Sequence[int],
        rates: Sequence[int],
        fft_sizes: Sequence[int],
        bands: Sequence[Band],
        gan_loss: GANLoss,
    ) -> None:
        """Create the networks.

        Args:
            channels: Channels of the signals.
            sample_rate: Hz.
            periods: Samples per column of a folding, one network each.
            rates: Factors by which signals are slowed down, one network each.
            fft_sizes: Samples per transform, one network each; divisible by 4.
            bands: Shares of the spectrum that are looked at apart.
            gan_loss: The losses of the scores.

        Raises:
            ValueError: There is no network, or a band holds no bin of one of the spectra.
        """
        super().__init__(gan_loss=gan_loss)
        networks = [
            *(_PeriodNetwork(channels, period) for period in periods),
            *(_RateNetwork(channels, sample_rate, sample_rate // rate) for rate in rates),
            *(_SpectrumNetwork(size, bands) for size in fft_sizes),
        ]
        if not networks:
            raise ValueError("a dac discriminator needs periods, rates or fft_sizes; got none")
        self.discriminator = Parts(networks)

    def forward(self, audio: Float[Tensor, "b c t"]) -> Judgement:
        """Judge a batch of more samples than five eighths of the longest transform."""
        centred = audio - audio.mean(-1, keepdim=True)
        peak = centred.abs().amax(-1, keepdim=True)
        scaled = PEAK * centred / (peak + PEAK_EPSILON)
        results = self.discriminator.judge(scaled)
        return Judgement(
            tuple(result[-1] for result in results), tuple(tuple(result[:-1]) for result in results)
        )


def _activated(conv: nn.Module) -> nn.Sequential:
    # In place: neither the convolution nor the activation needs what is overwritten.
    return nn.Sequential(conv, nn.LeakyReLU(SLOPE, inplace=True))


class _PeriodNetwork(nn.Module):
    """Convolutions over time, each column of a folding for itself."""

    def __init__(self, channels: int, period: int) -> None:
        super().__init__()
        self.period = period
        widths = (channels, 32, 128, 512, 1024, 1024)
        self.convs = nn.ModuleList(
            _activated(NormedConv2d(before, after, (5, 1), (stride, 1), padding=(2, 0)))
            for before, after, stride in zip(widths, widths[1:], (3, 3, 3, 3, 1), strict=False)
        )
        self.conv_post = NormedConv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, audio: Float[Tensor, "b c t"]) -> list[Tensor]:
        # A length that the period divides is lengthened by a whole one, as in DAC.
        missing = self.period - audio.shape[-1] % self.period
        padded = functional.pad(audio, (0, missing), mode="reflect")
        columns = padded.view(*audio.shape[:2], -1, self.period)
        return _run([*self.convs, self.conv_post], columns)


class _RateNetwork(nn.Module):
    """Grouped convolutions on the waveform at another sample rate."""

    def __init__(self, channels: int, sample_rate: int, rate: int) -> None:
        super().__init__()
        self.resample = SincResample(old_rate=sample_rate, new_rate=rate)
        widths = (channels, 16, 64, 256, 1024, 1024, 1024)
        layers = [(15, 1, 1), (41, 4, 4), (41, 4, 16), (41, 4, 64), (41, 4, 256), (5, 1, 1)]
        self.convs = nn.ModuleList(
            _activated(NormedConv1d(before, after, taps, stride, padding=taps // 2, groups=groups))
            for before, after, (taps, stride, groups) in zip(
                widths, widths[1:], layers, strict=False
            )
        )
        self.conv_post = NormedConv1d(widths[-1], 1, 3, padding=1)

    def forward(self, audio: Float[Tensor, "b c t"]) -> list[Tensor]:
        return _run([*self.convs, self.conv_post], self.resample(audio))


class _SpectrumNetwork(nn.Module):
    """Convolutions on bands of the complex spectrum, every channel for itself."""

    window: Tensor

    def __init__(self, fft_size: int, bands: Sequence[Band]) -> None:
        super().__init__()
        bins = fft_size // 2 + 1
        self.bands = [(int(low * bins), int(high * bins)) for low, high in bands]
        if any(low >= high for low, high in self.bands):
            raise ValueError(
                f"every band must hold a bin, but of {bins} bins the bands {list(bands)} take"
                f" {self.bands}"
            )
        self.register_buffer("window", torch.hann_window(fft_size), persistent=False)
        self.band_convs = nn.ModuleList(_band_convs() for _ in bands)
        self.conv_post = NormedConv2d(32, 1, 3, padding=1)

    def forward(self, audio: Float[Tensor, "b c t"]) -> list[Tensor]:
        spectra = self._spectra(audio.flatten(0, 1)).to(audio.dtype)
        results = [
            _run(list(convs.children()), spectra[..., low:high])
            for convs, (low, high) in zip(self.band_convs, self.bands, strict=True)
        ]
        score = self.conv_post(torch.cat([layers[-1] for layers in results], dim=-1))
        return [*(layer for layers in results for layer in layers), score]

    def _spectra(self, signals: Float[Tensor, "s t"]) -> Float[Tensor, "s 2 n f"]:
        """As many frames as hops fit into the signal, rounded up, as a convolution would have."""
        size = len(self.window)
        hop = size // 4
        edge = (size - hop) // 2
        padded = functional.pad(
            signals.float(), (edge, edge + -signals.shape[-1] % hop), mode="reflect"
        )
        spectra = torch.stft(padded, size, hop, window=self.window.float(), return_complex=True)
        # Centred frames add two at each end, which see the padding alone.
        return rearrange(torch.view_as_real(spectra[..., 2:-2]), "s f n i -> s i n f")


def _band_convs() -> nn.ModuleList:
    first = [NormedConv2d(2, 32, (3, 9), padding=(1, 4))]
    narrowing = [NormedConv2d(32, 32, (3, 9), (1, 2), padding=(1, 4)) for _ in range(3)]
    last = [NormedConv2d(32, 32, (3, 3), padding=(1, 1))]
    return nn.ModuleList(_activated(conv) for conv in (*first, *narrowing, *last))


def _run(layers: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    """The results of all layers, one on the other."""
    results = []
    for layer in layers:
        x = layer(x)
        results.append(x)
    return results


@build_discriminator.register
def build_dac_discriminator(
    node: DACDiscriminatorNode, *, channels: int, sample_rate: int
) -> DACDiscriminator:
    """Build a DAC discriminator."""
    config = node.config
    return DACDiscriminator(
        channels,
        sample_rate=sample_rate,
        periods=config.periods,
        rates=config.rates,
        fft_sizes=config.fft_sizes,
        bands=config.bands,
        gan_loss=ZeroHingeLoss() if config.use_hinge else LeastSquaresLoss(),
    )
