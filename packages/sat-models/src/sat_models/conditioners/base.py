"""The conditioner family: what turns one entry of items' metadata into embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sat_config.audio.conditioner import ConditionerNode
from sat_models.build import load_builtin, missing_builder
from sat_models.errors import ConditionError
from sat_models.pretransforms.base import Pretransform

Metadata = Mapping[str, object]
"""What is known of an item; every conditioner says what it wants under its id."""

ReadAudio = Callable[[str, int, int], Tensor]
"""The name of a file, channels, and a number whose multiple the length must be, to a waveform."""


@dataclass(frozen=True)
class Condition:
    """What comes out of a conditioner, for a batch.

    Attributes:
        embeddings: One embedding per token (`b k e`), one for the item (`b e`), or channels and
            frames of a signal (`b c l`).
        mask: True for tokens or frames that are no padding; None if there is no telling.
    """

    embeddings: Float[Tensor, "b ..."]
    mask: Bool[Tensor, "b _"] | None


class Conditioner(nn.Module, ABC):
    """A conditioner.

    Attributes:
        output_dim: Width of its embeddings; of a signal, channels.
    """

    output_dim: int

    @abstractmethod
    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Turn one value per item into embeddings.

        Args:
            values: What the items' metadata says.
            device: Where the conditioner is, and where its frozen parts are moved.

        Raises:
            ConditionError: A value is not of the kind that is wanted.
        """

    def with_audio(self, value: object, *, read: ReadAudio) -> object:
        """A value that a configuration can have, as `forward` wants it.

        Conditioners of audio read the files that it names; others take it as it is.

        Args:
            value: What the configuration says.
            read: Reads a file.

        Raises:
            ConditionError: It names no file.
            AudioError: A file cannot be read.
        """
        return value


def file_name(value: object) -> str:
    """The name of an audio file.

    Raises:
        ConditionError: The value is something else.
    """
    if not isinstance(value, str):
        raise ConditionError(f"expected the name of an audio file, got {value!r}")
    return value


class Hidden:
    """A frozen module that its owner uses without owning it.

    Its weights are neither in the state dict nor among the parameters, its mode does not change,
    and copies of the owner share it.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def on(self, device: torch.device | str) -> nn.Module:
        """The module, moved where it is needed."""
        return self.module.to(device)

    def __deepcopy__(self, memo: dict[int, object]) -> "Hidden":
        return self


def make_projection(in_width: int, out_width: int, *, always: bool) -> nn.Module:
    """A linear map, or nothing where widths agree and it is not wanted `always`."""
    needed = always or in_width != out_width
    return nn.Linear(in_width, out_width) if needed else nn.Identity()


def project(projection: nn.Module, x: Float[Tensor, "*b e"]) -> Float[Tensor, "*b f"]:
    """Apply what `make_projection` made, in its dtype; what is left as it is comes in float32."""
    dtype = projection.weight.dtype if isinstance(projection, nn.Linear) else torch.float32
    result: Tensor = projection(x.to(dtype))
    return result


@singledispatch
def build_conditioner(
    node: ConditionerNode, *, cond_dim: int, sample_rate: int, pretransform: Pretransform | None
) -> Conditioner:
    """Build the conditioner of a node.

    Its own weights are fresh; those of pretrained parts are loaded.

    Args:
        node: A conditioner node.
        cond_dim: Width of the embeddings, unless the node says otherwise.
        sample_rate: Hz of the model's audio.
        pretransform: That of the model.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
        MissingExtraError: An optional dependency is not installed.
    """
    if load_builtin():
        return build_conditioner(
            node, cond_dim=cond_dim, sample_rate=sample_rate, pretransform=pretransform
        )
    raise missing_builder(node)
