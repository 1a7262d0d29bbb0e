"""A bottleneck whose latents a loss draws to zero mean and unit variance."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.bottleneck import SoftNormNode
from sat_models.bottlenecks.base import Bottleneck, Encoding, build_bottleneck
from sat_models.layers.noise import randn_like

MIN_VARIANCE = 1e-4
MIN_STDEV = 1e-4
SHARE_OVER_CHANNELS = 0.4
STDEV_DECAY = 0.999
NOISE_SHARE = 0.05


class SoftNormBottleneck(Bottleneck):
    """A learned scale and offset per channel; the loss "softnorm" wants them to normalise.

    The loss is the divergence from a unit Gaussian of each channel's moments over time, plus 0.4
    of the same of each frame's moments over its channels. It is there in training only.

    Deviations from SAT: stable-audio-tools 0.0.19 has the class and never builds it, so this
    follows what stable-audio-3 has (see there for `auto_scale` and `freeze`); but noise is added
    in training only, as in 0.0.19, so that decoding gives the same twice.

    Attributes:
        scaling_factor: Scale of each channel.
        bias: Offset of each channel.
        noise_scaling_factor: Scale of each channel of noise behind the latents.
        running_std: Running standard deviation of all latents, where they are divided by it.
    """

    running_std: Tensor | None

    def __init__(
        self,
        channels: int,
        *,
        noise_channels: int,
        add_noise: bool,
        auto_scale: bool,
        freeze: bool,
    ) -> None:
        """Create the parameters.

        Args:
            channels: Channels of the latents.
            noise_channels: Channels of noise behind the latents, for the decoder.
            add_noise: Whether a twentieth of the latents' standard deviation is added to them as
                noise before the decoder, in training.
            auto_scale: Whether to divide latents by their running standard deviation.
            freeze: Whether nothing in here changes.
        """
        super().__init__()
        self.scaling_factor = nn.Parameter(torch.ones(1, channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1))
        self.noise_scaling_factor = nn.Parameter(torch.ones(1, noise_channels, 1))
        self.register_buffer("running_std", torch.ones(1) if auto_scale else None)
        self.add_noise = add_noise
        self.freeze = freeze
        if freeze:
            self.requires_grad_(False)

    def encode(
        self,
        features: Float[Tensor, "b d l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Scale and shift the features; nothing is drawn."""
        latents = features * self.scaling_factor + self.bias
        if self.running_std is not None:
            if self.training and not self.freeze:
                self._follow(latents)
            latents = latents / self.running_std
        if not self.training:
            return Encoding(latents=latents)
        loss = _divergence(latents, dim=-1) + SHARE_OVER_CHANNELS * _divergence(latents, dim=-2)
        return Encoding(latents=latents, losses={"softnorm": loss})

    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d3 l"]:
        """Undo the running scale, and put noise behind the latents."""
        if self.running_std is not None:
            latents = latents * self.running_std
        if self.add_noise and self.training:
            scale = (
                latents.std(dim=-1, keepdim=True)
                if self.running_std is None
                else (self.running_std)
            )
            noise = randn_like(latents, generator=generator)
            latents = latents + noise * scale * NOISE_SHARE
        if not self.noise_scaling_factor.numel():
            return latents
        batch, _, frames = latents.shape
        noise = latents.new_empty(batch, self.noise_scaling_factor.shape[1], frames)
        noise = self.noise_scaling_factor * randn_like(noise, generator=generator)
        return torch.cat([latents, noise], dim=1)

    @torch.no_grad()
    def _follow(self, latents: Tensor) -> None:
        assert self.running_std is not None  # noqa: S101 - called only if it is there
        self.running_std.lerp_(latents.std(), 1 - STDEV_DECAY).clamp_(min=MIN_STDEV)


def _divergence(latents: Float[Tensor, "b d l"], *, dim: int) -> Float[Tensor, ""]:
    variance = latents.var(dim=dim).clamp(min=MIN_VARIANCE)
    return (latents.mean(dim=dim).square() + variance - variance.log() - 1).mean()


@build_bottleneck.register
def _(node: SoftNormNode) -> SoftNormBottleneck:
    config = node.config
    return SoftNormBottleneck(
        config.dim,
        noise_channels=config.noise_augment_dim,
        add_noise=config.noise_regularize,
        auto_scale=config.auto_scale,
        freeze=config.freeze,
    )
