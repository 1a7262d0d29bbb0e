"""What must fit together in conditioning: the conditioners, their ids, and where they lead."""

from collections.abc import Iterator
from typing import NamedTuple

from sat_config.audio.conditioner import (
    ConditionedModel,
    ConditioningConfig,
    EncodedConfig,
    Inlet,
    IntConfig,
    NumberConfig,
    PretransformConditionerNode,
    Shape,
    SourceMixConfig,
    SourceMixNode,
)
from sat_config.audio.diffusion import AdpBackboneNode, AdpCfg1dNode, DiffusionCondConfig, DiTNode
from sat_config.audio.transformer import DiTConfig
from sat_config.errors import Path
from sat_config.hints import nearest
from sat_config.rules import Broken, rule

# --------------------------------------------------------------------- conditions and their ids


@rule("SAT-E015", on=ConditionedModel, reads=("conditioning.configs", "diffusion", "lm"))
def known_ids(node: ConditionedModel) -> Iterator[Broken]:
    """Every id that the network names is that of a conditioner."""
    known = node.conditioning.by_id if node.conditioning else {}
    for key, ids in node.backbone.routes.items():
        free = tuple(node.runtime_signals) if key == "input_concat_ids" else ()
        for number, name in enumerate(ids):
            if name in known or name in free:
                continue
            signal = name in node.runtime_signals
            yield Broken(
                f"{name!r} is {'for input_concat_ids only' if signal else 'no id of a conditioner'}"
                f"; there are {', '.join(map(repr, (*known, *free))) or 'none'}",
                (node.backbone_key, key, number),
                nearest(name, (*known, *free)),
            )


@rule(
    "SAT-E016",
    on=ConditionedModel,
    reads=("diffusion.cross_attention_cond_ids", "diffusion.config.cond_token_dim", "conditioning"),
)
def cross_attention_width(node: ConditionedModel) -> Iterator[Broken]:
    """Cross-attention has the width of the conditions on that way."""
    if not isinstance(node.backbone, AdpBackboneNode):
        yield from _token_width(node, "cross_attention_cond_ids")


@rule(
    "SAT-E017",
    on=ConditionedModel,
    reads=("diffusion.global_cond_ids", "diffusion.config.global_cond_dim", "conditioning"),
)
def global_width(node: ConditionedModel) -> Iterator[Broken]:
    """Global conditioning has the width of all global conditions together."""
    backbone = node.backbone
    if isinstance(backbone, DiTNode):
        if backbone.global_cond_ids:
            yield from _summed_width(node, "global_cond_ids")
        yield from _unprojected_global(backbone.config)


def _unprojected_global(config: DiTConfig) -> Iterator[Broken]:
    if config.project_global_cond or config.global_cond_dim in (0, config.embed_dim):
        return
    yield Broken(
        f"global_cond_dim is {config.global_cond_dim} and embed_dim {config.embed_dim}; without a"
        " projection they must be equal",
        ("diffusion", "config", "project_global_cond"),
        "true",
    )


@rule(
    "SAT-E018",
    on=ConditionedModel,
    reads=("diffusion.input_concat_ids", "diffusion.config.input_concat_dim", "conditioning"),
)
def concat_width(node: ConditionedModel) -> Iterator[Broken]:
    """The further channels of the input are those of the conditions on that way, always given."""
    if isinstance(node.backbone, DiTNode):
        yield from _summed_width(node, "input_concat_ids")


@rule(
    "SAT-E019",
    on=ConditionedModel,
    reads=("diffusion.prepend_cond_ids", "diffusion.config.prepend_cond_dim", "conditioning"),
)
def prepend_width(node: ConditionedModel) -> Iterator[Broken]:
    """What is put before the input has the width of the conditions on that way."""
    yield from _token_width(node, "prepend_cond_ids")


@rule(
    "SAT-E028",
    on=DiffusionCondConfig,
    reads=(
        "diffusion.cross_attention_cond_ids",
        "diffusion.config.context_embedding_features",
        "diffusion.config.context_embedding_max_length",
    ),
)
def adp_context(node: DiffusionCondConfig) -> Iterator[Broken]:
    """A U-Net with cross-attention gets a condition there, of its width and not too long."""
    backbone = node.diffusion
    if not isinstance(backbone, AdpCfg1dNode):
        return
    yield from _token_width(node, "cross_attention_cond_ids")
    ids = backbone.cross_attention_cond_ids
    if not ids:
        path: Path = ("diffusion", "cross_attention_cond_ids")
        yield Broken("adp_cfg_1d cannot run without a condition to cross-attend to", path)
    conditioners = node.conditioning.by_id if node.conditioning else {}
    nodes = [conditioners.get(name) for name in ids]
    counts = [found.num_tokens or 0 if found else 0 for found in nodes]
    room = backbone.config.context_embedding_max_length
    if sum(counts) > room:
        tokens = " + ".join(map(str, counts))
        total = f"{tokens} = {sum(counts)}" if len(counts) > 1 else tokens
        yield Broken(
            f"the conditions have up to {total} tokens, context_embedding_max_length is {room}",
            ("diffusion", "config", "context_embedding_max_length"),
            str(sum(counts)),
        )


@rule(
    "SAT-E029",
    on=DiffusionCondConfig,
    reads=("diffusion.config.context_features", "diffusion.config.context_channels"),
)
def adp_conditions(node: DiffusionCondConfig) -> Iterator[Broken]:
    """What a U-Net declares of conditions arrives, at that width."""
    if isinstance(node.diffusion, AdpBackboneNode):
        for key in ("global_cond_ids", "input_concat_ids"):
            if node.diffusion.inlets[key].width:
                yield from _summed_width(node, key)


class _Arrival(NamedTuple):
    """What the documents say about the conditions on one way.

    Attributes:
        inlet: Where they go in.
        names: Their ids.
        widths: Their widths; None for those that are unknown.
        path: The place that holds the inlet's width.
    """

    inlet: Inlet
    names: tuple[str, ...]
    widths: tuple[int | None, ...]
    path: Path


def _arrival(node: ConditionedModel, key: str) -> _Arrival | None:
    inlet = node.backbone.inlets.get(key)
    if inlet is None:
        return None
    names = node.backbone.routes[key]
    known = node.condition_widths
    if key != "input_concat_ids":
        known = {name: width for name, width in known.items() if name not in node.runtime_signals}
    widths = tuple(map(known.get, names))
    return _Arrival(inlet, names, widths, (node.backbone_key, "config", inlet.key))


def _token_width(node: ConditionedModel, key: str) -> Iterator[Broken]:
    """The conditions follow one another, so all are as wide as the inlet."""
    found = _arrival(node, key)
    if found is None:
        return
    pairs = zip(found.names, found.widths, strict=True)
    known = {name: width for name, width in pairs if width is not None}
    if len(set(known.values())) > 1:
        each = ", ".join(f"{name!r} {width}" for name, width in known.items())
        yield Broken(
            f"{key} follow one another and must be equally wide, but have {each}",
            (node.backbone_key, key),
        )
    elif known and (width := next(iter(known.values()))) != found.inlet.width:
        off = ", which closes that way" if not found.inlet.width else ""
        yield Broken(
            f"{found.inlet.key} is {found.inlet.width}{off}, but {key} are {width} wide",
            found.path,
            str(width),
        )


def _summed_width(node: ConditionedModel, key: str) -> Iterator[Broken]:
    """The conditions stand side by side, so the inlet is as wide as all together."""
    found = _arrival(node, key)
    widths = [width for width in found.widths if width is not None] if found else []
    if found is None or len(widths) < len(found.widths) or sum(widths) == found.inlet.width:
        return
    total = sum(widths)
    if not widths:
        message = f"{found.inlet.key} is {found.inlet.width}, but {key} lists nothing to fill it"
    else:
        shown = " + ".join(map(str, widths))
        sums = f"{shown} = {total}" if len(widths) > 1 else shown
        message = f"{found.inlet.key} is {found.inlet.width}, but {key} give {sums}"
    adp = found.inlet.key.startswith("context_")
    fix = f"[{total}]" if found.inlet.key == "context_channels" else str(total)
    yield Broken(message, found.path, fix if widths or not adp else None)


FITTING: dict[str, tuple[Shape, ...]] = {
    "cross_attention_cond_ids": ("vector", "sequence"),
    "prepend_cond_ids": ("vector", "sequence"),
    "global_cond_ids": ("vector",),
    "input_concat_ids": ("signal",),
}
SHAPES: dict[Shape, str] = {
    "vector": "one embedding",
    "sequence": "one embedding per token",
    "signal": "a signal",
}


@rule("SAT-E122", on=ConditionedModel, reads=("conditioning.configs", "diffusion", "lm"))
def fitting_shape(node: ConditionedModel) -> Iterator[Broken]:
    """A condition has the shape that its way into the network takes."""
    block = node.conditioning
    conditioners = block.by_id if block else {}
    for name in block.pre_encoded_keys if block else ():
        conditioners.pop(name, None)
    for key, ids in node.backbone.routes.items():
        for number, name in enumerate(ids):
            found = conditioners.get(name)
            if found is not None and found.shape not in FITTING[key]:
                want = " or ".join(SHAPES[shape] for shape in FITTING[key])
                yield Broken(
                    f"the conditioner {name!r} gives {SHAPES[found.shape]}, {key} takes {want}",
                    (node.backbone_key, key, number),
                )


@rule(
    "SAT-W124",
    on=DiffusionCondConfig,
    reads=("diffusion.type", "diffusion.config"),
    severity="warning",
)
def dropped_conditions(node: DiffusionCondConfig) -> Iterator[Broken]:
    """No condition goes a way that the network does not have."""
    backbone = node.diffusion
    kind = type(backbone).__struct_config__.tag
    for key, ids in backbone.routes.items():
        inlet = backbone.inlets.get(key)
        closed = isinstance(backbone, AdpBackboneNode) and inlet is not None and not inlet.width
        if ids and (inlet is None or closed):
            reason = f" without {inlet.key}" if inlet is not None else ""
            yield Broken(
                f"{key} have no effect: a network {kind!r}{reason} drops them",
                ("diffusion", key),
            )


@rule("SAT-E037", on=ConditionedModel, reads=("conditioning.pre_encoded_keys", "diffusion", "lm"))
def pre_encoded_ways(node: ConditionedModel) -> Iterator[Broken]:
    """Finished embeddings have no mask, so they are global or channels of the input."""
    finished = node.conditioning.pre_encoded_keys if node.conditioning else ()
    for key in ("cross_attention_cond_ids", "prepend_cond_ids"):
        for number, name in enumerate(node.backbone.routes[key]):
            if name in finished:
                yield Broken(
                    f"{name!r} is one of pre_encoded_keys, which cannot go into {key}",
                    (node.backbone_key, key, number),
                )


@rule(
    "SAT-E127",
    on=ConditioningConfig,
    reads=("configs", "default_keys", "pre_encoded_keys"),
)
def conditioner_ids(node: ConditioningConfig) -> Iterator[Broken]:
    """Ids are different, and the keys about them name one."""
    seen: set[str] = set()
    for number, name in enumerate(node.ids):
        if name in seen:
            yield Broken(
                f"a second conditioner is called {name!r}, and would replace the first",
                ("configs", number, "id"),
            )
        seen.add(name)
    named: list[tuple[Path, str]] = [(("default_keys", name), name) for name in node.default_keys]
    listed = enumerate(node.pre_encoded_keys)
    named += [(("pre_encoded_keys", number), name) for number, name in listed]
    for path, name in named:
        if name not in seen:
            yield Broken(f"no conditioner is called {name!r}", path, nearest(name, seen))


# ----------------------------------------------------------------------------------- conditioners


@rule("SAT-E120", on=EncodedConfig, reads=("use_model_pretransform", "pretransform_config"))
def one_pretransform(node: EncodedConfig) -> Iterator[Broken]:
    """Audio is encoded by the model's pretransform or by one of the conditioner's own."""
    if node.use_model_pretransform == (node.pretransform_config is not None):
        both = node.use_model_pretransform
        yield Broken(
            f"{'both' if both else 'neither'} use_model_pretransform"
            f" {'and' if both else 'nor'} pretransform_config {'are' if both else 'is'} given",
            ("use_model_pretransform",),
            "false" if both else "true",
        )


@rule("SAT-E116", on=EncodedConfig, reads=("sample_rate", "pretransform_config"))
def rate_of_condition(node: EncodedConfig) -> Iterator[Broken]:
    """A published codec hears a condition at the rate that it was trained on."""
    want = node.pretransform_config.sample_rate if node.pretransform_config else None
    if want is not None and node.sample_rate != want:
        yield Broken(
            f"sample_rate is {node.sample_rate}, the codec was trained at {want} Hz",
            ("sample_rate",),
            str(want),
        )


@rule("SAT-W032", on=ConditionedModel, reads=("conditioning", "pretransform"), severity="warning")
def encoded_width(node: ConditionedModel) -> Iterator[Broken]:
    """Encoded conditions have the channels that SAT can give them."""
    block = node.conditioning
    for number, found in enumerate(block.configs if block else ()):
        if block is None or not isinstance(found, PretransformConditionerNode | SourceMixNode):
            continue
        config = found.config
        used = node.pretransform if config.use_model_pretransform else config.pretransform_config
        latent = used.latent_dim if used is not None else None
        mixes = isinstance(found, SourceMixNode)
        if latent is None or (found.width(block.cond_dim) == latent) != mixes:
            continue
        yield Broken(
            f"the pretransform has {latent} channels, the conditioner {found.id!r}"
            f" {found.width(block.cond_dim)}; stable-audio-tools fails unless they"
            f" {'differ' if mixes else 'are equal'}",
            ("conditioning", "configs", number, "config", "output_dim"),
            None if mixes else str(latent),
        )


@rule("SAT-E033", on=ConditionedModel, reads=("conditioning.configs", "pretransform"))
def model_pretransform(node: ConditionedModel) -> Iterator[Broken]:
    """A conditioner uses the model's pretransform only where there is one."""
    if node.pretransform is not None or node.conditioning is None:
        return
    for number, found in enumerate(node.conditioning.configs):
        if isinstance(found.config, EncodedConfig) and found.config.use_model_pretransform:
            yield Broken(
                f"the conditioner {found.id!r} uses the model's pretransform, but there is none",
                ("conditioning", "configs", number, "config", "use_model_pretransform"),
                "false",
            )


@rule("SAT-E034", on=SourceMixConfig, reads=("allow_null_source", "source_length"))
def null_source_length(node: SourceMixConfig) -> Iterator[Broken]:
    """An embedding for items without sources has a length."""
    if node.allow_null_source and node.source_length is None:
        yield Broken("allow_null_source needs source_length, in frames", ("source_length",))


@rule("SAT-E035", on=IntConfig, reads=("min_val", "max_val"))
def integer_range(node: IntConfig) -> Iterator[Broken]:
    """A range of integers holds one."""
    if node.max_val < node.min_val:
        yield Broken(f"max_val {node.max_val} is below min_val {node.min_val}", ("max_val",))


@rule("SAT-W035", on=IntConfig, reads=("min_val",), severity="warning")
def integers_from_zero(node: IntConfig) -> Iterator[Broken]:
    """A range of integers starts at 0, or SAT cannot read its table."""
    if node.min_val:
        yield Broken(
            f"min_val is {node.min_val}; stable-audio-tools fails with anything but 0",
            ("min_val",),
        )


@rule("SAT-E036", on=NumberConfig, reads=("min_val", "max_val"))
def number_range(node: NumberConfig) -> Iterator[Broken]:
    """A range of numbers is more than a point."""
    if node.max_val <= node.min_val:
        yield Broken(
            f"max_val {node.max_val} is not above min_val {node.min_val}; numbers are divided by"
            " the difference",
            ("max_val",),
        )
