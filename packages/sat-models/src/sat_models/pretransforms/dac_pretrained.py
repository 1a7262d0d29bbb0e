"""The published Descript audio codecs (Kumar et al. 2023, 2306.06546)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.pretransform import DACPretrainedNode
from sat_models.bottlenecks.dac_rvq import DACResidualQuantizer
from sat_models.decoders.dac import DACDecoder
from sat_models.encoders.dac import DACEncoder
from sat_models.layers.weight_norm import same_length_conv
from sat_models.pretransforms.base import build_pretransform
from sat_models.pretransforms.pretrained import PretrainedPretransform


@dataclass(frozen=True)
class DACSizes:
    """Sizes of a codec.

    Attributes:
        sample_rate: Hz of the audio.
        width: Channels of the encoder before its first stage.
        strides: Factors by which the encoder shortens; the decoder has them in reverse.
        latent_dim: Channels of the latents.
        decoder_width: Channels of the decoder before its first stage.
        num_codebooks: Codes per frame.
        codebook_size: Different values of a code.
        codebook_dim: Channels within the codebooks.
    """

    sample_rate: int
    width: int
    strides: Sequence[int]
    latent_dim: int
    decoder_width: int
    num_codebooks: int
    codebook_size: int
    codebook_dim: int


class DACPretrainedPretransform(PretrainedPretransform):
    """A Descript codec for mono audio; names of its weights are those of the published files.

    Deviations from SAT: weights come from a file; codes can be decoded; what odd strides leave
    short at the end of decoded audio is filled with zeros.
    """

    def __init__(
        self,
        sizes: DACSizes,
        *,
        name: str,
        scale: float,
        quantize_on_decode: bool,
        enable_grad: bool,
    ) -> None:
        """Create the networks.

        Args:
            sizes: Their sizes.
            name: What to call the codec in messages.
            scale: What latents are divided by.
            quantize_on_decode: Hand out latents before quantization, which then happens in
                `decode`; else `encode` quantizes them.
            enable_grad: Whether weights are trained.
        """
        super().__init__(name=name, enable_grad=enable_grad)
        self.model = _Codec(sizes)
        self.sample_rate = sizes.sample_rate
        self.hop_length = self.model.hop_length
        self.channels, self.latent_dim = 1, sizes.latent_dim
        self.num_quantizers, self.codebook_size = sizes.num_codebooks, sizes.codebook_size
        self.scale = scale
        self.quantize_on_decode = quantize_on_decode
        self.freeze()

    def encode(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Turn audio into latents; nothing is drawn.

        Raises:
            CheckpointError: No weights were loaded.
        """
        self.require_weights()
        with self.gradients():
            latents: Tensor = self.model.encoder(audio)
            if not self.quantize_on_decode:
                latents = self.model.quantizer(latents).latents
            return latents / self.scale

    def decode(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Turn latents into audio.

        Raises:
            CheckpointError: No weights were loaded.
        """
        self.require_weights()
        latents = latents * self.scale
        if self.quantize_on_decode:
            latents = self.model.quantizer(latents).latents
        return self.model.to_audio(latents)

    def encode_tokens(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "b q l"]:
        """Turn audio into integer codes; nothing is drawn.

        Raises:
            CheckpointError: No weights were loaded.
        """
        self.require_weights()
        with torch.no_grad():
            tokens: Tensor = self.model.quantizer(self.model.encoder(audio)).tokens
            return tokens

    def decode_tokens(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b c t"]:
        """Turn integer codes into audio; those of the first codebooks alone give a rougher one.

        Raises:
            CheckpointError: No weights were loaded.
        """
        self.require_weights()
        return self.model.to_audio(self.model.quantizer.lookup(tokens))


class _Codec(nn.Module):
    """Encoder, codebooks and decoder under the names of the published files."""

    def __init__(self, sizes: DACSizes) -> None:
        super().__init__()
        encoder = DACEncoder(1, width=sizes.width, strides=sizes.strides, latent_dim=None)
        decoder = DACDecoder(
            sizes.latent_dim,
            width=sizes.decoder_width,
            strides=tuple(reversed(sizes.strides)),
            out_channels=1,
        )
        self.hop_length = encoder.hop_length
        self.encoder = encoder.encoder
        # The published codecs go to the latents' width in the last convolution, SAT's one after it.
        self.encoder.block[-1] = same_length_conv(
            encoder.latent_dim, sizes.latent_dim, kernel_size=3, dilation=1, bias=True
        )
        self.quantizer = DACResidualQuantizer(
            sizes.latent_dim,
            codebook_size=sizes.codebook_size,
            codebook_dims=[sizes.codebook_dim] * sizes.num_codebooks,
            dropout=0.0,
        )
        self.decoder = decoder.decoder

    def to_audio(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Decode quantized latents."""
        audio: Tensor = self.decoder(latents)
        return functional.pad(audio, (0, latents.shape[-1] * self.hop_length - audio.shape[-1]))


def published_sizes(node: DACPretrainedNode) -> DACSizes:
    """The sizes of a published codec."""
    model_type = node.config.model_type
    return DACSizes(
        sample_rate=node.sample_rate,
        width=64,
        strides=(2, 4, 8, 8) if model_type == "44khz" else (2, 4, 5, 8),
        latent_dim=node.latent_dim,
        decoder_width=1536,
        num_codebooks=node.num_quantizers,
        codebook_size=node.codebook_size,
        codebook_dim=8,
    )


@build_pretransform.register
def _(node: DACPretrainedNode, *, sample_rate: int) -> DACPretrainedPretransform:
    config = node.config
    return DACPretrainedPretransform(
        published_sizes(node),
        name=f"the Descript codec {config.model_type} {config.model_bitrate}",
        scale=config.scale,
        quantize_on_decode=config.quantize_on_decode,
        enable_grad=node.enable_grad,
    )
