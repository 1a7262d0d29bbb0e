"""The audio autoencoder: pretransform, encoder, bottleneck, decoder, inverse pretransform."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.audio.experiment import AutoencoderExperiment
from sat_models.bottlenecks.base import (
    Bottleneck,
    DiscreteBottleneck,
    Encoding,
    build_bottleneck,
)
from sat_models.build import build_model
from sat_models.decoders.base import Decoder, build_decoder
from sat_models.encoders.base import Encoder, build_encoder
from sat_models.pretransforms.base import Pretransform, build_pretransform


@dataclass(frozen=True)
class Reconstruction:
    """A signal after its way through an autoencoder.

    Attributes:
        audio: The decoded audio.
        latents: What it was decoded from.
        losses: The bottleneck's own losses by name.
    """

    audio: Float[Tensor, "b c t"]
    latents: Float[Tensor, "b d l"]
    losses: dict[str, Float[Tensor, ""]]


class AudioAutoencoder(nn.Module):
    """Audio to latents and back.

    Deviation from SAT: `hop_length` is what the networks really have, not the declared
    `downsampling_ratio`.

    Attributes:
        encoder: Signal to features.
        decoder: Latents to signal.
        bottleneck: Features to latents; without it they are the same.
        pretransform: Audio to signal and back; without it they are the same.
        sample_rate: Hz of the audio.
        hop_length: Samples of audio per latent frame.
        latent_dim: Channels of the latents.
        in_channels: Channels of the audio that comes in.
        out_channels: Channels of the audio that goes out.
        soft_clip: Whether decoded audio passes through tanh.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        *,
        bottleneck: Bottleneck | None,
        pretransform: Pretransform | None,
        sample_rate: int,
        latent_dim: int,
        in_channels: int,
        out_channels: int,
        soft_clip: bool,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.bottleneck, self.pretransform = bottleneck, pretransform
        self.sample_rate = sample_rate
        self.hop_length = encoder.hop_length * (pretransform.hop_length if pretransform else 1)
        self.latent_dim = latent_dim
        self.in_channels, self.out_channels = in_channels, out_channels
        self.soft_clip = soft_clip

    def encode(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Turn audio into latents.

        Args:
            audio: Samples in [-1, 1] at `sample_rate`; what is beyond the last multiple of
                `hop_length` may be lost.
            sample: Draw from the bottleneck's distribution, if it has one, or take its mean.
            generator: Source of the draw; torch's global one if left out.

        Raises:
            ValueError: As `features`.
        """
        return self.encode_features(self.features(audio), sample=sample, generator=generator)

    def features(self, audio: Float[Tensor, "b c t"]) -> Float[Tensor, "b d2 l"]:
        """What the encoder makes of audio, before the bottleneck.

        Raises:
            ValueError: The audio has other axes or channels, or is shorter than a frame.
        """
        wanted = (self.in_channels, max(audio.shape[-1], self.hop_length))
        if audio.ndim != 3 or audio.shape[1:] != wanted:
            raise ValueError(
                f"expected audio of shape (batch, {self.in_channels}, {self.hop_length} samples or"
                f" more), got {tuple(audio.shape)}"
            )
        signal = audio if self.pretransform is None else self.pretransform.encode(audio)
        features: Tensor = self.encoder(signal)
        return features

    def encode_features(
        self,
        features: Float[Tensor, "b d2 l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Pass an encoder's features through the bottleneck, if there is one."""
        if self.bottleneck is None:
            return Encoding(latents=features)
        return self.bottleneck.encode(features, sample=sample, generator=generator)

    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b c t"]:
        """Turn latents into audio of `l * hop_length` samples.

        Args:
            latents: What `encode` returned, or a model made.
            generator: Source of noise, where the bottleneck adds some for the decoder; torch's
                global one if left out.
        """
        return self.decoder_for(latents)(latents, generator)

    def decoder_for(
        self, latents: Float[Tensor, "b d l"]
    ) -> Callable[[Tensor, torch.Generator | None], Tensor]:
        """A function that decodes pieces of these latents as `decode` does the whole.

        It depends on the latents only in a model that adapts to them.
        """
        return self._decode

    def encode_tokens(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "b q l"]:
        """Turn audio into integer codes; arguments as of `encode`.

        Raises:
            ValueError: The bottleneck has no codes, or as of `encode`.
        """
        bottleneck = self.discrete_bottleneck()
        return bottleneck.encode_tokens(self.features(audio), sample=sample, generator=generator)

    def decode_tokens(
        self, tokens: Int[Tensor, "b q l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b c t"]:
        """Turn integer codes into audio of `l * hop_length` samples; `generator` as of `decode`.

        Raises:
            ValueError: The bottleneck has no codes, or not these.
        """
        bottleneck = self.discrete_bottleneck()
        bottleneck.check_tokens(tokens)
        return self._to_audio(bottleneck.decode_tokens(tokens, generator=generator))

    def discrete_bottleneck(self) -> DiscreteBottleneck:
        """The bottleneck, as one that has codes.

        Raises:
            ValueError: It has none.
        """
        if isinstance(self.bottleneck, DiscreteBottleneck):
            return self.bottleneck
        name = "no bottleneck" if self.bottleneck is None else type(self.bottleneck).__name__
        raise ValueError(f"this autoencoder has {name}, and therefore no codes")

    def _decode(self, latents: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.bottleneck is not None:
            latents = self.bottleneck.decode(latents, generator=generator)
        return self._to_audio(latents)

    def _to_audio(self, latents: Tensor) -> Tensor:
        """What decoder and pretransform make of what the bottleneck hands on."""
        audio: Tensor = self.decoder(latents)
        if self.pretransform is not None:
            audio = self.pretransform.decode(audio)
        return audio.tanh() if self.soft_clip else audio

    def forward(self, audio: Float[Tensor, "b c t"]) -> Reconstruction:
        """Encode, sample and decode."""
        encoding = self.encode(audio)
        return Reconstruction(
            audio=self.decode(encoding.latents), latents=encoding.latents, losses=encoding.losses
        )


def build_autoencoder(node: AutoencoderConfig, *, sample_rate: int) -> AudioAutoencoder:
    """Build an autoencoder, with fresh weights.

    Args:
        node: The autoencoder, as it stands under `model`.
        sample_rate: Hz of the audio.

    Raises:
        MissingBuilderError: Nothing installed builds one of its parts.
    """
    parts = (node.encoder, node.decoder, node.bottleneck)
    encoder = build_encoder(node.encoder)
    decoder = build_decoder(node.decoder)
    bottleneck = None if node.bottleneck is None else build_bottleneck(node.bottleneck)
    for part, module in zip(parts, (encoder, decoder, bottleneck), strict=True):
        if part is not None and module is not None and not part.requires_grad:
            module.requires_grad_(False)
    pretransform = None
    if node.pretransform is not None:
        pretransform = build_pretransform(node.pretransform, sample_rate=sample_rate)
    return AudioAutoencoder(
        encoder,
        decoder,
        bottleneck=bottleneck,
        pretransform=pretransform,
        sample_rate=sample_rate,
        latent_dim=node.latent_dim,
        in_channels=node.in_channels or node.io_channels,
        out_channels=node.out_channels or node.io_channels,
        soft_clip=node.decoder.soft_clip,
    )


@build_model.register
def _(experiment: AutoencoderExperiment) -> AudioAutoencoder:
    return build_autoencoder(experiment.model, sample_rate=experiment.sample_rate)
