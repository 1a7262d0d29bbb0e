"""An autoencoder as the first stage of a latent model."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sat_config.audio.pretransform import AutoencoderPretransformNode
from sat_models.bottlenecks.base import DiscreteBottleneck
from sat_models.models.autoencoder import AudioAutoencoder, build_autoencoder
from sat_models.models.chunks import decode_in_chunks, features_in_chunks
from sat_models.pretransforms.base import Pretransform, build_pretransform

CHUNK_FRAMES = 128
OVERLAP_FRAMES = 32


class AutoencoderPretransform(Pretransform):
    """The latents of an autoencoder, divided by `scale`.

    With `iterate_batch` the networks see one item at a time, and with `chunked` pieces of 128
    frames of which neighbours share 32; the bottleneck still sees everything at once, so noise and
    codes are the same, as far as 16 frames are more than what a frame depends on. With `half`,
    weights are float16 and so is all computation; what comes out is float32.

    Deviations from SAT: with `enable_grad`, parts that are frozen by themselves stay frozen;
    chunks work for any length, go together with `iterate_batch`, and draw noise once.
    """

    def __init__(
        self,
        model: AudioAutoencoder,
        *,
        scale: float,
        half: bool,
        iterate_batch: bool,
        chunked: bool,
        enable_grad: bool,
    ) -> None:
        """Wrap an autoencoder.

        Args:
            model: The autoencoder.
            scale: What latents are divided by.
            half: Whether to compute in float16.
            iterate_batch: Whether to compute one item at a time.
            chunked: Whether to compute in pieces.
            enable_grad: Whether its weights are trained.
        """
        super().__init__(enable_grad=enable_grad)
        self.model = model.half() if half else model
        self.scale = scale
        self.half_precision = half
        self.iterate_batch = iterate_batch
        self.chunked = chunked
        self.channels = model.in_channels
        self.latent_dim = model.latent_dim
        self.hop_length = model.hop_length
        if isinstance(model.bottleneck, DiscreteBottleneck):
            self.num_quantizers = model.bottleneck.num_quantizers
            self.codebook_size = model.bottleneck.codebook_size
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
        with self._gradients():
            features = self._features(audio)
            encoding = self.model.encode_features(features, sample=sample, generator=generator)
            return self._out(encoding.latents) / self.scale

    def decode(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Turn latents into audio."""
        parts = self._parts(self._in(latents * self.scale))
        return self._out(torch.cat([self._decode(part) for part in parts]))

    def encode_tokens(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "b q l"]:
        """Turn audio into integer codes.

        Raises:
            ValueError: The autoencoder has no codes.
        """
        bottleneck = self.model.discrete_bottleneck()
        with torch.no_grad():
            features = self._features(audio)
            return bottleneck.encode_tokens(features, sample=sample, generator=generator)

    def decode_tokens(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b c t"]:
        """Turn integer codes into audio.

        Raises:
            ValueError: The autoencoder has no codes.
        """
        return self._out(torch.cat([self.model.decode_tokens(t) for t in self._parts(tokens)]))

    @contextmanager
    def _gradients(self) -> Iterator[None]:
        with torch.set_grad_enabled(self.enable_grad and torch.is_grad_enabled()):
            yield

    def _features(self, audio: Tensor) -> Tensor:
        parts = self._parts(self._in(audio))
        if not self.chunked:
            return torch.cat([self.model.features(part) for part in parts])
        return torch.cat(
            [
                features_in_chunks(self.model, part, chunk=CHUNK_FRAMES, overlap=OVERLAP_FRAMES)
                for part in parts
            ]
        )

    def _decode(self, latents: Tensor) -> Tensor:
        if not self.chunked:
            return self.model.decode(latents)
        return decode_in_chunks(self.model, latents, chunk=CHUNK_FRAMES, overlap=OVERLAP_FRAMES)

    def _parts(self, batch: Tensor) -> tuple[Tensor, ...]:
        return torch.split(batch, 1) if self.iterate_batch else (batch,)

    def _in(self, x: Tensor) -> Tensor:
        return x.half() if self.half_precision else x

    def _out(self, x: Tensor) -> Tensor:
        return x.float() if self.half_precision else x


@build_pretransform.register
def _(node: AutoencoderPretransformNode, *, sample_rate: int) -> AutoencoderPretransform:
    return AutoencoderPretransform(
        build_autoencoder(node.config, sample_rate=sample_rate),
        scale=node.scale,
        half=node.model_half,
        iterate_batch=node.iterate_batch,
        chunked=node.chunked,
        enable_grad=node.enable_grad,
    )
