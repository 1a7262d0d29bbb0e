"""Keys of model and dataset documents that stable-audio-tools ignores and that act here."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from sat_config import diagnose, schema
from sat_config.document import Table
from sat_config.errors import Path, Problem, format_path
from sat_config.layers import Folded
from sat_config.schema import Slot


@cache
def table() -> dict[tuple[type[msgspec.Struct], str], str]:
    """Struct and key to what SAT 0.0.19 does without it."""
    from sat_config.audio.bottleneck import DitheredFSQNode
    from sat_config.audio.dataset import WebDatasetNode
    from sat_config.audio.demo import DiffusionUncondDemo
    from sat_config.audio.training import AutoencoderTraining

    return {
        (DiffusionUncondDemo, "num_demos"): "always writes 8 demos",
        (WebDatasetNode, "drop_last"): "always leaves out the last batch when it is not full",
        (AutoencoderTraining, "warmup_mode"): 'always warms up by "adv"',
        (AutoencoderTraining, "clip_grad_norm"): "never clips the gradients of an autoencoder",
        (DitheredFSQNode, "requires_grad"): "never freezes this bottleneck",
    }


def new_effects(folded: Folded) -> Iterator[Problem]:
    """A note for every key of the document that begins to act."""
    if folded.slot is not None:
        yield from _below(folded.tree, folded.slot, (), folded)
        yield from _lone_scheduler(folded)


def _below(value: Any, slot: Slot, path: Path, folded: Folded) -> Iterator[Problem]:  # noqa: ANN401
    if isinstance(value, list) and slot.item is not None:
        for number, item in enumerate(value):
            yield from _below(item, slot.item, (*path, number), folded)
    if not isinstance(value, dict):
        return
    cls = slot.struct_for(value)
    fields = schema.fields(cls) if cls else {}
    for key, item in value.items():
        here = (*path, key)
        sentence = _sentence(cls, key) if key in fields else None
        if sentence and item != msgspec.to_builtins(fields[key].default):
            yield _note(folded, here, sentence)
        inner = fields[key].slot if key in fields else slot.values
        if inner is not None:
            yield from _below(item, inner, here, folded)


def _sentence(cls: type[msgspec.Struct] | None, key: str) -> str | None:
    bases = cls.__mro__ if cls else ()
    return next((table()[base, key] for base in bases if (base, key) in table()), None)


def _lone_scheduler(folded: Folded) -> Iterator[Problem]:
    """Of two optimizers one has a scheduler: SAT then uses none."""
    training: Table = folded.tree.get("training") or {}
    groups = training.get("optimizer_configs")
    if not isinstance(groups, dict) or len(groups) != 2:
        return
    with_one = [k for k, g in groups.items() if isinstance(g, dict) and g.get("scheduler")]
    if len(with_one) == 1:
        path = ("training", "optimizer_configs", with_one[0], "scheduler")
        yield _note(folded, path, "uses no scheduler unless both optimizers have one")


def _note(folded: Folded, path: Path, sentence: str) -> Problem:
    problem = Problem(
        code="new-effect",
        severity="warning",
        path=path,
        message=f"stable-audio-tools {sentence}; here {format_path(path)} counts",
    )
    return diagnose.locate(folded, problem, value=False)
