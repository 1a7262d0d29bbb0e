"""How far a reconstruction is from its original: the losses of autoencoder training."""

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.loss import AutoencoderLosses
from sat_models.losses.build import build_mel_loss, build_spectral_loss, build_speech_loss
from sat_models.losses.pointwise import l1_distance, l2_distance
from sat_models.losses.stft import MultiResolutionSTFTLoss, SumAndDifferenceSTFTLoss
from sat_models.losses.weight import LossWeight

FIXED_WEIGHTS = {"quantizer_loss": 1.0, "codebook_loss": 1.0, "commitment_loss": 0.25}
"""Weights of the quantizers' own losses, which SAT's files cannot set."""

Terms = dict[str, Float[Tensor, ""]]


class SpectralLoss(nn.Module):
    """The spectral term as SAT computes it.

    Mono, or more than two channels: the multi-resolution loss of all channels. Stereo: that of sum
    and difference. As in SAT the reconstruction is the reference of the spectral convergence, not
    the original.

    Args:
        loss: The loss of one channel.
        channels: Of the signals.
    """

    def __init__(self, loss: MultiResolutionSTFTLoss, *, channels: int) -> None:
        super().__init__()
        self.single = loss
        self.whole: nn.Module = loss
        if channels == 2:
            self.whole = SumAndDifferenceSTFTLoss(loss, sum_weight=1.0, difference_weight=1.0)

    def forward(
        self, audio: Float[Tensor, "b c t"], decoded: Float[Tensor, "b c t"]
    ) -> Float[Tensor, ""]:
        """The distance of a reconstruction."""
        distance: Tensor = self.whole(audio, decoded).mean()
        return distance

    def with_sides(
        self, audio: Float[Tensor, "b c t"], decoded: Float[Tensor, "b c t"]
    ) -> Float[Tensor, ""]:
        """The distance; in stereo also, at half weight each, those of left and right."""
        distance: Tensor = self(audio, decoded)
        if self.whole is self.single:
            return distance
        for side in range(2):
            channel = slice(side, side + 1)
            one: Tensor = self.single(audio[:, channel], decoded[:, channel]).mean()
            distance = distance + one / 2
        return distance


class ReconstructionLosses(nn.Module):
    """The weighted losses of a configuration, discriminators and teachers aside.

    Terms of weight 0 are left out. A weight that fades is part of the state; it shrinks each time
    its loss is asked for.

    Args:
        node: The losses.
        channels: Of the signals.
        sample_rate: Hz of the signals.
    """

    def __init__(self, node: AutoencoderLosses, *, channels: int, sample_rate: int) -> None:
        super().__init__()
        self.spectral = SpectralLoss(
            build_spectral_loss(node.spectral.config, sample_rate=sample_rate), channels=channels
        )
        self.weights = _weights(node)
        decays = {"mrstft": node.spectral.decay, "l1": node.time.decay, "l2": node.time.decay}
        self.mel = self.hubert = None
        self.mel_windows: tuple[int, ...] = ()
        if node.mrmel is not None and node.mrmel.config is not None and self.weights["mrmel"]:
            self.mel = build_mel_loss(node.mrmel.config, sample_rate=sample_rate)
            self.mel_windows = node.mrmel.config.window_lengths
        if node.hubert is not None and self.weights["hubert"]:
            self.hubert = build_speech_loss(node.hubert.config)
            decays["hubert"] = node.hubert.decay
        self.fading = nn.ModuleDict(
            {
                name: LossWeight(self.weights[name], decay=decay)
                for name, decay in decays.items()
                if decay != 1
            }
        )

    def spectral_terms(
        self, audio: Float[Tensor, "b c t"], decoded: Float[Tensor, "b c t"]
    ) -> Terms:
        """The weighted spectral loss; both signals of equal length and float32, as everywhere."""
        if not self.weights["mrstft"]:
            return {}
        return {"mrstft": self.weigh("mrstft", self.spectral.with_sides(audio, decoded))}

    def other_terms(self, audio: Float[Tensor, "b c t"], decoded: Float[Tensor, "b c t"]) -> Terms:
        """The weighted losses of waveforms, mel spectra and learned features."""
        terms: Terms = {}
        if self.weights["l1"]:
            terms["l1"] = l1_distance(decoded, audio)
        if self.weights["l2"]:
            terms["l2"] = l2_distance(decoded, audio)
        if self.mel is not None:
            terms["mrmel"] = self.mel(decoded, audio)
        if self.hubert is not None:
            terms["hubert"] = self.hubert(decoded, audio)
        return {name: self.weigh(name, term) for name, term in terms.items()}

    def bottleneck_terms(self, losses: Terms) -> Terms:
        """What the bottleneck reported, weighted."""
        return {
            name: self.weights[name] * loss for name, loss in losses.items() if self.weights[name]
        }

    def weigh(self, name: str, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """A loss with the weight of its kind."""
        if name not in self.fading:
            return self.weights[name] * loss
        weighted: Tensor = self.fading[name](loss)
        return weighted

    @property
    def shortest_signal(self) -> int:
        """The fewest samples that every transform can take."""
        mel = max(self.mel_windows, default=0) // 2 + 1
        return max(self.spectral.single.shortest_signal, mel)


def _weights(node: AutoencoderLosses) -> dict[str, float]:
    weights = dict(FIXED_WEIGHTS)
    for part in (node.spectral, node.time, node.mrmel, node.hubert, node.bottleneck):
        if part is not None:
            weights |= msgspec.structs.asdict(part.weights)
    return weights


def same_length(
    audio: Float[Tensor, "b c t"], decoded: Float[Tensor, "b c t"]
) -> tuple[Float[Tensor, "b c t"], Float[Tensor, "b c t"]]:
    """Both, as long as the shorter: strides may lose samples, or make more."""
    length = min(audio.shape[-1], decoded.shape[-1])
    return audio[..., :length], decoded[..., :length]


def mixed_to_mono(audio: Float[Tensor, "b c t"]) -> Float[Tensor, "b 1 t"]:
    """The mean of the channels."""
    return audio.mean(dim=1, keepdim=True)


def hide(latents: Float[Tensor, "b d l"], *, share: float) -> Float[Tensor, "b d l"]:
    """Latents with a random share of their values set to zero."""
    return latents.masked_fill(torch.rand_like(latents) < share, 0)
