"""Pretransforms: the frozen first stage of a latent model."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

from msgspec import Meta

import sat_config.audio.autoencoder as autoencoder
from sat_config.node import Node, Positive, PositiveFloat
from sat_config.registry import family, member


@family("pretransform")
class PretransformNode(Node, kw_only=True, tag_field="type"):
    """What turns audio into the signal that a model works on, and back.

    Attributes:
        enable_grad: Train its weights along with the model.
    """

    training_keys: ClassVar[tuple[str, ...]] = ("enable_grad",)

    enable_grad: bool = False

    @property
    def hop_length(self) -> int | None:
        """Samples per frame of what comes out; None if only its weights tell."""
        raise NotImplementedError

    @property
    def latent_dim(self) -> int | None:
        """Channels of what comes out; None if only its weights tell."""
        raise NotImplementedError

    @property
    def channels(self) -> int | None:
        """Channels of the audio; None if only its weights tell."""
        raise NotImplementedError

    @property
    def sample_rate(self) -> int | None:
        """Hz of the audio that it was made for; None if it takes any."""
        return None

    @property
    def is_discrete(self) -> bool:
        """Whether what comes out can be written as integer codes."""
        return False

    @property
    def num_quantizers(self) -> int | None:
        """Codes per frame; None if there are none or only its weights tell."""
        return None

    @property
    def codebook_size(self) -> int | None:
        """Different values of a code; None if there are none or only its weights tell."""
        return None


@member
class AutoencoderPretransformNode(PretransformNode, kw_only=True, tag="autoencoder"):
    """An autoencoder's latents.

    Attributes:
        config: The autoencoder, as it stands under `model` in its own document.
        scale: Latents are divided by this on encoding and multiplied on decoding.
        model_half: Compute in float16 and hand out float32; faster on a GPU, less exact.
        iterate_batch: Encode and decode one item at a time; slower, needs less memory.
        chunked: Encode and decode in overlapping pieces of 128 frames, for long audio in little
            memory.
    """

    training_keys: ClassVar[tuple[str, ...]] = ("iterate_batch",)

    config: autoencoder.AutoencoderConfig
    scale: PositiveFloat = 1.0
    model_half: bool = False
    iterate_batch: bool = False
    chunked: bool = False

    @property
    def hop_length(self) -> int:
        """Samples per latent frame."""
        return self.config.downsampling_ratio

    @property
    def latent_dim(self) -> int:
        """Channels of the latents."""
        return self.config.latent_dim

    @property
    def channels(self) -> int:
        """Channels of the audio."""
        return self.config.io_channels

    @property
    def is_discrete(self) -> bool:
        """Whether its bottleneck is."""
        return self.config.bottleneck is not None and self.config.bottleneck.is_discrete

    @property
    def num_quantizers(self) -> int | None:
        """Those of its bottleneck."""
        return self.config.bottleneck.num_quantizers if self.config.bottleneck else None

    @property
    def codebook_size(self) -> int | None:
        """That of its bottleneck."""
        return self.config.bottleneck.codebook_size if self.config.bottleneck else None


class WaveletConfig(Node, kw_only=True):
    """A wavelet transform.

    Attributes:
        channels: Channels of the audio.
        levels: Splits into a lower and an upper half, 0 to 32; each halves the frames and doubles
            the channels.
        wavelet: Filters, by their name in PyWavelets; longer ones separate better.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("channels", "wavelet")

    channels: Positive
    levels: Annotated[int, Meta(ge=0, le=32)]
    wavelet: Literal["bior2.2", "bior2.4", "bior2.6", "bior2.8", "bior4.4", "bior6.8"]


@member
class WaveletNode(PretransformNode, kw_only=True, tag="wavelet"):
    """Bands of a biorthogonal wavelet transform, as channels.

    Attributes:
        config: Its filters and depth.
    """

    config: WaveletConfig

    @property
    def hop_length(self) -> int:
        """Two to the power of the levels."""
        return 1 << self.config.levels

    @property
    def latent_dim(self) -> int:
        """A channel per audio channel and band."""
        return self.config.channels * self.hop_length

    @property
    def channels(self) -> int:
        """Channels of the audio."""
        return self.config.channels


class PQMFConfig(Node, kw_only=True):
    """A bank of pseudo quadrature mirror filters.

    Attributes:
        attenuation: Attenuation of the other bands, in dB; higher needs longer filters.
        num_bands: Bands of equal width.
        channels: Channels of the audio.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("attenuation", "num_bands")

    attenuation: Positive = 100
    num_bands: Literal[2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] = 16
    channels: Positive = 1


@member
class PQMFNode(PretransformNode, kw_only=True, tag="pqmf"):
    """Bands of a filter bank, as channels (Nguyen 1994).

    Attributes:
        config: The filter bank.
    """

    config: PQMFConfig

    @property
    def hop_length(self) -> int:
        """The number of bands."""
        return self.config.num_bands

    @property
    def latent_dim(self) -> int:
        """A channel per audio channel and band."""
        return self.config.channels * self.config.num_bands

    @property
    def channels(self) -> int:
        """Channels of the audio."""
        return self.config.channels


class DACPretrainedConfig(Node, kw_only=True):
    """Which of the published Descript codecs.

    Attributes:
        model_type: The sample rate that it was trained for.
        model_bitrate: 16kbps exists for 44khz only.
        scale: Latents are divided by this on encoding and multiplied on decoding.
        quantize_on_decode: Hand out latents before quantization, which then happens when they are
            decoded; else they are quantized at once.
        chunked: A key of SAT's files.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("model_type", "model_bitrate")

    model_type: Literal["44khz", "24khz", "16khz"] = "44khz"
    model_bitrate: Literal["8kbps", "16kbps"] = "8kbps"
    scale: PositiveFloat = 1.0
    quantize_on_decode: bool = True
    chunked: Annotated[bool, Meta(extra={"inert": "SAT never cuts this codec's audio"})] = True


@member
class DACPretrainedNode(PretransformNode, kw_only=True, tag="dac_pretrained"):
    """A published Descript audio codec (Kumar et al. 2023, arXiv 2306.06546), for mono audio.

    Sizes that do not stand in the file are those that were published with the weights.

    Attributes:
        config: Which one.
    """

    config: DACPretrainedConfig

    @property
    def hop_length(self) -> int:
        """Samples per latent frame."""
        return 512 if self.config.model_type == "44khz" else 320

    @property
    def latent_dim(self) -> int:
        """Channels of the latents."""
        return 128 if self.config.model_bitrate == "16kbps" else 1024

    @property
    def channels(self) -> int:
        """One."""
        return 1

    @property
    def sample_rate(self) -> int:
        """Hz of the audio that it was trained on."""
        return {"44khz": 44_100, "24khz": 24_000, "16khz": 16_000}[self.config.model_type]

    @property
    def is_discrete(self) -> bool:
        """Yes."""
        return True

    @property
    def num_quantizers(self) -> int:
        """Codes per frame."""
        if self.config.model_bitrate == "16kbps":
            return 18
        return {"44khz": 9, "24khz": 32, "16khz": 12}[self.config.model_type]

    @property
    def codebook_size(self) -> int:
        """Different values of a code."""
        return 1024


class EncodecFacts(NamedTuple):
    """What was published of an EnCodec codec along with its weights.

    Attributes:
        sample_rate: Hz of the audio.
        hop_length: Samples per frame.
        num_quantizers: Codes per frame.
        codebook_size: Different values of a code.
    """

    sample_rate: int
    hop_length: int
    num_quantizers: int
    codebook_size: int


ENCODEC_FACTS = {
    "facebook/encodec_32khz": EncodecFacts(32_000, 640, 4, 2048),
    "facebook/encodec_24khz": EncodecFacts(24_000, 320, 32, 1024),
}
"""The codecs whose sizes are known, by their names on the hub."""

ENCODEC_LATENT_DIM = 128


class AudiocraftPretrainedConfig(Node, kw_only=True):
    """Which of the published audiocraft codecs.

    Attributes:
        model_type: Its name on the hub.
        scale: A key of SAT's files.
        quantize_on_decode: A key of SAT's files.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("model_type",)

    model_type: Annotated[str, Meta(min_length=1)] = "facebook/encodec_32khz"
    scale: Annotated[
        PositiveFloat, Meta(extra={"inert": "latents of this codec are not scaled, in SAT neither"})
    ] = 1.0
    quantize_on_decode: Annotated[
        bool, Meta(extra={"inert": "this codec quantizes at once, in SAT too"})
    ] = True


@member
class AudiocraftPretrainedNode(PretransformNode, kw_only=True, tag="audiocraft_pretrained"):
    """A published EnCodec codec (Défossez et al. 2022, arXiv 2210.13438), for mono audio.

    Of a codec that is not among `ENCODEC_FACTS` nothing is known.

    Attributes:
        config: Which one.
    """

    config: AudiocraftPretrainedConfig

    @property
    def facts(self) -> EncodecFacts | None:
        """What was published of it."""
        return ENCODEC_FACTS.get(self.config.model_type)

    @property
    def hop_length(self) -> int | None:
        """Samples per frame."""
        return self.facts and self.facts.hop_length

    @property
    def latent_dim(self) -> int | None:
        """Channels of the latents."""
        return self.facts and ENCODEC_LATENT_DIM

    @property
    def channels(self) -> int | None:
        """One."""
        return self.facts and 1

    @property
    def sample_rate(self) -> int | None:
        """Hz of the audio that it was trained on."""
        return self.facts and self.facts.sample_rate

    @property
    def is_discrete(self) -> bool:
        """Yes."""
        return True

    @property
    def num_quantizers(self) -> int | None:
        """Codes per frame."""
        return self.facts and self.facts.num_quantizers

    @property
    def codebook_size(self) -> int | None:
        """Different values of a code."""
        return self.facts and self.facts.codebook_size


class PatchedConfig(Node, kw_only=True):
    """Samples folded into channels.

    Attributes:
        channels: Channels of the audio.
        patch_size: Samples per frame.
        oversampling: Factor by which audio is resampled before it is folded; frames get as many
            times shorter.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("channels", "patch_size", "oversampling")

    channels: Positive
    patch_size: Positive
    oversampling: Positive = 1


@member
class PatchedNode(PretransformNode, kw_only=True, tag="patched"):
    """Neighbouring samples as channels of one frame.

    Attributes:
        config: How many.
    """

    config: PatchedConfig

    @property
    def hop_length(self) -> int:
        """Samples of audio per frame; SAT does not count the oversampling."""
        return self.config.patch_size // self.config.oversampling or 1

    @property
    def latent_dim(self) -> int:
        """A channel per audio channel and sample of a frame."""
        return self.config.channels * self.config.patch_size

    @property
    def channels(self) -> int:
        """Channels of the audio."""
        return self.config.channels
