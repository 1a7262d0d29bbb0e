"""EnCodec's discriminator: convolutions on complex spectra (Défossez et al. 2022, 2210.13438)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from sat_config.audio.discriminator import EncodecDiscriminatorNode
from sat_models.discriminators.base import (
    Discriminator,
    Judgement,
    Parts,
    build_discriminator,
)
from sat_models.discriminators.conv import NormedConv2d
from sat_models.discriminators.gan import GANLoss, HingeLoss, RelativisticLoss
from sat_models.encoders.seanet import seanet_activation

FEATURE_EPSILON = 1e-3
MAGNITUDE_EPSILON = 1e-6

GAN_LOSSES: dict[str, GANLoss] = {"hinge": HingeLoss(), "rpgan": RelativisticLoss()}


@dataclass(frozen=True, kw_only=True)
class STFTDiscriminatorSizes:
    """What the parts of the discriminator have in common.

    Attributes:
        filters: Channels of the first convolution.
        max_filters: Channels that no convolution exceeds.
        filters_scale: Factor by which each further convolution has more channels.
        out_channels: Channels of the scores.
        kernel_size: Extent of the kernels over frames and bins, both odd.
        stride: Steps of the dilated convolutions over frames and bins.
        dilations: Their dilations over frames.
        normalized: Divide spectra by the root of the window's energy.
        magnitude_power: Bins are multiplied by this power of their magnitude; 0 leaves them.
        make_activation: Makes the activation that follows every convolution but the last.
    """

    filters: int
    max_filters: int
    filters_scale: int
    out_channels: int
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    dilations: Sequence[int]
    normalized: bool
    magnitude_power: float
    make_activation: Callable[[], nn.Module]

    @property
    def widths(self) -> list[int]:
        """Channels after each convolution but the last."""
        count = len(self.dilations) + 2
        return [min(self.filters_scale**i * self.filters, self.max_filters) for i in range(count)]


class EncodecDiscriminator(Discriminator):
    """One network per resolution of the spectrum, with the losses averaged over them.

    Names are those of stable-audio-tools, which has them from encodec (MIT licence). Deviations
    from SAT: `filters_scale` other than 1, or more `filters` than `max_filters`, gives convolutions
    that fit each other; the relativistic loss, whose function SAT forgot to import, works;
    activations are kept for the backward pass, since the feature loss needs them anyway.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        fft_sizes: Sequence[int],
        hop_sizes: Sequence[int],
        win_lengths: Sequence[int],
        sizes: STFTDiscriminatorSizes,
        gan_loss: GANLoss,
        normalize_features: bool,
    ) -> None:
        """Create the networks.

        Args:
            in_channels: Channels of the signals.
            fft_sizes: Samples per transform, one entry per network.
            hop_sizes: Samples between frames, as many.
            win_lengths: Samples under the window, as many.
            sizes: The convolutions.
            gan_loss: The losses of the scores.
            normalize_features: Divide distances of features by the mean size of the real ones.

        Raises:
            ValueError: The three sequences differ in length.
        """
        super().__init__(gan_loss=gan_loss)
        if not len(fft_sizes) == len(hop_sizes) == len(win_lengths) > 0:
            raise ValueError(
                "fft_sizes, hop_sizes and win_lengths need one entry per resolution each; got"
                f" {len(fft_sizes)}, {len(hop_sizes)} and {len(win_lengths)}"
            )
        self.normalize_features = normalize_features
        self.discriminators = Parts(
            _STFTDiscriminator(
                in_channels, _Spectrogram(fft, hop, win, normalized=sizes.normalized), sizes=sizes
            )
            for fft, hop, win in zip(fft_sizes, hop_sizes, win_lengths, strict=True)
        )

    def forward(self, audio: Float[Tensor, "b c t"]) -> Judgement:
        """Judge a batch; it needs at least as many samples as the longest transform."""
        scores, features = zip(*self.discriminators.judge(audio), strict=True)
        return Judgement(scores, features)

    def feature_distance(self, real: Tensor, fake: Tensor) -> Float[Tensor, ""]:
        """The mean absolute difference, relative to the real features on request."""
        distance = super().feature_distance(real, fake)
        if not self.normalize_features:
            return distance
        return distance / (real.abs().mean() + FEATURE_EPSILON)


class _STFTDiscriminator(nn.Module):
    def __init__(
        self, in_channels: int, spec_transform: "_Spectrogram", *, sizes: STFTDiscriminatorSizes
    ) -> None:
        super().__init__()
        self.spec_transform = spec_transform
        self.magnitude_power = sizes.magnitude_power
        self.activation = sizes.make_activation()
        widths, kernel = sizes.widths, sizes.kernel_size
        square = (kernel[0], kernel[0])
        self.convs = nn.ModuleList([_Conv(2 * in_channels, widths[0], kernel)])
        for i, dilation in enumerate(sizes.dilations):
            self.convs.append(
                _Conv(widths[i], widths[i + 1], kernel, stride=sizes.stride, dilation=(dilation, 1))
            )
        self.convs.append(_Conv(widths[-2], widths[-1], square))
        self.conv_post = _Conv(widths[-1], sizes.out_channels, square)

    def forward(self, audio: Float[Tensor, "b c t"]) -> tuple[Tensor, tuple[Tensor, ...]]:
        spectra = self.spec_transform(audio)  # b c f n
        if self.magnitude_power != 0:
            spectra = spectra * (spectra.abs() + MAGNITUDE_EPSILON) ** self.magnitude_power
        x = torch.cat([spectra.real, spectra.imag], dim=1).mT.to(audio.dtype)  # b c n f
        features = []
        for conv in self.convs:
            x = self.activation(conv(x))
            features.append(x)
        return self.conv_post(x), tuple(features)


class _Conv(nn.Module):
    """A convolution one level down, where EnCodec's names have it; keeps the size at stride 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        padding = tuple((size - 1) * step // 2 for size, step in zip(kernel, dilation, strict=True))
        self.conv = NormedConv2d(
            in_channels, out_channels, kernel, stride=stride, padding=padding, dilation=dilation
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x)
        return result


class _Spectrogram(nn.Module):
    """The STFT of frames that lie inside the signal, with a Hann window."""

    window: Tensor

    def __init__(self, fft_size: int, hop_size: int, win_length: int, *, normalized: bool) -> None:
        super().__init__()
        self.fft_size, self.hop_size, self.win_length = fft_size, hop_size, win_length
        self.normalized = normalized
        self.register_buffer("window", torch.hann_window(win_length))

    def forward(self, audio: Float[Tensor, "b c t"]) -> Complex[Tensor, "b c f n"]:
        window = self.window.float()
        spectra: Tensor = torch.stft(
            audio.float().flatten(0, 1),
            self.fft_size,
            self.hop_size,
            self.win_length,
            window,
            center=False,
            return_complex=True,
        )
        spectra = spectra.view(*audio.shape[:2], *spectra.shape[1:])
        return spectra / window.square().sum().sqrt() if self.normalized else spectra


@build_discriminator.register
def build_encodec_discriminator(
    node: EncodecDiscriminatorNode, *, channels: int, sample_rate: int
) -> EncodecDiscriminator:
    """Build an EnCodec discriminator; the sample rate makes no difference."""
    config = node.config
    sizes = STFTDiscriminatorSizes(
        filters=config.filters,
        max_filters=config.max_filters,
        filters_scale=config.filters_scale,
        out_channels=config.out_channels,
        kernel_size=config.kernel_size,
        stride=config.stride,
        dilations=config.dilations,
        normalized=config.normalized,
        magnitude_power=config.spec_scale_pow,
        make_activation=seanet_activation(config.activation, config.activation_params),
    )
    return EncodecDiscriminator(
        channels,
        fft_sizes=config.n_ffts,
        hop_sizes=config.hop_lengths,
        win_lengths=config.win_lengths,
        sizes=sizes,
        gan_loss=GAN_LOSSES[config.loss_type],
        normalize_features=config.normalize_losses,
    )
