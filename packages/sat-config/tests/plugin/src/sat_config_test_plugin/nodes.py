"""A bottleneck, a model type and a rule."""

from __future__ import annotations

from collections.abc import Iterator

import sat_config.audio.encoder as encoder
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.node import Node, Positive
from sat_config.registry import Open, member
from sat_config.rules import Broken, rule


class LFQConfig(Node, kw_only=True):
    """Lookup-free quantization.

    Attributes:
        dim: Channels, each one bit of the code.
        entropy_weight: Weight of the entropy of codes; higher uses more of them.
    """

    dim: Positive
    entropy_weight: float = 0.1


@member
class LFQNode(BottleneckNode, kw_only=True, tag="lfq"):
    """The signs of the latents.

    Attributes:
        config: How many there are.
    """

    config: LFQConfig

    @property
    def dim(self) -> int:
        """Channels that it works on."""
        return self.config.dim


class VocoderConfig(Node, kw_only=True):
    """A network from spectra to audio.

    Attributes:
        encoder: What makes frames of the audio.
        bands: Bands of a spectrum.
    """

    encoder: Open[encoder.EncoderNode]
    bands: Positive = 80


@member
class VocoderExperiment(AudioExperiment, kw_only=True, tag="vocoder"):
    """A vocoder.

    Attributes:
        model: The network.
    """

    model: VocoderConfig


@rule("TEST-E001", on=VocoderConfig, reads=("bands",))
def even_bands(node: VocoderConfig) -> Iterator[Broken]:
    """There is an even number of bands."""
    if node.bands % 2:
        yield Broken(f"{node.bands} bands are odd", ("bands",), str(node.bands + 1))
