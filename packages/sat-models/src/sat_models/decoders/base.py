"""The decoder family: latents to waveform, or to what a pretransform makes a waveform of."""

from abc import ABC, abstractmethod
from functools import singledispatch

from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.decoder import DecoderNode
from sat_models.build import load_builtin, missing_builder


class Decoder(nn.Module, ABC):
    """A decoder of an autoencoder.

    Attributes:
        out_channels: Channels of the signal that goes out.
        latent_dim: Channels that come in.
        hop_length: Samples of the signal per frame that comes in.
    """

    out_channels: int
    latent_dim: int
    hop_length: int

    @abstractmethod
    def forward(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Decode latents; `t` is exactly `l * hop_length`."""


@singledispatch
def build_decoder(node: DecoderNode) -> Decoder:
    """Build the decoder of a node, with fresh weights.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_decoder(node)
    raise missing_builder(node)
