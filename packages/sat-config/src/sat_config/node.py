"""`Node`, the base of every Struct of a configuration, and the constrained types of fields."""

from typing import Annotated, ClassVar, dataclass_transform

import msgspec
from msgspec import Meta


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Node(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a configuration file: frozen, closed to unknown keys, built by keyword only.

    msgspec hands the first two on to subclasses but not `kw_only`, which every subclass repeats.

    What a change of a key does is said by the class that has it; `sat_config.diff` reads this. A
    key that none of the lists names changes what is computed from the same weights. A list holds
    for the class that declares it and for those derived from it, which may add to it; training and
    harmless keys speak for all that stands below them.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that decide which weights there are, and of what shape."""

    training_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that act in training alone: with the same weights, a trained model does the same."""

    harmless_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that change no result, in training or after it."""

    latent_keys: ClassVar[tuple[str, ...] | None] = None
    """Keys that decide what latents audio becomes, where not all do that change any result."""


Positive = Annotated[int, Meta(ge=1)]
NonNegative = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
NonNegativeFloat = Annotated[float, Meta(ge=0)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Hertz = Annotated[int, Meta(ge=1)]
Name = Annotated[
    str,
    Meta(
        min_length=1,
        pattern=r"^\w[\w.+-]*(?!\n)$",
        extra={"words": "made of letters, digits and _, after the first also of . + -"},
    ),
]
"""What becomes the name of a folder."""

InputPath = Annotated[str, Meta(min_length=1, extra={"path": "input"})]
"""A file or folder to read: relative to the file that names it."""

OutputPath = Annotated[str, Meta(min_length=1, extra={"path": "output"})]
"""A file or folder to write: relative to the working directory."""

CheckpointPath = Annotated[str, Meta(min_length=1, extra={"path": "checkpoint"})]
"""Weights to read: a file, a run folder or `runs/NAME/latest`; beside the naming file, else below
the working directory."""
