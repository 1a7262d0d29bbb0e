"""Conditioning: metadata to embeddings, and what the models that embeddings steer share."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

from msgspec import Meta

import sat_config.audio.pretransform as pretransform
from sat_config.errors import Path
from sat_config.node import CheckpointPath, Hertz, InputPath, Node, Positive
from sat_config.registry import Open, family, member

Channels = tuple[tuple[Path, int], ...]
"""Paths at which a count of channels is written, and the counts."""

Shape = Literal["vector", "sequence", "signal"]
"""One embedding per item, one per token, or one per frame of the signal."""

ConditionerId = Annotated[str, Meta(min_length=1, pattern=r"^[^.]+$")]
Text = Annotated[str, Meta(min_length=1)]

T5Name = Literal[
    "t5-small",
    "t5-base",
    "t5-large",
    "t5-3b",
    "t5-11b",
    "google/flan-t5-small",
    "google/flan-t5-base",
    "google/flan-t5-large",
    "google/flan-t5-xl",
    "google/flan-t5-xxl",
    "google/t5-v1_1-xl",
    "google/t5-v1_1-xxl",
]

T5_WIDTHS: dict[T5Name, int] = {
    "t5-small": 512,
    "t5-base": 768,
    "t5-large": 1024,
    "t5-3b": 1024,
    "t5-11b": 1024,
    "google/flan-t5-small": 512,
    "google/flan-t5-base": 768,
    "google/flan-t5-large": 1024,
    "google/flan-t5-xl": 2048,
    "google/flan-t5-xxl": 4096,
    "google/t5-v1_1-xl": 2048,
    "google/t5-v1_1-xxl": 4096,
}

CLAP_POOLED_WIDTH = 512
CLAP_TOKEN_WIDTH = 768


class ConditionerConfig(Node, kw_only=True):
    """What every conditioner can be told.

    Attributes:
        output_dim: Width of the embeddings; `cond_dim` of the block if left out.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("output_dim",)

    output_dim: Positive | None = None


@family("conditioner")
class ConditionerNode(Node, kw_only=True, tag_field="type"):
    """What turns one entry of an item's metadata into embeddings.

    Attributes:
        id: Key of the metadata, and the name by which the model's lists of ids refer to it; without
            dots, for it becomes part of the names of weights.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("id",)

    id: ConditionerId

    @property
    def config(self) -> ConditionerConfig:
        """Its own settings."""
        raise NotImplementedError

    @property
    def shape(self) -> Shape:
        """What comes out, which decides where it can go."""
        return "vector"

    @property
    def num_tokens(self) -> int | None:
        """Most embeddings per item; None if the input decides, or if it gives a signal."""
        return 1 if self.shape == "vector" else None

    def width(self, cond_dim: int) -> int:
        """Width, or for a signal channels, of what comes out."""
        return self.config.output_dim or cond_dim


# ---------------------------------------------------------------------------------- plain values


class IntConfig(ConditionerConfig, kw_only=True):
    """A table with one embedding for each of a range of integers.

    Attributes:
        min_val: Least value; what is below counts as this.
        max_val: Greatest value; what is above counts as this.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("min_val", "max_val")

    min_val: int = 0
    max_val: int = 512


@member
class IntNode(ConditionerNode, kw_only=True, tag="int"):
    """An integer.

    Unlike SAT, whose table fits a `min_val` of 0 only, values are counted from `min_val`.

    Attributes:
        config: Its range.
    """

    config: IntConfig


class NumberConfig(ConditionerConfig, kw_only=True):
    """Learned Fourier features of a number that is scaled to lie between 0 and 1.

    Attributes:
        min_val: Least value; what is below counts as this.
        max_val: Greatest value; what is above counts as this.
    """

    min_val: float = 0.0
    max_val: float = 1.0


@member
class NumberNode(ConditionerNode, kw_only=True, tag="number"):
    """A number.

    Attributes:
        config: Its range.
    """

    config: NumberConfig


class ListConfig(ConditionerConfig, kw_only=True):
    """A table with one embedding per option, and one for anything else.

    Attributes:
        options: The values that are known, compared by equality.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("options",)

    options: Annotated[tuple[str | int | float | bool, ...], Meta(min_length=1)]


@member
class ListNode(ConditionerNode, kw_only=True, tag="list"):
    """One of a closed list of values.

    Attributes:
        config: The values.
    """

    config: ListConfig


# ------------------------------------------------------------------------------------------ text


class T5Config(ConditionerConfig, kw_only=True):
    """A pretrained text encoder of the T5 family, in float16.

    Attributes:
        t5_model_name: Which one; larger ones understand longer texts and cost more.
        max_length: Tokens of the text; shorter texts are padded to it, longer ones cut.
        enable_grad: Train it and keep its weights in checkpoints.
        project_out: Learn a projection even where the encoder has the right width.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("t5_model_name", "enable_grad", "project_out")

    t5_model_name: T5Name = "t5-base"
    max_length: Positive = 128
    enable_grad: bool = False
    project_out: bool = False

    @property
    def encoder_width(self) -> int:
        """Width of what the encoder gives."""
        return T5_WIDTHS[self.t5_model_name]


@member
class T5Node(ConditionerNode, kw_only=True, tag="t5"):
    """Text, through T5 (Raffel et al. 2020, arXiv 1910.10683).

    Attributes:
        config: Which encoder.
    """

    config: T5Config

    @property
    def shape(self) -> Shape:
        """One embedding per token."""
        return "sequence"

    @property
    def num_tokens(self) -> int:
        """What every text is padded to."""
        return self.config.max_length


class ClapConfig(ConditionerConfig, kw_only=True):
    """A pretrained CLAP model.

    Attributes:
        clap_ckpt_path: Its weights.
        audio_model_type: Name of its audio network.
        enable_fusion: Whether it was trained with feature fusion.
        project_out: Learn a projection even where the encoder has the right width.
        finetune: Train it and keep its weights in checkpoints.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "audio_model_type",
        "enable_fusion",
        "project_out",
        "finetune",
    )

    clap_ckpt_path: InputPath
    audio_model_type: Text = "HTSAT-base"
    enable_fusion: bool = True
    project_out: bool = False
    finetune: Annotated[bool, Meta(extra={"ours": "SAT's clap_audio does not take it"})] = False

    @property
    def encoder_width(self) -> int:
        """Width of what the encoder gives."""
        return CLAP_POOLED_WIDTH


class ClapTextConfig(ClapConfig, kw_only=True):
    """The text half of a CLAP model.

    Attributes:
        use_text_features: Take one embedding per token in place of one for the whole text.
        feature_layer_ix: Layer that gives them, from the first (0) or backwards from the last (-1).
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("use_text_features",)

    use_text_features: bool = False
    feature_layer_ix: int = -1

    @property
    def encoder_width(self) -> int:
        """Width of what the encoder gives."""
        return CLAP_TOKEN_WIDTH if self.use_text_features else CLAP_POOLED_WIDTH


@member
class ClapTextNode(ConditionerNode, kw_only=True, tag="clap_text"):
    """Text, through CLAP (Wu et al. 2023, arXiv 2211.06687).

    Attributes:
        config: Which model, and what of it.
    """

    config: ClapTextConfig

    @property
    def shape(self) -> Shape:
        """One embedding per token or per text."""
        return "sequence" if self.config.use_text_features else "vector"


class ClapAudioConfig(ClapConfig, kw_only=True):
    """The audio half of a CLAP model."""


@member
class ClapAudioNode(ConditionerNode, kw_only=True, tag="clap_audio"):
    """Audio, through CLAP (Wu et al. 2023, arXiv 2211.06687).

    SAT's reads a `finetune` that it never sets, and cannot be built; here it is a key as of
    `clap_text`.

    Attributes:
        config: Which model.
    """

    config: ClapAudioConfig


class PhonemeConfig(ConditionerConfig, kw_only=True):
    """A table with one embedding per English phoneme.

    Attributes:
        max_length: A key of SAT's files.
        project_out: Learn a projection.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("project_out",)

    max_length: Annotated[Positive, Meta(extra={"inert": "nothing is cut to it, as in SAT"})] = 1024
    project_out: bool = False


@member
class PhonemeNode(ConditionerNode, kw_only=True, tag="phoneme"):
    """The phonemes of an English text.

    Attributes:
        config: Its projection.
    """

    config: PhonemeConfig

    @property
    def shape(self) -> Shape:
        """One embedding per phoneme."""
        return "sequence"


class LutConfig(ConditionerConfig, kw_only=True):
    """A table with one embedding per token.

    Attributes:
        tokenizer_name: Tokenizer, by its name on the Hugging Face hub; decides the rows.
        max_length: Tokens of the text; shorter texts are padded to it, longer ones cut.
        use_abs_pos_emb: Add learned positions.
        project_out: Learn a projection.
        special_tokens: Further tokens, each with a row of its own.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "tokenizer_name",
        "use_abs_pos_emb",
        "project_out",
        "special_tokens",
    )

    tokenizer_name: Text
    max_length: Positive = 1024
    use_abs_pos_emb: bool = False
    project_out: bool = False
    special_tokens: tuple[str, ...] = ()


@member
class LutNode(ConditionerNode, kw_only=True, tag="lut"):
    """Text, through a table learned with the model.

    Attributes:
        config: Its tokenizer and length.
    """

    config: LutConfig

    @property
    def shape(self) -> Shape:
        """One embedding per token."""
        return "sequence"

    @property
    def num_tokens(self) -> int:
        """What every text is padded to."""
        return self.config.max_length


# ----------------------------------------------------------------------------------------- audio


class EncodedConfig(ConditionerConfig, kw_only=True):
    """What conditioners share that encode audio.

    Attributes:
        sample_rate: Samples per second of the audio.
        use_model_pretransform: Encode with the model's own pretransform.
        pretransform_config: Encode with this one.
        pretransform_ckpt_path: Its weights.
        save_pretransform: Keep its weights in checkpoints.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("save_pretransform",)

    sample_rate: Hertz
    use_model_pretransform: bool = False
    pretransform_config: Open[pretransform.PretransformNode] | None = None
    pretransform_ckpt_path: CheckpointPath | None = None
    save_pretransform: bool = False


class PretransformConditionerConfig(EncodedConfig, kw_only=True):
    """Audio encoded by a pretransform."""


@member
class PretransformConditionerNode(ConditionerNode, kw_only=True, tag="pretransform"):
    """A second signal, such as a recording to follow.

    Unlike SAT's, it can change the number of channels.

    Attributes:
        config: What encodes it.
    """

    config: PretransformConditionerConfig

    @property
    def shape(self) -> Shape:
        """A signal."""
        return "signal"


class SourceMixConfig(EncodedConfig, kw_only=True):
    """Sources encoded one by one, each through a convolution of its own, and added up.

    Attributes:
        source_keys: Names of the sources; their order is that of the weights.
        pre_encoded: Sources are latents already.
        allow_null_source: Learn an embedding for items without any of the sources, which are an
            error otherwise.
        source_length: Frames of that embedding.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("source_keys", "allow_null_source", "source_length")

    source_keys: tuple[Text, ...] = ()
    pre_encoded: bool = False
    allow_null_source: bool = False
    source_length: Positive | None = None


@member
class SourceMixNode(ConditionerNode, kw_only=True, tag="source_mix"):
    """The stems of a recording, as far as there are any.

    Unlike SAT's, it can keep the number of channels.

    Attributes:
        config: What encodes them.
    """

    config: SourceMixConfig

    @property
    def shape(self) -> Shape:
        """A signal."""
        return "signal"


# ----------------------------------------------------------------------------------------- block


class ConditioningConfig(Node, kw_only=True):
    """What turns metadata into embeddings, as it stands under `conditioning`.

    Attributes:
        cond_dim: Width of the embeddings of every conditioner that does not say otherwise.
        configs: The conditioners.
        default_keys: For a conditioner's id, the key of the metadata to use where that of its name
            is missing.
        pre_encoded_keys: Ids whose metadata holds finished embeddings; their conditioners are
            built but not asked.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("cond_dim",)

    cond_dim: Positive
    configs: tuple[Open[ConditionerNode], ...]
    default_keys: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it per instance
    pre_encoded_keys: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, in order."""
        return tuple(node.id for node in self.configs)

    @property
    def by_id(self) -> dict[str, ConditionerNode]:
        """Id to conditioner, the last one if there are several of an id, as in SAT."""
        return {node.id: node for node in self.configs}

    @property
    def widths(self) -> dict[str, int]:
        """Id to width, without those of which only data tells."""
        finished = set(self.pre_encoded_keys)
        found = self.by_id.items()
        return {name: node.width(self.cond_dim) for name, node in found if name not in finished}


# ---------------------------------------------------------------------------------------- models


class Inlet(NamedTuple):
    """A way for conditions into a network.

    Attributes:
        key: The key of `config` that holds its width.
        width: Width or channels that it takes; 0 where it is closed.
    """

    key: str
    width: int


class ConditionedBackbone(Node, kw_only=True):
    """What networks that conditions steer have in common: which condition goes which way.

    Attributes:
        cross_attention_cond_ids: Conditions that tokens attend to, one after another.
        global_cond_ids: Conditions that steer the whole, side by side as one vector.
        prepend_cond_ids: Conditions put before the input as tokens, one after another.
    """

    cross_attention_cond_ids: tuple[str, ...] = ()
    global_cond_ids: tuple[str, ...] = ()
    prepend_cond_ids: tuple[str, ...] = ()

    @property
    def routes(self) -> dict[str, tuple[str, ...]]:
        """The conditions on each way into the network, by the key that lists them."""
        return {
            "cross_attention_cond_ids": self.cross_attention_cond_ids,
            "global_cond_ids": self.global_cond_ids,
            "prepend_cond_ids": self.prepend_cond_ids,
        }

    @property
    def inlets(self) -> dict[str, Inlet]:
        """The ways that the network has, by the same keys; conditions on others are dropped."""
        raise NotImplementedError


class LatentModel(Node, kw_only=True):
    """What models of a signal have in common, be it audio or what a pretransform makes of it.

    Attributes:
        pretransform: What the model works on in place of audio.
    """

    latent_keys: ClassVar[tuple[str, ...] | None] = ("pretransform",)

    pretransform: Open[pretransform.PretransformNode] | None = None

    @property
    def declared_channels(self) -> Channels:
        """Channels of the signal, wherever they are written below this node."""
        return ()


class ConditionedModel(LatentModel, kw_only=True):
    """What models that conditions steer have in common.

    Attributes:
        conditioning: What makes the conditions from metadata.
    """

    conditioning: ConditioningConfig | None = None

    @property
    def backbone(self) -> ConditionedBackbone:
        """The network."""
        raise NotImplementedError

    @property
    def backbone_key(self) -> str:
        """Where it stands."""
        raise NotImplementedError

    @property
    def runtime_signals(self) -> dict[str, int]:
        """Ids, with their channels, that the system supplies rather than a conditioner."""
        return {}

    @property
    def condition_widths(self) -> dict[str, int]:
        """Widths or channels of all conditions of which they are known."""
        made = self.conditioning.widths if self.conditioning else {}
        return {**made, **self.runtime_signals}
