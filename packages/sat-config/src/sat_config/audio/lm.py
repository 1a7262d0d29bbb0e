"""Language models: a transformer that continues the codes of a discrete pretransform."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

import sat_config.audio.conditioner as conditioner
import sat_config.audio.pretransform as pretransform
import sat_config.audio.transformer as transformer
from sat_config.audio.conditioner import Inlet
from sat_config.node import Node, NonNegative, Positive
from sat_config.registry import Open, family, member, refuse

# ------------------------------------------------------------------------------ codebook patterns


@family("codebook pattern")
class CodebookPatternNode(Node, kw_only=True, tag_field="type"):
    """The order in which the codes of all codebooks are predicted (Copet et al. 2023, 2306.05284).

    SAT's files name it by a word, which stands for its defaults; a table with options is read
    here only.
    """


@member
class ParallelPatternNode(CodebookPatternNode, kw_only=True, tag="parallel"):
    """All codes of a frame at once: fastest, and blind to how codebooks depend on each other.

    Attributes:
        empty_initial: Empty steps before the first frame.
    """

    empty_initial: NonNegative = 0


@member
class DelayPatternNode(CodebookPatternNode, kw_only=True, tag="delay"):
    """Each codebook some steps after the one before it.

    Attributes:
        delays: Steps that each codebook is late, growing; one more than the one before if left out.
        flatten_first: Frames at the start whose codes are predicted one by one.
        empty_initial: Empty steps before the first frame.
    """

    delays: tuple[NonNegative, ...] | None = None
    flatten_first: NonNegative = 0
    empty_initial: NonNegative = 0


@member
class UnrollPatternNode(CodebookPatternNode, kw_only=True, tag="unroll"):
    """Code after code: most exact, and as many times slower as there are codebooks.

    Attributes:
        flattening: Step within a frame at which each codebook is predicted; one by one if left out.
        delays: Frames that each codebook is late; none if left out.
    """

    flattening: tuple[NonNegative, ...] | None = None
    delays: tuple[NonNegative, ...] | None = None


@member
class MusicLMPatternNode(CodebookPatternNode, kw_only=True, tag="musiclm"):
    """Groups of codebooks, code after code: the whole signal of one before the next.

    Attributes:
        group_by: Codebooks of a group; must divide their number.
    """

    group_by: Positive = 2


PatternName = Literal["parallel", "delay", "unroll", "musiclm"]

_PATTERNS: dict[PatternName, type[CodebookPatternNode]] = {
    "parallel": ParallelPatternNode,
    "delay": DelayPatternNode,
    "unroll": UnrollPatternNode,
    "musiclm": MusicLMPatternNode,
}


# ------------------------------------------------------------------------------------- backbones


@family("language model backbone")
class LMBackboneNode(conditioner.ConditionedBackbone, kw_only=True, tag_field="type"):
    """The network of a language model, as it stands under `lm`.

    Attributes:
        codebook_pattern: Order in which codes are predicted.
        global_cond_ids: A key of SAT's files.
    """

    codebook_pattern: PatternName | Open[CodebookPatternNode] = "delay"
    global_cond_ids: Annotated[
        tuple[str, ...],
        Meta(extra={"inert": "a language model has no global conditioning, in SAT either"}),
    ] = ()

    @property
    def pattern(self) -> CodebookPatternNode:
        """The order, with its options."""
        if isinstance(self.codebook_pattern, str):
            return _PATTERNS[self.codebook_pattern]()
        return self.codebook_pattern


class TransformerLMConfig(transformer.TransformerOptions, kw_only=True):
    """A causal transformer with an embedding and an output layer per codebook.

    Attributes:
        embed_dim: Width of the transformer.
        depth: Layers.
        dim_heads: Width of a head; there are `embed_dim / dim_heads` of them.
        cross_attn_cond_dim: Width of what it cross-attends to; 0 for no cross-attention.
        project_cross_attn_cond: Bring that to the width of the transformer, as it must be.
        prepend_cond_dim: Width of the conditions put before the codes; 0 for none.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "embed_dim",
        "depth",
        "dim_heads",
        "cross_attn_cond_dim",
        "project_cross_attn_cond",
        "prepend_cond_dim",
    )

    embed_dim: Positive
    depth: Positive
    dim_heads: Positive = 64
    cross_attn_cond_dim: NonNegative = 0
    project_cross_attn_cond: bool = False
    prepend_cond_dim: NonNegative = 0

    @property
    def width(self) -> int:
        """Features of a token."""
        return self.embed_dim

    @property
    def head_width(self) -> int:
        """Features of a head."""
        return self.dim_heads


@member
class TransformerLMNode(LMBackboneNode, kw_only=True, tag="continuous_transformer"):
    """A transformer. SAT's fails in every forward pass, for want of a mask argument.

    Attributes:
        config: Its sizes.
    """

    config: TransformerLMConfig

    @property
    def inlets(self) -> dict[str, Inlet]:
        """Cross-attention, and tokens before the codes."""
        config = self.config
        return {
            "cross_attention_cond_ids": Inlet("cross_attn_cond_dim", config.cross_attn_cond_dim),
            "prepend_cond_ids": Inlet("prepend_cond_dim", config.prepend_cond_dim),
        }


refuse(
    LMBackboneNode,
    "x-transformers",
    "SAT has lost the way to it; take continuous_transformer",
)


class LMModelConfig(conditioner.ConditionedModel, kw_only=True):
    """A language model of audio, as it stands under `model`.

    Attributes:
        pretransform: What turns audio into codes, and back.
        lm: The network, and what steers it in which way.
    """

    pretransform: Open[pretransform.PretransformNode]
    lm: Open[LMBackboneNode]

    @property
    def backbone(self) -> LMBackboneNode:
        """The network."""
        return self.lm

    @property
    def backbone_key(self) -> str:
        """Where it stands."""
        return "lm"
