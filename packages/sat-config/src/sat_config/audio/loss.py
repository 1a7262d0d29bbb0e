"""Losses of autoencoder training."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sat_config.node import Node, NonNegativeFloat, Positive

Sizes = Annotated[tuple[Positive, ...], Meta(min_length=1)]


class SpectralWeights(Node, kw_only=True):
    """Weight of the multi-resolution STFT loss.

    Attributes:
        mrstft: Factor of the loss in the sum.
    """

    mrstft: NonNegativeFloat


class SpectralConfig(Node, kw_only=True):
    """Resolutions of the multi-resolution STFT loss (Yamamoto et al. 2020).

    Attributes:
        fft_sizes: Samples per transform, one entry per resolution.
        hop_sizes: Samples between frames.
        win_lengths: Samples under the window.
    """

    fft_sizes: Sizes = (1024, 2048, 512)
    hop_sizes: Sizes = (120, 240, 50)
    win_lengths: Sizes = (600, 1200, 240)


class SpectralLoss(Node, kw_only=True):
    """Distance of magnitude spectra at several resolutions.

    Attributes:
        type: A label that SAT's files carry; nothing reads it.
        config: The resolutions.
        weights: Its weight.
    """

    type: str | None = None
    config: SpectralConfig
    weights: SpectralWeights


class TimeWeights(Node, kw_only=True):
    """Weights of the time-domain losses.

    Attributes:
        l1: Factor of the mean absolute error.
        l2: Factor of the mean squared error.
    """

    l1: NonNegativeFloat = 0.0
    l2: NonNegativeFloat = 0.0


class TimeLoss(Node, kw_only=True):
    """Distance of waveforms.

    Attributes:
        type: A label that SAT's files carry; nothing reads it.
        weights: Their weights.
    """

    type: str | None = None
    weights: TimeWeights


class BottleneckWeights(Node, kw_only=True):
    """Weights of the bottleneck's own losses.

    Attributes:
        kl: Factor of the divergence from a unit Gaussian; higher makes latents smoother and
            reconstructions worse.
    """

    kl: NonNegativeFloat = 1e-6


class BottleneckLoss(Node, kw_only=True):
    """Losses that the bottleneck reports.

    Attributes:
        type: A label that SAT's files carry; nothing reads it.
        weights: Their weights.
    """

    type: str | None = None
    weights: BottleneckWeights = BottleneckWeights()


class AutoencoderLosses(Node, kw_only=True):
    """The sum that autoencoder training minimises.

    Attributes:
        spectral: Multi-resolution STFT distance.
        time: Waveform distance.
        bottleneck: The bottleneck's own losses.
    """

    spectral: SpectralLoss
    time: TimeLoss
    bottleneck: BottleneckLoss = BottleneckLoss()
