"""Classifier-free guidance (Ho and Salimans 2022, 2207.12598) of any conditioned network."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.backbones.conditioning import Conditioning
from sat_models.models.objectives import Objective, VObjective
from sat_models.sampling.samplers import GuidedFn, ModelFn

ConditionedFn = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""Noisy signal, time per item and what steers the network to its prediction."""


@dataclass(frozen=True)
class Guidance:
    """How strongly, and when, a network follows its conditions.

    Attributes:
        scale: 1 follows them as trained, more exaggerates what they change.
        rescale: How far the result is brought back to the spread of the conditioned prediction
            over its channels, 0 to 1 (Lin et al. 2023, 2305.08891; there it is over all values).
        interval: Least and greatest share of noise at which to guide (Kynkäänniemi et al. 2024,
            2404.07724).
    """

    scale: float
    rescale: float
    interval: tuple[float, float]


def guided(
    network: ConditionedFn,
    conditioning: Conditioning,
    guidance: Guidance,
    *,
    objective: Objective,
    negative: Conditioning | None = None,
) -> GuidedFn:
    """A network with its conditions, guided.

    What it is guided away from is its prediction without conditions to cross-attend to and put
    before the input; global conditions and channels stay, as in training. A network that has only
    those is not guided, unless there are negative conditions. Both predictions are made in one
    batch where their conditions are of one size.

    Deviations from SAT: negative conditions replace the positive ones on every way into the
    network, there only those to cross-attend to; and a negative text may have another length.

    Args:
        network: The network.
        conditioning: What it follows.
        guidance: How.
        objective: What it predicts; tells noise from time.
        negative: What it moves away from, in place of no condition.

    Returns:
        A function to the guided prediction, and to the one that it is guided away from; without
        guidance both are the same.
    """
    away = _negative_of(conditioning, negative)

    def predict(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        if away is None or guidance.scale == 1 or not _within(guidance.interval, t, objective):
            plain = network(x, t, conditioning)
            return plain, plain
        with_condition, without = _both(network, x, t, conditioning, away)
        result = without + (with_condition - without) * guidance.scale
        if guidance.rescale:
            result = _rescaled(result, like=with_condition, share=guidance.rescale)
        return result, without

    return predict


def guided_only(predict: GuidedFn) -> ModelFn:
    """The guided prediction alone, as most samplers want it."""
    return lambda x, t: predict(x, t)[0]


def _negative_of(conditioning: Conditioning, negative: Conditioning | None) -> Conditioning | None:
    if negative is None:
        return conditioning.dropped() if conditioning.can_be_dropped else None
    away = conditioning.dropped()
    if negative.cross_attention is not None:
        mask = negative.cross_attention_mask
        shown = _shown(negative.cross_attention, mask)
        away = replace(away, cross_attention=shown, cross_attention_mask=mask, steered=None)
    if negative.prepend is not None:
        mask = negative.prepend_mask
        away = replace(away, prepend=_shown(negative.prepend, mask), prepend_mask=mask)
    if negative.global_ is not None:
        away = replace(away, global_=negative.global_)
    if negative.input_concat is not None:
        away = replace(away, input_concat=negative.input_concat)
    return away


def _shown(embeddings: Tensor, mask: Tensor | None) -> Tensor:
    """Zeros in the place of padding."""
    return embeddings if mask is None else embeddings.masked_fill(~mask[..., None], 0)


def _both(
    network: ConditionedFn, x: Tensor, t: Tensor, one: Conditioning, other: Conditioning
) -> tuple[Tensor, Tensor]:
    if not one.fits(other):
        return network(x, t, one), network(x, t, other)
    both = network(torch.cat((x, x)), torch.cat((t, t)), one.joined(other))
    first, second = both.chunk(2)
    return first, second


def _within(interval: tuple[float, float], t: Float[Tensor, " b"], objective: Objective) -> bool:
    """Whether the share of noise, that of the first item as in SAT, is one at which to guide."""
    low, high = interval
    if low <= 0 and high >= 1:
        return True
    noise = float(t[0])
    if isinstance(objective, VObjective):
        noise = math.sin(noise * math.pi / 2)
    return low <= noise <= high


def _rescaled(x: Tensor, *, like: Tensor, share: float) -> Tensor:
    spread = like.std(dim=1, keepdim=True) / x.std(dim=1, keepdim=True)
    return x * (share * spread + (1 - share))
