"""Demos: what is rendered during training, to be listened to."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from sat_config.node import Node, Positive
from sat_config.registry import Open, family, member

Metadata = dict[str, Any]
"""What a dataset says of one item: free form, because the keys are the ids of whatever conditioners
a model has, and the values are what these read (text, numbers, names of files, lists)."""

GuidanceScales = Annotated[tuple[float, ...], Meta(min_length=1)]


class AutoencoderDemo(Node, kw_only=True):
    """Reconstructions written during training.

    Attributes:
        demo_every: Steps between demos; one is also written at the end.
    """

    demo_every: Positive = 2000


class DiffusionUncondDemo(Node, kw_only=True):
    """Samples written during training.

    Attributes:
        demo_every: Steps between demos; one is also written at the end.
        demo_steps: Steps of the sampler.
        num_demos: Samples per demo. SAT always writes 8.
    """

    demo_every: Positive = 2000
    demo_steps: Positive = 250
    num_demos: Positive = 8


class DiffusionAutoencoderDemo(Node, kw_only=True):
    """Reconstructions written during training.

    Attributes:
        demo_every: Steps between demos; one is also written at the end.
        demo_steps: Steps of the sampler that decodes.
    """

    demo_every: Positive = 2000
    demo_steps: Positive = 250


# --------------------------------------------------------------------------- shown conditions


@family("condition display")
class CondDisplayNode(Node, kw_only=True, tag_field="type"):
    """A condition that a demo shows beside what it led to.

    Attributes:
        id: Metadata key of the condition.
    """

    id: Annotated[str, Meta(min_length=1)]


class CondDisplayConfig(Node, kw_only=True):
    """How audio in the conditions is shown.

    Attributes:
        pre_encoded: It is latents, which the pretransform decodes first.
        display_mix: Also write its mix with the generated audio.
    """

    pre_encoded: bool = False
    display_mix: bool = False


@member
class AudioDisplayNode(CondDisplayNode, kw_only=True, tag="audio"):
    """One piece of audio.

    Attributes:
        config: How it is shown.
    """

    config: CondDisplayConfig = CondDisplayConfig()


_ALWAYS = "stems are always shown with their mix"


class StemsDisplayConfig(Node, kw_only=True):
    """How stems in the conditions are shown.

    Attributes:
        pre_encoded: They are latents, which the pretransform decodes first.
        display_mix: No effect: the sum of the stems and its mix with the generated audio are
            always written.
    """

    pre_encoded: bool = False
    display_mix: Annotated[bool, Meta(extra={"inert": _ALWAYS})] = False


@member
class StemsDisplayNode(CondDisplayNode, kw_only=True, tag="audio_dict"):
    """A table of stems.

    Attributes:
        config: How they are shown.
    """

    config: StemsDisplayConfig = StemsDisplayConfig()


# ----------------------------------------------------------------------------- conditional models


class DiffusionCondDemo(Node, kw_only=True):
    """Samples of given conditions, written during training.

    Attributes:
        demo_every: Steps between demos; one is also written at the end.
        demo_steps: Steps of the sampler.
        num_demos: Samples per demo.
        demo_cfg_scales: Guidance scales; each gets samples of its own.
        demo_cond: The conditions, one table per sample. Free form: the keys are the ids of the
            model's conditioners.
        demo_cond_from_batch: Take the conditions of a training batch in their place.
        display_audio_cond: Also write the condition named `audio`.
        cond_display_configs: Further conditions to show.
    """

    demo_every: Positive = 2000
    demo_steps: Positive = 250
    num_demos: Positive
    demo_cfg_scales: GuidanceScales
    demo_cond: tuple[Metadata, ...] = ()
    demo_cond_from_batch: bool = False
    display_audio_cond: bool = False
    cond_display_configs: tuple[Open[CondDisplayNode], ...] = ()


class InpaintDemo(Node, kw_only=True):
    """Inpainted items of the demo loader, written during training.

    Attributes:
        demo_every: Steps between demos; one is also written at the end.
        demo_steps: Steps of the sampler.
        num_demos: Items per demo.
        demo_cfg_scales: Guidance scales; each gets samples of its own.
    """

    demo_every: Positive = 2000
    demo_steps: Positive = 250
    num_demos: Positive = 8
    demo_cfg_scales: GuidanceScales


class LMDemo(Node, kw_only=True):
    """Samples of a language model, written during training.

    Attributes:
        demo_every: Steps between demos; one is also written at the end.
        num_demos: Samples per demo.
        demo_cfg_scales: Guidance scales; each gets samples of its own.
        demo_cond: The conditions, one table per sample; none if the model has no conditioners.
            Free form: the keys are the ids of the model's conditioners.
    """

    demo_every: Positive = 2000
    num_demos: Positive = 8
    demo_cfg_scales: GuidanceScales = (1.0,)
    demo_cond: tuple[Metadata, ...] | None = None
