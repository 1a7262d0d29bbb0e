"""Losses of autoencoder training, and the measures of its validation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

import sat_config.audio.discriminator as discriminator
from sat_config.node import Hertz, Node, NonNegativeFloat, Positive, PositiveFloat
from sat_config.registry import Open

Sizes = Annotated[tuple[Positive, ...], Meta(min_length=1)]
Window = Literal[
    "bartlett_window",
    "blackman_window",
    "hamming_window",
    "hann_window",
    "kaiser_window",
    "barthann",
    "bartlett",
    "blackman",
    "blackmanharris",
    "bohman",
    "boxcar",
    "cosine",
    "exponential",
    "flattop",
    "hamming",
    "hann",
    "lanczos",
    "nuttall",
    "parzen",
    "taylor",
    "triang",
    "tukey",
]
"""Torch's windows, then those of SciPy that need no parameter; these are of double precision."""

_CHROMA = "stable-audio-tools fails on chroma bands before the first step; take mel"
Scale = Annotated[Literal["mel"], Meta(extra={"refused": {"chroma": _CHROMA}})]

_FULL = "stable-audio-tools' other output is a list, which cannot be summed"


# --------------------------------------------------------------------------------------- spectra


class SpectrumConfig(Node, kw_only=True):
    """What all distances of spectra share (Steinmetz and Reiss 2020, auraloss).

    Attributes:
        window: The window, by its name in torch or SciPy.
        w_sc: Weight of spectral convergence: the error relative to the target's size.
        w_log_mag: Weight of the distance of log magnitudes.
        w_lin_mag: Weight of the distance of magnitudes.
        w_phs: Weight of the distance of complex spectra.
        perceptual_weighting: Filter both signals by the ear's sensitivity (A-weighting).
        scale_invariance: Bring the target to the best scale first.
        eps: Floor of magnitudes.
        reduction: Mean or sum over all bins.
        mag_distance: Absolute or squared distance of magnitudes.
        log_eps: Added to magnitudes inside the logarithm.
        log_fac: Factor of magnitudes inside the logarithm.
        retain_batch_dim: Keep one value per item.
        output: What is returned.
        device: Where filter banks live; they follow the model.
    """

    window: Window = "hann_window"
    w_sc: NonNegativeFloat = 1.0
    w_log_mag: NonNegativeFloat = 1.0
    w_lin_mag: NonNegativeFloat = 0.0
    w_phs: NonNegativeFloat = 0.0
    perceptual_weighting: bool = False
    scale_invariance: bool = False
    eps: PositiveFloat = 1e-8
    reduction: Literal["mean", "sum"] = "mean"
    mag_distance: Literal["L1", "L2"] = "L1"
    log_eps: NonNegativeFloat = 0.0
    log_fac: PositiveFloat = 1.0
    retain_batch_dim: bool = False
    output: Annotated[Literal["loss"], Meta(extra={"refused": {"full": _FULL}})] = "loss"
    device: Annotated[str, Meta(extra={"inert": "filter banks follow the model"})] | None = None


class SpectralWeights(Node, kw_only=True):
    """Weight of the multi-resolution STFT loss.

    Attributes:
        mrstft: Factor of the loss in the sum.
    """

    mrstft: NonNegativeFloat


class SpectralConfig(SpectrumConfig, kw_only=True):
    """Resolutions of the multi-resolution STFT loss (Yamamoto et al. 2020).

    Attributes:
        fft_sizes: Samples per transform, one entry per resolution.
        hop_sizes: Samples between frames.
        win_lengths: Samples under the window.
        scale: Sum magnitudes into bands first.
        n_bins: Bands per resolution; only with `scale`.
    """

    fft_sizes: Sizes = (1024, 2048, 512)
    hop_sizes: Sizes = (120, 240, 50)
    win_lengths: Sizes = (600, 1200, 240)
    scale: Scale | None = None
    n_bins: Sizes | None = None


class SpectralLoss(Node, kw_only=True):
    """Distance of magnitude spectra at several resolutions.

    In stereo half of it is on sum and difference, half on left and right.

    Attributes:
        type: A label that SAT's files carry; the weights say which losses there are.
        config: The resolutions.
        weights: Its weight.
        decay: Factor of the weight at each evaluation; 1 keeps it.
    """

    type: Literal["mrstft"] | None = None
    config: SpectralConfig
    weights: SpectralWeights
    decay: PositiveFloat = 1.0


# -------------------------------------------------------------------------------------- waveforms


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
        type: A label that SAT's files carry; the weights say which losses there are.
        weights: Their weights.
        decay: Factor of the weights at each evaluation; 1 keeps them.
    """

    type: Literal["l1", "l2"] | None = None
    weights: TimeWeights
    decay: PositiveFloat = 1.0


# ------------------------------------------------------------------------------- mel and features


class MelWeights(Node, kw_only=True):
    """Weight of the multi-resolution mel loss.

    Attributes:
        mrmel: Factor of the loss in the sum.
    """

    mrmel: NonNegativeFloat


class MelConfig(Node, kw_only=True):
    """Resolutions of the mel loss; frames are a quarter of the window apart.

    Attributes:
        n_mels: Bands, one entry per resolution.
        window_lengths: Samples under the window.
        pow: Exponent of magnitudes inside the logarithm.
        log_weight: Weight of the distance of logarithms.
        mag_weight: Weight of the distance of magnitudes.
    """

    n_mels: Sizes
    window_lengths: Sizes
    pow: PositiveFloat
    log_weight: NonNegativeFloat
    mag_weight: NonNegativeFloat


class MelLoss(Node, kw_only=True):
    """Distance of mel spectra at several resolutions (Kumar et al. 2023, arXiv 2306.06546).

    Attributes:
        type: A label that SAT's files carry; the weights say which losses there are.
        config: The resolutions; needed unless the weight is 0.
        weights: Its weight.
    """

    type: Literal["mrmel"] | None = None
    config: MelConfig | None = None
    weights: MelWeights


class HubertWeights(Node, kw_only=True):
    """Weight of the feature loss.

    Attributes:
        hubert: Factor of the loss in the sum; 0 loads no network.
    """

    hubert: NonNegativeFloat


class HubertConfig(Node, kw_only=True):
    """Which features are compared.

    Attributes:
        model_name: The network, one of torchaudio's.
        feature_ids: Layers to compare; [-1] takes the convolutional features, all if left out.
    """

    model_name: Literal["HUBERT_LARGE", "WAVLM_LARGE", "WAV2VEC2_LARGE_LV60K"] = "HUBERT_LARGE"
    feature_ids: Annotated[tuple[int, ...], Meta(min_length=1)] | None = None


class HubertLoss(Node, kw_only=True):
    """Distance of the features of a network that learned speech by itself.

    Attributes:
        type: A label that SAT's files carry; the weights say which losses there are.
        config: Which features.
        weights: Its weight.
        decay: Factor of the weight at each evaluation; 1 keeps it.
    """

    type: Literal["hubert"] | None = None
    config: HubertConfig = HubertConfig()
    weights: HubertWeights
    decay: PositiveFloat = 1.0


# ------------------------------------------------------------------------------------- bottleneck


class BottleneckWeights(Node, kw_only=True):
    """Weights of the bottleneck's own losses that can be set.

    Those of quantizers are fixed: quantizer_loss and codebook_loss 1, commitment_loss 0.25.

    Attributes:
        kl: Factor of the divergence from a unit Gaussian; higher makes latents smoother and
            reconstructions worse.
        mmd: Factor of the discrepancy from a Gaussian, for the Wasserstein bottleneck.
        softnorm: Factor of the distance from zero mean and unit variance, for the softnorm
            bottleneck, whose latents nothing shapes without it.
    """

    kl: NonNegativeFloat = 1e-6
    mmd: NonNegativeFloat = 100.0
    softnorm: NonNegativeFloat = 0.0


class BottleneckLoss(Node, kw_only=True):
    """Losses that the bottleneck reports.

    Attributes:
        type: A label that SAT's files carry; the weights say which losses there are.
        weights: Their weights.
    """

    type: Literal["kl", "mmd", "softnorm"] | None = None
    weights: BottleneckWeights = BottleneckWeights()


# ----------------------------------------------------------------------------------------- the sum


class AutoencoderLosses(Node, kw_only=True):
    """The sum that autoencoder training minimises.

    Attributes:
        discriminator: What learns to tell reconstructions from recordings; no adversarial
            training if left out.
        spectral: Multi-resolution STFT distance.
        time: Waveform distance.
        mrmel: Multi-resolution mel distance.
        hubert: Distance of learned features.
        bottleneck: The bottleneck's own losses.
    """

    discriminator: Open[discriminator.DiscriminatorNode] | None = None
    spectral: SpectralLoss
    time: TimeLoss
    mrmel: MelLoss | None = None
    hubert: HubertLoss | None = None
    bottleneck: BottleneckLoss = BottleneckLoss()


_SIZES = (2048, 1024, 512, 256, 128, 64, 32)
_HOPS = (512, 256, 128, 64, 32, 16, 8)

DEFAULT_LOSSES = AutoencoderLosses(
    discriminator=discriminator.EncodecDiscriminatorNode(
        config=discriminator.EncodecDiscriminatorConfig(
            filters=32, n_ffts=_SIZES, hop_lengths=_HOPS, win_lengths=_SIZES
        ),
        weights=discriminator.DiscriminatorWeights(adversarial=0.1, feature_matching=5.0),
    ),
    spectral=SpectralLoss(
        config=SpectralConfig(
            fft_sizes=_SIZES, hop_sizes=_HOPS, win_lengths=_SIZES, perceptual_weighting=True
        ),
        weights=SpectralWeights(mrstft=1.0),
    ),
    time=TimeLoss(weights=TimeWeights(l1=0.0)),
)
"""What SAT minimises when `loss_configs` is left out."""


# ------------------------------------------------------------------------------------- validation


class EvalPESQ(Node, kw_only=True):
    """Perceptual evaluation of speech quality (ITU-T P.862), of speech only.

    SAT 0.0.19 names it and fails; it has nothing to set.
    """


class EvalSTFT(SpectrumConfig, kw_only=True):
    """Distance of spectra at one resolution.

    Attributes:
        fft_size: Samples per transform.
        hop_size: Samples between frames.
        win_length: Samples under the window.
        sample_rate: Samples per second; those of the audio if left out.
        scale: Sum magnitudes into bands first.
        n_bins: How many bands.
    """

    fft_size: Positive = 1024
    hop_size: Positive = 256
    win_length: Positive = 1024
    sample_rate: Hertz | None = None
    scale: Scale | None = None
    n_bins: Positive | None = None


class EvalSISDR(Node, kw_only=True):
    """Scale-invariant signal-to-distortion ratio, in dB (Le Roux et al. 2019).

    Attributes:
        zero_mean: Remove the mean of both signals first.
        eps: Added to energies.
        reduction: Mean or sum over items.
    """

    zero_mean: bool = True
    eps: PositiveFloat = 1e-8
    reduction: Literal["mean", "sum"] = "mean"


class EvalMel(SpectrumConfig, kw_only=True):
    """Distance of mel spectra at one resolution.

    Attributes:
        fft_size: Samples per transform.
        hop_size: Samples between frames.
        win_length: Samples under the window.
        n_mels: Bands.
    """

    fft_size: Positive = 1024
    hop_size: Positive = 256
    win_length: Positive = 1024
    n_mels: Positive = 128


class AutoencoderEvals(Node, kw_only=True):
    """What is measured on reconstructions of the validation set.

    Attributes:
        pesq: Perceived quality of speech.
        stft: Distance of spectra.
        sisdr: Signal-to-distortion ratio.
        mel: Distance of mel spectra.
    """

    pesq: EvalPESQ | None = None
    stft: EvalSTFT | None = None
    sisdr: EvalSISDR | None = None
    mel: EvalMel | None = None
