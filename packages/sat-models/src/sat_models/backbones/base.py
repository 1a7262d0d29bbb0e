"""The backbone families: the networks of diffusion models, with conditions and without."""

from abc import ABC, abstractmethod
from functools import singledispatch

from jaxtyping import Bool, Float
from torch import Tensor, nn

from sat_config.audio.diffusion import DiffusionBackboneNode, DiffusionUncondNode
from sat_models.backbones.conditioning import Conditioning
from sat_models.build import load_builtin, missing_builder
from sat_models.models.objectives import Objective


class Backbone(nn.Module, ABC):
    """An unconditional diffusion network.

    Attributes:
        io_channels: Channels of the signal, in and out.
        objective: What its output means.
        frame_multiple: The length of a signal must be a multiple of this.
    """

    io_channels: int
    objective: Objective
    frame_multiple: int

    @abstractmethod
    def forward(self, x: Float[Tensor, "b d l"], t: Float[Tensor, " b"]) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal.

        Args:
            x: The signal with noise.
            t: How much noise, in [0, 1]; 1 is noise alone.
        """


class ConditionedBackbone(nn.Module, ABC):
    """A diffusion network that conditions steer.

    Attributes:
        io_channels: Channels of the signal, in and out.
        objective: What its output means.
        frame_multiple: The length of a signal must be a multiple of this.
    """

    io_channels: int
    objective: Objective
    frame_multiple: int

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "b d l"],
        t: Float[Tensor, " b"],
        conditioning: Conditioning,
        *,
        padding_mask: Bool[Tensor, "b l"] | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal.

        Args:
            x: The signal with noise.
            t: How much noise, in [0, 1]; 1 is noise alone.
            conditioning: What steers it.
            padding_mask: True for the frames that are no padding, which is at the end.
        """


@singledispatch
def build_conditioned_backbone(node: DiffusionBackboneNode) -> ConditionedBackbone:
    """Build the backbone that stands under `diffusion`, with fresh weights.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_conditioned_backbone(node)
    raise missing_builder(node)


@singledispatch
def build_backbone(node: DiffusionUncondNode) -> Backbone:
    """Build the backbone of a diffusion model's node, with fresh weights.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_backbone(node)
    raise missing_builder(node)
