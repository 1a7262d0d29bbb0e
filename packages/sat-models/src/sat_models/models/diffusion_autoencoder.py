"""The diffusion autoencoder: a diffusion model decodes an encoder's latents (2111.15640)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.diffusion_autoencoder import DiffusionAutoencoderConfig
from sat_config.audio.experiment import DiffusionAutoencoderExperiment
from sat_models.backbones.autoencoder import build_autoencoder_backbone
from sat_models.backbones.base import ConditionedBackbone
from sat_models.backbones.conditioning import Conditioning
from sat_models.bottlenecks.base import Bottleneck, Encoding, build_bottleneck
from sat_models.build import build_model
from sat_models.decoders.base import Decoder, build_decoder
from sat_models.encoders.base import Encoder, build_encoder
from sat_models.layers.noise import randn_like
from sat_models.models.objectives import Objective
from sat_models.pretransforms.base import Pretransform, build_pretransform
from sat_models.sampling.steps import Callback, ignore
from sat_models.sampling.table import Solver, Start
from sat_models.sampling.table import sample as sample_with

INITIAL_ENCODER_SCALE = 0.5


class DiffusionAutoencoder(nn.Module):
    """Audio to latents, and by diffusion back (Preechakul et al. 2022, 2111.15640).

    The "signal" is the audio, or what a pretransform makes of it; the diffusion model works on
    that. Latents condition it as channels beside the signal, stretched to its length by repetition,
    after a decoder if there is one.

    Deviations from SAT: decoding works with a decoder as well, where SAT calls itself without end;
    the sampler is the one that suits the backbone's objective; `hop_length` is what the networks
    really have, not the declared `downsampling_ratio`.

    Attributes:
        encoder: Signal to features; without it they are the same.
        decoder: Latents to the condition; without it they are the same.
        bottleneck: Features to latents; without it they are the same.
        pretransform: Audio to signal and back; without it they are the same.
        diffusion: Predicts the signal from noise and condition.
        objective: What it predicts.
        sample_rate: Hz of the audio.
        hop_length: Samples of audio per latent frame.
        length_multiple: The number of samples of audio must be a multiple of this.
        latent_dim: Channels of the latents.
        io_channels: Channels of the signal.
        in_channels: Channels of the audio that comes in.
        out_channels: Channels of the audio that goes out.
    """

    def __init__(
        self,
        diffusion: ConditionedBackbone,
        *,
        encoder: Encoder | None,
        decoder: Decoder | None,
        bottleneck: Bottleneck | None,
        pretransform: Pretransform | None,
        sample_rate: int,
        latent_dim: int,
        io_channels: int,
    ) -> None:
        """Put the parts together.

        The encoder's fresh weights are halved, so that a bottleneck does not saturate at first.
        """
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.bottleneck, self.pretransform = bottleneck, pretransform
        self.diffusion = diffusion
        self.objective: Objective = diffusion.objective
        self.sample_rate, self.latent_dim, self.io_channels = sample_rate, latent_dim, io_channels
        self.in_channels = self.out_channels = (
            io_channels if pretransform is None else pretransform.channels
        )
        inner = 1 if pretransform is None else pretransform.hop_length
        self._signal_hop = 1 if encoder is None else encoder.hop_length
        self.hop_length = inner * self._signal_hop
        self.length_multiple = inner * math.lcm(self._signal_hop, diffusion.frame_multiple)
        if encoder is not None:
            with torch.no_grad():
                for parameter in encoder.parameters():
                    parameter.mul_(INITIAL_ENCODER_SCALE)

    def forward(
        self,
        x: Float[Tensor, "b c t"],
        t: Float[Tensor, " b"],
        condition: Float[Tensor, "b d t"],
    ) -> Float[Tensor, "b c t"]:
        """Predict from a noisy signal.

        Args:
            x: The signal with noise.
            t: How much noise, in [0, 1]; 1 is noise alone.
            condition: What `condition_for` made of latents.
        """
        prediction: Tensor = self.diffusion(x, t, Conditioning(input_concat=condition))
        return prediction

    def to_signal(self, audio: Float[Tensor, "b c t"]) -> Float[Tensor, "b c2 t2"]:
        """What the diffusion model works on."""
        return audio if self.pretransform is None else self.pretransform.encode(audio)

    def encode(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Turn audio into latents.

        Args:
            audio: Samples in [-1, 1] at `sample_rate`.
            sample: Draw from the bottleneck's distribution, if it has one, or take its mean.
            generator: Source of the draw; torch's global one if left out.
        """
        return self.encode_signal(self.to_signal(audio), sample=sample, generator=generator)

    def encode_signal(
        self,
        signal: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Turn a signal into latents; arguments as of `encode`."""
        features: Tensor = signal if self.encoder is None else self.encoder(signal)
        if self.bottleneck is None:
            return Encoding(latents=features)
        return self.bottleneck.encode(features, sample=sample, generator=generator)

    def condition_for(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d2 t"]:
        """What conditions the diffusion model, at the rate of the signal.

        Args:
            latents: The latents.
            generator: Source of noise, where the bottleneck adds some for the decoder; torch's
                global one if left out.
        """
        length = latents.shape[-1] * self._signal_hop
        if self.bottleneck is not None:
            latents = self.bottleneck.decode(latents, generator=generator)
        condition: Tensor = latents if self.decoder is None else self.decoder(latents)
        if condition.shape[-1] == length:
            return condition
        return functional.interpolate(condition, size=length, mode="nearest")

    @torch.no_grad()
    def decode(
        self,
        latents: Float[Tensor, "b d l"],
        *,
        solver: Solver,
        generator: torch.Generator | None = None,
        callback: Callback = ignore,
    ) -> Float[Tensor, "b c t"]:
        """Sample audio of `l * hop_length` samples that latents describe, without gradients.

        Args:
            latents: The latents.
            solver: How the diffusion model is followed.
            generator: Source of all noise; torch's global one if left out.
            callback: Called after each step.

        Raises:
            SamplerError: The sampler does not fit what the diffusion model predicts.
            ValueError: The audio would be of a length that the diffusion model cannot take.
        """
        samples = latents.shape[-1] * self.hop_length
        if samples % self.length_multiple:
            raise ValueError(
                f"{latents.shape[-1]} latent frames are {samples} samples; the diffusion model"
                f" needs a multiple of {self.length_multiple}"
            )
        condition = self.condition_for(latents, generator=generator)
        like = condition.new_empty(condition.shape[0], self.io_channels, condition.shape[-1])
        signal = sample_with(
            solver,
            lambda x, t: self(x, t, condition),
            Start(randn_like(like, generator=generator), init=None, init_noise_level=1.0),
            objective=self.objective,
            generator=generator,
            callback=callback,
        )
        return signal if self.pretransform is None else self.pretransform.decode(signal)


def build_diffusion_autoencoder(
    node: DiffusionAutoencoderConfig, *, sample_rate: int
) -> DiffusionAutoencoder:
    """Build a diffusion autoencoder, with fresh weights.

    Args:
        node: The model, as it stands under `model`.
        sample_rate: Hz of the audio.

    Raises:
        MissingBuilderError: Nothing installed builds one of its parts.
    """
    encoder = None if node.encoder is None else build_encoder(node.encoder)
    decoder = None if node.decoder is None else build_decoder(node.decoder)
    bottleneck = None if node.bottleneck is None else build_bottleneck(node.bottleneck)
    parts = ((node.encoder, encoder), (node.decoder, decoder), (node.bottleneck, bottleneck))
    for part, module in parts:
        if part is not None and module is not None and not part.requires_grad:
            module.requires_grad_(False)
    pretransform = None
    if node.pretransform is not None:
        pretransform = build_pretransform(node.pretransform, sample_rate=sample_rate)
    return DiffusionAutoencoder(
        build_autoencoder_backbone(node.diffusion),
        encoder=encoder,
        decoder=decoder,
        bottleneck=bottleneck,
        pretransform=pretransform,
        sample_rate=sample_rate,
        latent_dim=node.latent_dim,
        io_channels=node.io_channels,
    )


@build_model.register
def _(experiment: DiffusionAutoencoderExperiment) -> DiffusionAutoencoder:
    return build_diffusion_autoencoder(experiment.model, sample_rate=experiment.sample_rate)
