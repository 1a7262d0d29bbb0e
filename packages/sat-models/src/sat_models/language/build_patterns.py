"""From codebook pattern nodes to patterns."""

from collections.abc import Callable
from functools import partial, singledispatch

from sat_config.audio.lm import (
    CodebookPatternNode,
    DelayPatternNode,
    MusicLMPatternNode,
    ParallelPatternNode,
    UnrollPatternNode,
)
from sat_models.build import load_builtin, missing_builder
from sat_models.language.patterns import (
    CodebookPattern,
    delay_pattern,
    musiclm_pattern,
    parallel_pattern,
    unroll_pattern,
)

MakePattern = Callable[[int], CodebookPattern]
"""Takes a number of frames."""


@singledispatch
def build_pattern(node: CodebookPatternNode, *, num_codebooks: int) -> MakePattern:
    """What lays codes of `num_codebooks` codebooks out in the order of a node.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_pattern(node, num_codebooks=num_codebooks)
    raise missing_builder(node)


@build_pattern.register
def build_parallel_pattern(node: ParallelPatternNode, *, num_codebooks: int) -> MakePattern:
    """All codes of a frame at once."""
    return partial(parallel_pattern, num_codebooks, empty_initial=node.empty_initial)


@build_pattern.register
def build_delay_pattern(node: DelayPatternNode, *, num_codebooks: int) -> MakePattern:
    """Each codebook some steps late."""
    return partial(
        delay_pattern,
        num_codebooks,
        delays=node.delays,
        flatten_first=node.flatten_first,
        empty_initial=node.empty_initial,
    )


@build_pattern.register
def build_unroll_pattern(node: UnrollPatternNode, *, num_codebooks: int) -> MakePattern:
    """Code after code."""
    return partial(unroll_pattern, num_codebooks, flattening=node.flattening, delays=node.delays)


@build_pattern.register
def build_musiclm_pattern(node: MusicLMPatternNode, *, num_codebooks: int) -> MakePattern:
    """Group of codebooks after group."""
    return partial(musiclm_pattern, num_codebooks, group_by=node.group_by)
