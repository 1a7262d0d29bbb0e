"""The bottleneck of a Wasserstein autoencoder (Tolstikhin et al. 2018, 1711.01558)."""

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.bottleneck import WassersteinNode
from sat_models.bottlenecks.base import Bottleneck, Encoding, build_bottleneck
from sat_models.bottlenecks.noise import append_noise
from sat_models.bottlenecks.tanh import soft_limit
from sat_models.layers.noise import randn_like


class WassersteinBottleneck(Bottleneck):
    """Latents as they are, with a loss "mmd" that draws their distribution to a Gaussian.

    The loss is the maximum mean discrepancy between all frames and as many draws, with the kernel
    `exp(-distance ** 2 / d ** 2)` for `d` channels, as in SAT; the paper has `2 d` in place of
    `d ** 2`. It draws noise, so it is there in training only.
    """

    def __init__(self, *, noise_channels: int, penalise: bool, tanh_scale: float | None) -> None:
        """Store the settings.

        Args:
            noise_channels: Channels of noise behind the latents, for the decoder.
            penalise: Whether to compute the loss; it is 0 otherwise.
            tanh_scale: Where to limit latents softly, after the loss; None for nowhere.
        """
        super().__init__()
        self.noise_channels = noise_channels
        self.penalise = penalise
        self.tanh_scale = tanh_scale

    def encode(
        self,
        features: Float[Tensor, "b d l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Hand the features on, or limit them; the loss draws from `generator`."""
        losses = {}
        if self.training:
            losses["mmd"] = (
                mean_discrepancy(features, generator=generator)
                if self.penalise
                else features.new_zeros(())
            )
        latents = features
        if self.tanh_scale is not None:
            latents = soft_limit(features, scale=self.tanh_scale)
        return Encoding(latents=latents, losses=losses)

    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d3 l"]:
        """Put noise behind the latents."""
        return append_noise(latents, num_channels=self.noise_channels, generator=generator)


def mean_discrepancy(
    latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None
) -> Float[Tensor, ""]:
    """The maximum mean discrepancy between frames and draws from a unit Gaussian.

    Memory grows with the square of the number of frames in the batch.
    """
    frames = latents.transpose(1, 2).flatten(0, 1)  # b*l d
    draws = randn_like(frames, generator=generator)
    return _kernel(frames, frames) + _kernel(draws, draws) - 2 * _kernel(frames, draws)


def _kernel(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return torch.exp(-squares.clamp(min=0) / x.shape[1] ** 2).mean()


@build_bottleneck.register
def _(node: WassersteinNode) -> WassersteinBottleneck:
    config = node.config
    return WassersteinBottleneck(
        noise_channels=config.noise_augment_dim,
        penalise=not config.bypass_mmd,
        tanh_scale=config.tanh_scale if config.use_tanh else None,
    )
