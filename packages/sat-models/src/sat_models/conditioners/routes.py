"""Which condition goes which way into a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sat_config.audio.conditioner import ConditionedBackbone
from sat_models.backbones.conditioning import Conditioning
from sat_models.conditioners.base import Condition
from sat_models.errors import ConditionError


@dataclass(frozen=True)
class Routes:
    """Ids of conditions on each way.

    Attributes:
        cross_attention: Attended to, one after another.
        global_: Side by side as one embedding.
        prepend: Put before the input, one after another.
        input_concat: Joined to the input, side by side.
    """

    cross_attention: tuple[str, ...] = ()
    global_: tuple[str, ...] = ()
    prepend: tuple[str, ...] = ()
    input_concat: tuple[str, ...] = ()

    def lead(self, conditions: Mapping[str, Condition]) -> Conditioning:
        """Bring conditions into the forms that a network takes.

        Args:
            conditions: What conditioners gave, and signals of the system, by id.

        Raises:
            ConditionError: There is no condition of an id, or its shape does not fit its way.
        """
        cross_attention, cross_attention_mask = self._sequence(self.cross_attention, conditions)
        prepend, prepend_mask = self._sequence(self.prepend, conditions)
        return Conditioning(
            cross_attention=cross_attention,
            cross_attention_mask=cross_attention_mask,
            global_=_joined([_vector(i, conditions) for i in self.global_], dim=1),
            prepend=prepend,
            prepend_mask=prepend_mask,
            input_concat=_joined([_signal(i, conditions) for i in self.input_concat], dim=1),
        )

    def _sequence(
        self, ids: Sequence[str], conditions: Mapping[str, Condition]
    ) -> tuple[Float[Tensor, "b k e"] | None, Bool[Tensor, "b k"] | None]:
        found = [_tokens(name, conditions) for name in ids]
        embeddings = _joined([tokens for tokens, _ in found], dim=1)
        return embeddings, _joined([mask for _, mask in found], dim=1)


def routes_of(node: ConditionedBackbone) -> Routes:
    """The routes that a network's node lists."""
    routes = node.routes
    return Routes(
        cross_attention=routes["cross_attention_cond_ids"],
        global_=routes["global_cond_ids"],
        prepend=routes["prepend_cond_ids"],
        input_concat=routes.get("input_concat_ids", ()),
    )


def _find(name: str, conditions: Mapping[str, Condition]) -> Condition:
    if name not in conditions:
        raise ConditionError(
            f"there is no condition {name!r}, only {', '.join(map(repr, conditions)) or 'none'}"
        )
    return conditions[name]


def _tokens(name: str, conditions: Mapping[str, Condition]) -> tuple[Tensor, Tensor]:
    found = _find(name, conditions)
    embeddings = found.embeddings[:, None] if found.embeddings.ndim == 2 else found.embeddings
    if found.mask is not None:
        return embeddings, found.mask
    return embeddings, torch.ones_like(embeddings[..., 0], dtype=torch.bool)


def _vector(name: str, conditions: Mapping[str, Condition]) -> Tensor:
    embeddings = _find(name, conditions).embeddings
    if embeddings.ndim == 3 and embeddings.shape[1] == 1:
        return embeddings[:, 0]
    if embeddings.ndim != 2:
        raise ConditionError(
            f"the condition {name!r} has {embeddings.shape[1]} tokens; a global condition has one"
        )
    return embeddings


def _signal(name: str, conditions: Mapping[str, Condition]) -> Tensor:
    embeddings = _find(name, conditions).embeddings
    if embeddings.ndim != 3:
        raise ConditionError(
            f"the condition {name!r} has the shape {tuple(embeddings.shape)}; what is joined to the"
            " input has channels and frames"
        )
    return embeddings


def _joined(parts: Sequence[Tensor], *, dim: int) -> Tensor | None:
    return torch.cat(list(parts), dim=dim) if parts else None
