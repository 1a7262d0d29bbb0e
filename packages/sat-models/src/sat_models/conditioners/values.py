"""Conditioners of plain values: integers, numbers and members of a list."""

import math
from collections.abc import Sequence
from typing import SupportsFloat, SupportsIndex

import torch
from torch import nn

from sat_config.audio.conditioner import IntNode, ListNode, NumberNode
from sat_models.conditioners.base import Condition, Conditioner, build_conditioner
from sat_models.errors import ConditionError
from sat_models.layers.fourier import ScalarFeatures
from sat_models.pretransforms.base import Pretransform

NUMBER_FEATURES = 256


class IntConditioner(Conditioner):
    """A learned embedding for each integer of a range; those outside count as its ends.

    Deviation from SAT: integers are counted from `least`; there they index the table as they are,
    which fits a range from 0 only.
    """

    def __init__(self, output_dim: int, *, least: int, greatest: int) -> None:
        """Draw the table.

        Args:
            output_dim: Width of the embeddings.
            least: First integer of the range.
            greatest: Last integer of the range.
        """
        super().__init__()
        self.output_dim, self.least, self.greatest = output_dim, least, greatest
        self.int_embedder = nn.Embedding(greatest - least + 1, output_dim)

    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Embed integers; what has a fraction is cut to one.

        Raises:
            ConditionError: A value is no number.
        """
        integers = [int(_number(value)) for value in values]
        places = torch.tensor(integers).clamp(self.least, self.greatest) - self.least
        return _one_token(self.int_embedder(places.to(device)))


class NumberConditioner(Conditioner):
    """Learned Fourier features of a number between two limits; those outside count as the limits.

    Deviation from SAT: the features are computed in float32 also in half precision.
    """

    def __init__(self, output_dim: int, *, least: float, greatest: float) -> None:
        """Create the layers.

        Args:
            output_dim: Width of the embeddings.
            least: The number that becomes 0.
            greatest: The number that becomes 1.
        """
        super().__init__()
        self.output_dim, self.least, self.greatest = output_dim, least, greatest
        self.embedder = nn.ModuleDict(
            {
                "embedding": nn.Sequential(
                    ScalarFeatures(NUMBER_FEATURES), nn.Linear(NUMBER_FEATURES + 1, output_dim)
                )
            }
        )

    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Embed numbers.

        Raises:
            ConditionError: A value is no number.
        """
        numbers = torch.tensor([_number(value) for value in values], device=device)
        scaled = (numbers.clamp(self.least, self.greatest) - self.least) / (
            self.greatest - self.least
        )
        return _one_token(self.embedder["embedding"](scaled))


class ListConditioner(Conditioner):
    """A learned embedding for each of a list of values, and one for any other."""

    def __init__(self, output_dim: int, *, options: Sequence[object]) -> None:
        """Draw the table.

        Args:
            output_dim: Width of the embeddings.
            options: The values that are known.
        """
        super().__init__()
        self.output_dim, self.options = output_dim, tuple(options)
        self.embedder = nn.Embedding(len(options) + 1, output_dim)

    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Embed values, which are compared by equality."""
        places = [self._place(value) for value in values]
        return _one_token(self.embedder(torch.tensor(places, device=device)))

    def _place(self, value: object) -> int:
        return 1 + self.options.index(value) if value in self.options else 0


def _number(value: object) -> float:
    if isinstance(value, str | SupportsFloat | SupportsIndex):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise ConditionError(f"expected a number, got {value!r}")


def _one_token(embeddings: torch.Tensor) -> Condition:
    mask = torch.ones(embeddings.shape[0], 1, dtype=torch.bool, device=embeddings.device)
    return Condition(embeddings[:, None], mask)


@build_conditioner.register
def _(
    node: IntNode, *, cond_dim: int, sample_rate: int, pretransform: Pretransform | None
) -> IntConditioner:
    config = node.config
    return IntConditioner(node.width(cond_dim), least=config.min_val, greatest=config.max_val)


@build_conditioner.register
def _(
    node: NumberNode, *, cond_dim: int, sample_rate: int, pretransform: Pretransform | None
) -> NumberConditioner:
    config = node.config
    return NumberConditioner(node.width(cond_dim), least=config.min_val, greatest=config.max_val)


@build_conditioner.register
def _(
    node: ListNode, *, cond_dim: int, sample_rate: int, pretransform: Pretransform | None
) -> ListConditioner:
    return ListConditioner(node.width(cond_dim), options=node.config.options)
