"""What steers a network, in the forms in which a network can take it."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Everything that steers a network besides its input, for a batch; None where there is nothing.

    A mask is True for embeddings that are no padding; without one, none is.

    Attributes:
        cross_attention: Embeddings that tokens attend to.
        cross_attention_mask: Which of them count.
        global_: One embedding for the whole.
        prepend: Embeddings that become tokens before the input.
        prepend_mask: Which of them count.
        input_concat: Channels beside those of the input; stretched to its length.
        steered: How many items, the first ones, have anything else than zeros to cross-attend to;
            None if all may have. A network that adds nothing for zeros leaves that work out.
    """

    cross_attention: Float[Tensor, "b k e"] | None = None
    cross_attention_mask: Bool[Tensor, "b k"] | None = None
    global_: Float[Tensor, "b e2"] | None = None
    prepend: Float[Tensor, "b k2 e3"] | None = None
    prepend_mask: Bool[Tensor, "b k2"] | None = None
    input_concat: Float[Tensor, "b c l"] | None = None
    steered: int | None = None

    @property
    def can_be_dropped(self) -> bool:
        """Whether there is anything that `dropped` takes away."""
        return self.cross_attention is not None or self.prepend is not None

    def dropped(self, items: Bool[Tensor, " b"] | None = None) -> "Conditioning":
        """The same with zeros to cross-attend to and to put before the input.

        That is what "no condition" means in training and in guidance. Global conditions and
        channels stay, and so do masks, as in SAT. Deviation: an item loses both or none, there
        training draws for each of the two.

        Args:
            items: Which items of the batch lose their conditions; all of them if left out.
        """
        return replace(
            self,
            cross_attention=_zeroed(self.cross_attention, items),
            prepend=_zeroed(self.prepend, items),
            steered=0 if items is None else None,
        )

    def to(self, dtype: torch.dtype) -> "Conditioning":
        """The same with embeddings of a dtype."""
        return Conditioning(
            cross_attention=_cast(self.cross_attention, dtype),
            cross_attention_mask=self.cross_attention_mask,
            global_=_cast(self.global_, dtype),
            prepend=_cast(self.prepend, dtype),
            prepend_mask=self.prepend_mask,
            input_concat=_cast(self.input_concat, dtype),
            steered=self.steered,
        )

    def fits(self, other: "Conditioning") -> bool:
        """Whether both have the same parts, and batches of them can be joined."""
        pairs = zip(self._parts(), other._parts(), strict=True)
        return all(
            (a is None and b is None)
            or (a is not None and b is not None and a.shape[1:] == b.shape[1:])
            for a, b in pairs
        )

    def joined(self, other: "Conditioning") -> "Conditioning":
        """One batch of both, this one first; `other` must fit."""
        pairs = zip(self._parts(), other._parts(), strict=True)
        first = self.cross_attention
        rest_has_none = first is not None and self.steered is None and other.steered == 0
        cross_attention, cross_attention_mask, global_, prepend, prepend_mask, input_concat = (
            None if a is None or b is None else torch.cat((a, b)) for a, b in pairs
        )
        return Conditioning(
            cross_attention=cross_attention,
            cross_attention_mask=cross_attention_mask,
            global_=global_,
            prepend=prepend,
            prepend_mask=prepend_mask,
            input_concat=input_concat,
            steered=len(first) if first is not None and rest_has_none else None,
        )

    def _parts(self) -> tuple[Tensor | None, ...]:
        return (
            self.cross_attention,
            self.cross_attention_mask,
            self.global_,
            self.prepend,
            self.prepend_mask,
            self.input_concat,
        )


NO_CONDITIONING = Conditioning()


def _zeroed(x: Tensor | None, items: Tensor | None) -> Tensor | None:
    if x is None:
        return None
    return torch.zeros_like(x) if items is None else x.masked_fill(items[:, None, None], 0)


def _cast(x: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if x is None else x.to(dtype)
