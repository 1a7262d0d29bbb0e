"""The networks of language models: embedded steps in, as many steps of features out."""

from abc import ABC, abstractmethod
from functools import singledispatch

from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.lm import LMBackboneNode, TransformerLMConfig, TransformerLMNode
from sat_models.backbones.conditioning import Conditioning
from sat_models.backbones.dit import condition_embedder
from sat_models.backbones.transformer import build_transformer
from sat_models.build import load_builtin, missing_builder
from sat_models.layers.transformer import ContinuousTransformer, Tokens, TransformerCache


class LMBackbone(nn.Module, ABC):
    """A network that never looks ahead.

    Attributes:
        width: Features of a step, in and out.
    """

    width: int

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "b s e"],
        conditioning: Conditioning,
        *,
        cache: TransformerCache | None = None,
    ) -> Float[Tensor, "b s e"]:
        """Features of each step, from this and the steps before.

        Args:
            x: Embedded steps.
            conditioning: What steers the network.
            cache: The steps before these, to which these are added; from `new_cache`.
        """

    @abstractmethod
    def new_cache(self) -> TransformerCache:
        """The cache of a sequence that has not begun."""


class TransformerLMBackbone(LMBackbone):
    """A causal transformer that conditions steer as context and as tokens before the sequence.

    Deviations from SAT: it runs, and with a cache; the whole context is seen from each step; a
    context need not be projected. As in SAT, masks of conditions have no effect.
    """

    def __init__(
        self,
        model: ContinuousTransformer,
        *,
        width: int,
        prepend_width: int,
        cross_attention_width: int,
        project_cross_attention: bool,
    ) -> None:
        """Create the layers around a causal transformer.

        Args:
            model: The transformer.
            width: Features of a step.
            prepend_width: Of embeddings that come before the sequence; 0 if there are none.
            cross_attention_width: Of embeddings to attend to; 0 if there are none.
            project_cross_attention: Bring those to the width of a step.
        """
        super().__init__()
        self.model, self.width = model, width
        self.takes_prepend, self.takes_context = prepend_width > 0, cross_attention_width > 0
        if prepend_width:
            self.to_prepend_embed = condition_embedder(prepend_width, width)
        self.to_cross_attn_embed: nn.Module = nn.Identity()
        if cross_attention_width and project_cross_attention:
            self.to_cross_attn_embed = condition_embedder(cross_attention_width, width)

    def forward(
        self,
        x: Float[Tensor, "b s e"],
        conditioning: Conditioning,
        *,
        cache: TransformerCache | None = None,
    ) -> Float[Tensor, "b s e"]:
        """Features of each step.

        Raises:
            ValueError: There is a condition that has no way in.
        """
        self._check(conditioning)
        conditioning = conditioning.to(x.dtype)
        prepended = context = None
        if conditioning.prepend is not None and not (cache and cache.length):
            prepended = Tokens(self.to_prepend_embed(conditioning.prepend))
        if conditioning.cross_attention is not None:
            context = Tokens(self.to_cross_attn_embed(conditioning.cross_attention))
        features: Tensor = self.model(x, prepended=prepended, context=context, cache=cache)
        return features

    def new_cache(self) -> TransformerCache:
        """The cache of a sequence that has not begun."""
        return self.model.new_cache()

    def _check(self, conditioning: Conditioning) -> None:
        taken = {"prepend": self.takes_prepend, "cross_attention": self.takes_context}
        for name in ("cross_attention", "prepend", "global_", "input_concat"):
            if getattr(conditioning, name) is not None and not taken.get(name, False):
                raise ValueError(
                    f"this language model takes no {name.rstrip('_')} condition, but there is one"
                )


@singledispatch
def build_lm_backbone(node: LMBackboneNode) -> LMBackbone:
    """Build the network that stands under `lm`, with fresh weights.

    Raises:
        MissingBuilderError: Nothing installed builds this class of node.
    """
    if load_builtin():
        return build_lm_backbone(node)
    raise missing_builder(node)


@build_lm_backbone.register
def _(node: TransformerLMNode) -> TransformerLMBackbone:
    config, width = node.config, node.config.embed_dim
    _refuse_looking_ahead(config)
    cross_attention = config.cross_attn_cond_dim
    inner = width if config.project_cross_attn_cond else cross_attention
    model = build_transformer(
        config,
        in_channels=width,
        out_channels=width,
        depth=config.depth,
        context_width=inner if cross_attention else None,
        modulated=False,
        causal=True,
    )
    return TransformerLMBackbone(
        model,
        width=width,
        prepend_width=config.prepend_cond_dim,
        cross_attention_width=cross_attention,
        project_cross_attention=config.project_cross_attn_cond,
    )


def _refuse_looking_ahead(config: TransformerLMConfig) -> None:
    """SAT builds such networks; they see in training what they are to predict."""
    options = {
        "conformer": config.conformer,
        "ff_kwargs.use_conv": config.ff_kwargs.use_conv,
        "attn_kwargs.feat_scale": config.attn_kwargs.feat_scale,
    }
    for name, used in options.items():
        if used:
            raise ValueError(f"{name} looks ahead in time, which a language model must not do")
