"""The published EnCodec codecs (Défossez et al. 2022, 2210.13438) that audiocraft uses."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sat_config.audio.pretransform import AudiocraftPretrainedNode
from sat_models.errors import MissingBuilderError
from sat_models.pretransforms.base import build_pretransform
from sat_models.pretransforms.encodec import EncodecCodec, EncodecSizes
from sat_models.pretransforms.pretrained import PretrainedPretransform

PUBLISHED = {
    "facebook/encodec_32khz": EncodecSizes(
        sample_rate=32_000,
        channels=1,
        width=64,
        strides=(4, 4, 5, 8),
        latent_dim=128,
        num_codebooks=4,
        codebook_size=2048,
        lstm_layers=2,
        causal=False,
        true_skip=True,
    ),
    "facebook/encodec_24khz": EncodecSizes(
        sample_rate=24_000,
        channels=1,
        width=32,
        strides=(2, 4, 5, 8),
        latent_dim=128,
        num_codebooks=32,
        codebook_size=1024,
        lstm_layers=2,
        causal=True,
        true_skip=False,
    ),
}


class AudiocraftPretransform(PretrainedPretransform):
    """An EnCodec codec; names of its weights are those of the files on the hub.

    Latents are the sums of codebook entries, so that they and codes say the same.

    Deviations from SAT: weights come from a file; latents can be encoded and decoded, not only
    codes; computation is in the dtype of the weights, not always in float16.
    """

    def __init__(self, sizes: EncodecSizes, *, name: str, enable_grad: bool) -> None:
        """Create the networks.

        Args:
            sizes: Their sizes.
            name: What to call the codec in messages.
            enable_grad: Whether weights are trained; codebooks never are.
        """
        super().__init__(name=name, enable_grad=enable_grad)
        self.model = _Wrapped(EncodecCodec(sizes))
        self.sample_rate = sizes.sample_rate
        self.hop_length = self._codec.encoder.hop_length
        self.channels, self.latent_dim = sizes.channels, sizes.latent_dim
        self.num_quantizers, self.codebook_size = sizes.num_codebooks, sizes.codebook_size
        self.scale = 1.0
        self.freeze()

    def encode(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Turn audio into quantized latents; nothing is drawn, and no gradient passes.

        Raises:
            CheckpointError: No weights were loaded.
        """
        return self._codec.quantizer.lookup(self.encode_tokens(audio))

    def decode(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Turn latents into audio.

        Raises:
            CheckpointError: No weights were loaded.
        """
        self.require_weights()
        audio: Tensor = self._codec.decoder(latents)
        return audio

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
            tokens: Tensor = self._codec.quantizer(self._codec.encoder(audio))
            return tokens

    def decode_tokens(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b c t"]:
        """Turn integer codes into audio; those of the first codebooks alone give a rougher one.

        Raises:
            CheckpointError: No weights were loaded.
        """
        return self.decode(self._codec.quantizer.lookup(tokens))

    @property
    def _codec(self) -> EncodecCodec:
        return self.model.model


class _Wrapped(nn.Module):
    """One more level, because audiocraft has it, and so have SAT's checkpoints."""

    def __init__(self, model: EncodecCodec) -> None:
        super().__init__()
        self.model = model


@build_pretransform.register
def _(node: AudiocraftPretrainedNode, *, sample_rate: int) -> AudiocraftPretransform:
    name = node.config.model_type
    if name not in PUBLISHED:
        raise MissingBuilderError(
            f"audiocraft_pretrained: the sizes of {name!r} are not known; model_type is one of"
            f" {', '.join(PUBLISHED)}; a Descript codec is a pretransform of type dac_pretrained"
        )
    return AudiocraftPretransform(PUBLISHED[name], name=name, enable_grad=node.enable_grad)
