"""Discriminators of adversarial autoencoder training."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from sat_config.audio.seanet import Activation, ActivationParams
from sat_config.node import Node, NonNegativeFloat, Positive, Probability
from sat_config.registry import family, member, refuse

Sizes = Annotated[tuple[Positive, ...], Meta(min_length=1)]
Band = tuple[Probability, Probability]


class DiscriminatorWeights(Node, kw_only=True):
    """Weights of the losses that a discriminator gives the autoencoder.

    Attributes:
        adversarial: Factor of the loss for being recognised as made.
        feature_matching: Factor of the distance between the discriminator's features.
    """

    adversarial: NonNegativeFloat
    feature_matching: NonNegativeFloat


@family("discriminator")
class DiscriminatorNode(Node, kw_only=True, tag_field="type"):
    """What learns to tell reconstructions from recordings.

    Attributes:
        weights: Weights of its losses.
    """

    weights: DiscriminatorWeights


class EncodecDiscriminatorConfig(Node, kw_only=True):
    """Convolutions on complex spectra at several resolutions (Défossez et al. 2022).

    Attributes:
        filters: Channels of the convolutions.
        normalize_losses: Divide feature distances by the size of the features.
        loss_type: The adversarial loss: hinge, or "rpgan", which compares each recording with what
            was made of it (Jolicoeur-Martineau 2018, 1807.00734). SAT names the latter and fails.
        out_channels: Channels of the scores.
        n_ffts: Samples per transform, one entry per resolution.
        hop_lengths: Samples between frames.
        win_lengths: Samples under the window.
        max_filters: Channels that no convolution exceeds.
        filters_scale: Factor by which each further convolution has more channels.
        kernel_size: Extent of the kernels in time and frequency.
        dilations: Dilation in time, one convolution each.
        stride: Steps of the dilated convolutions in time and frequency.
        normalized: Scale spectra by the energy of the window.
        activation: Class of the activations, by its name in torch.nn.
        activation_params: Their parameters.
        spec_scale_pow: Exponent of the magnitude by which spectra are scaled; 0 leaves them.
    """

    filters: Positive
    normalize_losses: bool = False
    loss_type: Literal["hinge", "rpgan"] = "hinge"
    out_channels: Positive = 1
    n_ffts: Sizes = (1024, 2048, 512)
    hop_lengths: Sizes = (256, 512, 128)
    win_lengths: Sizes = (1024, 2048, 512)
    max_filters: Positive = 1024
    filters_scale: Positive = 1
    kernel_size: tuple[Positive, Positive] = (3, 9)
    dilations: Sizes = (1, 2, 4)
    stride: tuple[Positive, Positive] = (1, 1)
    normalized: bool = True
    activation: Activation = "LeakyReLU"
    activation_params: ActivationParams = ActivationParams(negative_slope=0.2)
    spec_scale_pow: float = 0.0


@member
class EncodecDiscriminatorNode(DiscriminatorNode, kw_only=True, tag="encodec"):
    """EnCodec's discriminator, with as many input channels as the autoencoder has out.

    Attributes:
        config: Its sizes.
    """

    config: EncodecDiscriminatorConfig


class OobleckDiscriminatorConfig(Node, kw_only=True):
    """Convolutions on the waveform at three rates and five periods, with hinge loss.

    Attributes:
        in_channels: Audio channels; must be those that the autoencoder gives.
    """

    in_channels: Positive = 1


@member
class OobleckDiscriminatorNode(DiscriminatorNode, kw_only=True, tag="oobleck"):
    """SAT's own discriminator.

    Attributes:
        config: Its sizes.
    """

    config: OobleckDiscriminatorConfig


class DACDiscriminatorConfig(Node, kw_only=True):
    """Periods of the waveform and bands of spectra (Kumar et al. 2023, arXiv 2306.06546).

    Attributes:
        use_hinge: Hinge loss in place of least squares.
        periods: Samples per period, one network each.
        rates: Factors by which the waveform is slowed down, one network each.
        fft_sizes: Samples per transform, a multiple of 4, one network each.
        bands: Parts of the spectrum that are looked at apart, as shares of the Nyquist frequency.
    """

    use_hinge: bool = False
    periods: tuple[Positive, ...] = (2, 3, 5, 7, 11)
    rates: tuple[Positive, ...] = ()
    fft_sizes: tuple[Annotated[int, Meta(ge=4, multiple_of=4)], ...] = (2048, 1024, 512)
    bands: Annotated[tuple[Band, ...], Meta(min_length=1)] = (
        (0.0, 0.1),
        (0.1, 0.25),
        (0.25, 0.5),
        (0.5, 0.75),
        (0.75, 1.0),
    )


@member
class DACDiscriminatorNode(DiscriminatorNode, kw_only=True, tag="dac"):
    """The Descript Audio Codec's discriminator, at the channels and rate of the autoencoder.

    Attributes:
        config: Its sizes.
    """

    config: DACDiscriminatorConfig


for _tag in ("transformer", "hil"):
    refuse(
        DiscriminatorNode,
        _tag,
        f"the {_tag} discriminator came with stable-audio-tools 0.0.20 and is not available here;"
        " take encodec or dac",
    )

refuse(
    DiscriminatorNode,
    "big_vgan",
    "the big_vgan discriminator, which stable-audio-tools 0.0.19 cannot build, is not available"
    " here either; take dac, whose period networks are the same, or encodec",
)
