"""SAT's own discriminator: convolutions on waveforms at three rates and in five foldings."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.discriminator import OobleckDiscriminatorNode
from sat_models.discriminators.base import (
    Discriminator,
    Judgement,
    Parts,
    build_discriminator,
)
from sat_models.discriminators.conv import NormedConv1d, NormedConv2d
from sat_models.discriminators.gan import HingeLoss

WIDTHS = (32, 64, 128, 256)
KERNEL = 15
STRIDE = 4
NUM_RATES = 3
PERIODS = (2, 3, 5, 7, 11)


class OobleckDiscriminator(Discriminator):
    """Hinge loss on one score per item: the sum of eight networks' mean scores.

    After MelGAN (Kumar et al. 2019, 1910.06711) and HiFi-GAN (Kong et al. 2020, 2010.05646), but
    with square kernels on the folded waveform, 50 million weights in all. The feature loss is the
    *sum* over all 40 convolutions, taken before their activations, and not an average as elsewhere.

    Args:
        in_channels: Channels of the signals.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__(gan_loss=HingeLoss())
        self.multi_discriminator = Parts(
            [_Rates(in_channels, NUM_RATES), _Periods(in_channels, PERIODS)]
        )

    def forward(self, audio: Float[Tensor, "b c t"]) -> Judgement:
        """Judge a batch."""
        rates, periods = self.multi_discriminator.judge(audio)
        scores, features = zip(*rates, *periods, strict=True)
        return Judgement((torch.stack(scores).sum(0),), features)

    def feature_matching(self, real: Judgement, fake: Judgement) -> Float[Tensor, ""]:
        """The sum over all layers of the mean absolute differences."""
        return torch.stack(
            [
                self.feature_distance(r, f)
                for part in zip(real.features, fake.features, strict=True)
                for r, f in zip(*part, strict=True)
            ]
        ).sum()


Result = tuple[Tensor, tuple[Tensor, ...]]


class _Network(nn.Module):
    """Four strided convolutions and one of one tap: the mean score, and all their results."""

    def __init__(self, in_channels: int, *, folded: bool) -> None:
        super().__init__()
        normed, plain = (NormedConv2d, nn.Conv2d) if folded else (NormedConv1d, nn.Conv1d)
        layers: list[nn.Module] = []
        for before, after in zip((in_channels, *WIDTHS), WIDTHS, strict=False):
            layers += [normed(before, after, KERNEL, stride=STRIDE, padding=KERNEL // 2), nn.SiLU()]
        self.net = nn.ModuleList([*layers, plain(WIDTHS[-1], 1, 1)])

    def forward(self, x: Tensor) -> Result:
        features = []
        for layer in self.net:
            x = layer(x)
            if not isinstance(layer, nn.SiLU):
                features.append(x)
        return x.flatten(1).mean(1), tuple(features)


class _Rates(nn.Module):
    """Networks on the waveform and on means of two, four ... neighbours."""

    def __init__(self, in_channels: int, num_rates: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Network(in_channels, folded=False) for _ in range(num_rates))

    def forward(self, audio: Float[Tensor, "b c t"]) -> list[Result]:
        results = []
        for network in self.layers:
            results.append(network(audio))
            audio = functional.avg_pool1d(audio, 2)
        return results


class _Periods(nn.Module):
    """Networks on the waveform folded into columns of a period."""

    def __init__(self, in_channels: int, periods: Sequence[int]) -> None:
        super().__init__()
        self.periods = tuple(periods)
        self.layers = nn.ModuleList(_Network(in_channels, folded=True) for _ in periods)

    def forward(self, audio: Float[Tensor, "b c t"]) -> list[Result]:
        results = []
        for network, period in zip(self.layers, self.periods, strict=True):
            padded = functional.pad(audio, (0, -audio.shape[-1] % period))
            results.append(network(padded.view(*audio.shape[:2], -1, period)))
        return results


@build_discriminator.register
def build_oobleck_discriminator(
    node: OobleckDiscriminatorNode, *, channels: int, sample_rate: int
) -> OobleckDiscriminator:
    """Build an Oobleck discriminator; the node says its channels itself, as SAT's files do."""
    return OobleckDiscriminator(node.config.in_channels)
