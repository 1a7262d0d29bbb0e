"""An autoencoder as the first stage of a latent model."""

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.pretransform import AutoencoderPretransformNode
from sat_models.models.autoencoder import AudioAutoencoder, build_autoencoder
from sat_models.pretransforms.base import Pretransform, build_pretransform


class AutoencoderPretransform(Pretransform):
    """The latents of an autoencoder, divided by `scale`.

    With `iterate_batch` the networks see one item at a time; noise is still drawn for the whole
    batch at once, so the latents are the same.

    Deviation from SAT: with `enable_grad`, parts that are frozen by themselves stay frozen.
    """

    def __init__(
        self, model: AudioAutoencoder, *, scale: float, iterate_batch: bool, enable_grad: bool
    ) -> None:
        super().__init__(enable_grad=enable_grad)
        self.model = model
        self.scale = scale
        self.iterate_batch = iterate_batch
        self.channels = model.in_channels
        self.latent_dim = model.latent_dim
        self.hop_length = model.hop_length
        if not enable_grad:
            self.requires_grad_(False)
        self.eval()

    def encode(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Turn audio into latents."""
        with torch.set_grad_enabled(self.enable_grad and torch.is_grad_enabled()):
            features = torch.cat([self.model.features(part) for part in self._parts(audio)])
            encoding = self.model.encode_features(features, sample=sample, generator=generator)
            return encoding.latents / self.scale

    def decode(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Turn latents into audio."""
        parts = self._parts(latents * self.scale)
        return torch.cat([self.model.decode(part) for part in parts])

    def _parts(self, batch: Tensor) -> tuple[Tensor, ...]:
        return torch.split(batch, 1) if self.iterate_batch else (batch,)


@build_pretransform.register
def _(node: AutoencoderPretransformNode, *, sample_rate: int) -> AutoencoderPretransform:
    return AutoencoderPretransform(
        build_autoencoder(node.config, sample_rate=sample_rate),
        scale=node.scale,
        iterate_batch=node.iterate_batch,
        enable_grad=node.enable_grad,
    )
