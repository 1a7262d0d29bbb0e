"""The encoder family: waveform, or a pretransform of it, to the features of a bottleneck."""

from abc import ABC, abstractmethod
from functools import singledispatch

from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.encoder import EncoderNode
from sat_models.build import load_builtin, missing_builder


class Encoder(nn.Module, ABC):
    """An encoder of an autoencoder.

    Attributes:
        in_channels: Channels of the signal that comes in.
        latent_dim: Channels that go out.
        hop_length: Samples of the incoming signal per frame that goes out.
    """

    in_channels: int
    latent_dim: int
    hop_length: int

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d l"]:
        """Encode a signal; `l` is `t / hop_length`, rounded where `t` is no multiple of it."""


@singledispatch
def build_encoder(node: EncoderNode) -> Encoder:
    """Build the encoder of a node, with fresh weights.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_encoder(node)
    raise missing_builder(node)
