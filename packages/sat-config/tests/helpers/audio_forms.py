"""What the tests of the audio schema share: a form of every node, and short ways to judge one.

`forms/FAMILY.toml` holds, per type, the `least` that must be given and in most families a `full`
node that gives every key a value other than its default; `forms/training/MODEL_TYPE.toml` a whole
training block.
"""

import copy
import pathlib
import tomllib
from collections.abc import Iterator

import msgspec

from sat_config import convert, registry, rules, schema
from sat_config.audio import training
from sat_config.audio.arc import ARCHeadNode
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.conditioner import ConditionerNode
from sat_config.audio.decoder import DecoderNode
from sat_config.audio.demo import CondDisplayNode
from sat_config.audio.diffusion import (
    DiffusionAutoencoderBackboneNode,
    DiffusionBackboneNode,
    DiffusionUncondNode,
)
from sat_config.audio.discriminator import DiscriminatorNode
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.lm import CodebookPatternNode, LMBackboneNode
from sat_config.audio.optimizer import OptimizerNode
from sat_config.audio.pretransform import PretransformNode
from sat_config.audio.scheduler import SchedulerNode

FORMS = pathlib.Path(__file__).parents[1] / "forms"

FAMILIES = {
    "encoder": EncoderNode,
    "decoder": DecoderNode,
    "bottleneck": BottleneckNode,
    "pretransform": PretransformNode,
    "uncond_backbone": DiffusionUncondNode,
    "cond_backbone": DiffusionBackboneNode,
    "autoencoder_backbone": DiffusionAutoencoderBackboneNode,
    "conditioner": ConditionerNode,
    "lm_backbone": LMBackboneNode,
    "codebook_pattern": CodebookPatternNode,
    "optimizer": OptimizerNode,
    "scheduler": SchedulerNode,
    "discriminator": DiscriminatorNode,
    "arc_head": ARCHeadNode,
    "cond_display": CondDisplayNode,
}
BLOCKS = {
    "autoencoder": training.AutoencoderTraining,
    "diffusion_uncond": training.DiffusionUncondTraining,
    "diffusion_cond": training.DiffusionCondTraining,
    "diffusion_cond_inpaint": training.DiffusionInpaintTraining,
    "diffusion_autoencoder": training.DiffusionAutoencoderTraining,
    "lm": training.LMTraining,
}


def forms() -> Iterator[tuple[str, str, str, dict]]:
    """(family, type, "least" or "full", node) of every form."""
    for family in FAMILIES:
        for tag, kinds in tomllib.loads((FORMS / f"{family}.toml").read_text()).items():
            for kind, node in kinds.items():
                yield family, tag, kind, {"type": tag, **node}


_BY_NAME = {(family, tag, kind): node for family, tag, kind, node in forms()}


def form(family: str, tag: str, kind: str = "least") -> dict:
    """A form of its own to change."""
    return copy.deepcopy(_BY_NAME[family, tag, kind])


def training_block(model_type: str) -> dict:
    """A training block that names every key."""
    block = tomllib.loads((FORMS / "training" / f"{model_type}.toml").read_text())
    return training_block("diffusion_cond") | block if model_type.endswith("_inpaint") else block


def members(family: str) -> dict[str, type[msgspec.Struct]]:
    """The types of a family."""
    return registry.current().families[FAMILIES[family]].members


def read(table: dict, kind: type):
    """Decode without judging rules."""
    found = schema.struct_slot(kind).struct_for(table)
    assert found is not None
    return convert.convert(table, found)


def codes(value: object) -> list[str]:
    """The rules that a value breaks."""
    return sorted(rule.code for rule, _, _ in rules.broken(value))


def changed(table: dict, **changes) -> dict:
    """A copy with `a__b__0__c=value` set; None removes."""
    table = copy.deepcopy(table)
    for path, value in changes.items():
        *way, last = path.split("__")
        inner = table
        for key in way:
            inner = inner[int(key)] if isinstance(inner, list) else inner.setdefault(key, {})
        inner.pop(last, None)
        if value is not None:
            inner[last] = value
    return table


def optimizer_group(optimizer: str = "AdamW", scheduler: str | None = None, **config) -> dict:
    """An entry of `optimizer_configs`."""
    made: dict = {"optimizer": {"type": optimizer, "config": config}}
    if scheduler:
        made["scheduler"] = form("scheduler", scheduler)
    return made


_STAGES = {"channels": 8, "c_mults": [1, 2], "strides": [2, 4]}
_STYLE = {"use_snake": True, "antialias_activation": True}
_OOBLECK = {
    "encoder": {
        "type": "oobleck",
        "config": {**_STAGES, **_STYLE, "in_channels": 2, "latent_dim": 8},
    },
    "decoder": {
        "type": "oobleck",
        "config": {**_STAGES, **_STYLE, "out_channels": 2, "latent_dim": 4},
    },
    "bottleneck": {"type": "vae"},
    "latent_dim": 4,
    "downsampling_ratio": 8,
    "io_channels": 2,
}


def oobleck(**changes) -> dict:
    """A small autoencoder of 8 samples per frame, with changes as `changed` takes them."""
    return changed(_OOBLECK, **changes)
