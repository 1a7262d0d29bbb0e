"""The entry point of a plug-in that registers a few things and then fails."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sat_config.audio.bottleneck import BottleneckNode
from sat_config.node import Node
from sat_config.registry import family, member, refuse
from sat_config.rules import Broken, rule

if "broken" in os.environ.get("SAT_TEST_PLUGIN", ""):

    @family("broken thing")
    class BrokenThing(Node, kw_only=True, tag_field="type"):
        """A family."""

    @member
    class HalfNode(BottleneckNode, kw_only=True, tag="half"):
        """A bottleneck."""

    @member(alias_of="half")
    class OldHalfNode(BottleneckNode, kw_only=True, tag="old_half"):
        """Its alias."""

    refuse(BottleneckNode, "quarter", "there is no such thing")

    @rule("TEST-E002", on=BottleneckNode, reads=())
    def never(node: BottleneckNode) -> Iterator[Broken]:
        """No bottleneck is right."""
        yield Broken("wrong")

    import a_module_that_nobody_has  # noqa: F401 - that is the point
