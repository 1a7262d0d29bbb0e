"""The schema against the list of all keys that SAT's files have, with their defaults."""

import msgspec
import pytest
from audio_forms import BLOCKS, FAMILIES, form, members, read

from sat_config import registry, schema
from sat_config.audio import (
    arc,
    autoencoder,
    conditioner,
    dataset,
    demo,
    diffusion,
    diffusion_autoencoder,
    inpainting,
    lm,
    loss,
    transformer,
    unet,
)
from sat_config.audio import training as blocks
from sat_config.audio.experiment import AudioExperiment, AutoencoderExperiment

TAGGED = {
    "diffusion_backbone": {
        "dit": transformer.DiTConfig,
        "adp_cfg_1d": unet.AdpCfg1dConfig,
        "adp_1d": unet.Adp1dConfig,
        "adp_uncond_1d": unet.AdpUncond1dConfig,
        "DAU1d": unet.DAU1dAutoencoderConfig,
    },
    "lm": {"continuous_transformer": lm.TransformerLMConfig},
    "model": {
        "autoencoder": autoencoder.AutoencoderConfig,
        "diffusion_autoencoder": diffusion_autoencoder.DiffusionAutoencoderConfig,
        "diffusion_uncond": diffusion.DiffusionUncondNode,
        "diffusion_cond": diffusion.DiffusionCondConfig,
        "diffusion_cond_inpaint": diffusion.DiffusionCondConfig,
        "lm": lm.LMModelConfig,
    },
    "dataset": registry.current().families[dataset.DatasetNode].members,
    "dataset.datasets[]": {
        tag: schema.fields(node)["datasets"].slot.item.structs[0]
        for tag, node in registry.current().families[dataset.DatasetNode].members.items()
    },
    "training": BLOCKS,
    "demo": {
        "autoencoder": demo.AutoencoderDemo,
        "diffusion_uncond": demo.DiffusionUncondDemo,
        "diffusion_cond": demo.DiffusionCondDemo,
        "diffusion_cond_inpaint": demo.InpaintDemo,
        "diffusion_autoencoder": demo.DiffusionAutoencoderDemo,
        "lm": demo.LMDemo,
    },
}
"""Structs of the list's nodes that it tells apart by a type which is no tag of theirs."""

PLAIN = {
    "model_config": AudioExperiment,
    "defaults_ini": AudioExperiment,
    "conditioning": conditioner.ConditioningConfig,
    "diffusion": diffusion.DiffusionBackboneNode,
    "lm": lm.LMBackboneNode,
    "distribution_shift_options": diffusion.DistributionShift,
    "continuous_transformer": lm.TransformerLMConfig,
    "continuous_transformer.attn_kwargs": transformer.AttentionConfig,
    "continuous_transformer.ff_kwargs": transformer.FeedForwardConfig,
    "continuous_transformer.norm_kwargs": transformer.NormConfig,
    "inpainting": inpainting.Inpainting,
    "arc": arc.ARC,
    "trim_config": arc.TrimConfig,
    "timestep_sampler_options": blocks.TimestepSamplerOptions,
    "loss_configs": loss.AutoencoderLosses,
    "loss_configs.spectral": loss.SpectralLoss,
    "loss_configs.time": loss.TimeLoss,
    "loss_configs.mrmel": loss.MelLoss,
    "loss_configs.hubert": loss.HubertLoss,
    "loss_configs.bottleneck": loss.BottleneckLoss,
    "eval_loss_configs.stft": loss.EvalSTFT,
    "eval_loss_configs.sisdr": loss.EvalSISDR,
    "eval_loss_configs.mel": loss.EvalMel,
}

IN_FAMILIES = {
    "loss_configs.discriminator": "discriminator",
    "arc.discriminator": "arc_head",
    "demo.cond_display_configs": "cond_display",
}
"""Names of families on the list that are others than ours."""

NO_CONFIGURATION = {
    "unwrap_model_cli",
    "custom_metadata_module",
    "details_json",
    "latent_metadata_json",
    "pre_encoded_item_metadata",
    "checkpoint",
}
"""Nodes of the list that are files which SAT writes or runs."""

OF_OTHERS = {"optimizer_configs", "pre_encode_cli"}
"""Nodes of which each key belongs to a Struct of its own, or is a flag of sat-preencode."""

NO_KEY = {
    "**",
    "config.**",
    "mask_kwargs.**",
    "(reserved)",
    "(fixed)",
    "config.(rejected)",
    "<other>",
    "<group>.optimizer",
    "<group>.scheduler",
    "diffusion.type",
    "extensions / safetensor_key",
}
TAGS = {"type", "model_type", "dataset_type"}
LAYERS = {"model_config", "dataset_config", "val_dataset_config", "--config-file"}
REFUSED = {
    ("dac_rvq_vae", "noise_augment_dim"): "SAT hands it to a class that has no such argument",
    ("fsq", "allowed_dtypes"): "a list of torch's types",
    ("dit", "in_channels"): "of an unconditional model",
    ("dit", "diffusion_objective"): "beside `config`",
    ("adp_1d", "context_embedding_features"): "of adp_cfg_1d",
    ("adp_uncond_1d", "context_embedding_features"): "no condition reaches it",
    ("adp_uncond_1d", "context_features"): "no condition reaches it",
    ("adp_uncond_1d", "context_channels"): "no condition reaches it",
    (None, "zero_init_output"): "SAT sets it",
    (None, "causal"): "set for a language model",
    ("CyclicLR", "scale_fn"): "a function",
    ("hubert", "weight"): "SAT fails when it is given",
    (None, "weight"): "SAT fails when it is given",
    (None, "--wandb-config"): "the address of a run on a server",
}
OURS = {
    ("DAU1d", "strides"): "required",  # SAT's own default does not fit its other defaults
    ("autoencoder", "loss_configs"): "SAT's own set, written out",
    ("autoencoder", "warmup_mode"): "adv",  # what SAT fixes
    ("autoencoder", "clip_grad_norm"): 0.0,
    (None, "bottleneck"): "SAT's own default",
    (None, "weights.l1"): 0.0,  # null and 0 are one
    (None, "weights.l2"): 0.0,
    ("diffusion_cond", "demo_cond"): [],  # SAT's {} fails
    ("diffusion_cond", "cond_display_configs"): [],
    ("Adafactor", "eps"): None,  # TOML has no null to put in a list
    ("wds", "drop_last"): True,  # what SAT does whatever it says
    ("s3", "drop_last"): True,
    (None, "name"): "sat",
    (None, "precision"): "32-true",
    (None, "num_workers"): 4,
    (None, "save_dir"): "runs",
    (None, "logger"): "local",
}
"""Defaults that are others than the list's, as what the list has."""


def struct_of(row):
    """The Struct that has a row's key."""
    node, tag = row["node"], row["type"]
    family = IN_FAMILIES.get(node, node)
    if family in FAMILIES:
        return members(family).get(tag) if tag else FAMILIES[family]
    return TAGGED.get(node, {}).get(tag) or PLAIN.get(f"{node}.{tag}") or PLAIN.get(node)


def field_of(cls, param):
    *above, last = param.split(".")
    for key in above:
        cls = schema.fields(cls)[key].slot.structs[0]
    return schema.fields(cls)[last]


def keys(reference):
    """Every row about a key that our files have, with its Struct."""
    for row in reference:
        cls, param = struct_of(row), row["param"]
        place = row["type"], (param or "").removeprefix("config.")
        whole = cls in FAMILIES.values() and (param or "").startswith("config")
        named = param and param not in NO_KEY | LAYERS | TAGS and place not in REFUSED
        if named and not whole and cls is not None:
            yield row, cls, place


@pytest.fixture(scope="module")
def rows(reference):
    return list(keys(reference))


def test_every_node_of_the_list_is_known(reference):
    for row in reference:
        known = struct_of(row) is not None or row["node"] in NO_CONFIGURATION | OF_OTHERS
        tags = [entry.refused for entry in registry.current().families.values()]
        refused = any(row["type"] in table for table in tags)
        value = row["param"] is None  # one value of a key
        assert known or refused or value or row["param"] in NO_KEY | TAGS, row


def test_every_key_of_the_list_is_a_field_and_has_its_default(rows):
    for row, cls, place in rows:
        param = row["param"]
        inside = param if "config" in schema.fields(cls) else param.removeprefix("config.")
        field = field_of(roots(cls, param), inside)
        if OURS.get(place) == "required":
            assert field.required, place
            continue
        assert field.required == row["required"], place
        if not field.required:
            wanted = OURS.get(place, row["default"])
            assert is_default(plain(field.default), wanted), (place, field.default)
    assert len(rows) > 850


def roots(cls, param):
    """The root keys that every model type has of its own are looked up on one of them."""
    return (
        AutoencoderExperiment if cls is AudioExperiment and param in ("model", "training") else cls
    )


def plain(default):
    return msgspec.json.decode(msgspec.json.encode(default))


def is_default(found, wanted):
    """Whether both say the same; an empty table is one with all its own defaults."""
    if isinstance(found, dict):
        given = {key: value for key, value in found.items() if value is not None}
        return wanted in ({}, None) or isinstance(wanted, str) or given == wanted
    return found == wanted or (found is None and wanted in ({}, ""))


def test_every_tag_of_the_list_is_a_member_or_refused(reference):
    for row in reference:
        family = IN_FAMILIES.get(row["node"], row["node"])
        if family in FAMILIES and row["type"]:
            entry = registry.current().families[FAMILIES[family]]
            assert row["type"] in entry.members or row["type"] in entry.refused, row


def test_codecs_have_no_keys_beyond_the_list(rows):
    listed = {(IN_FAMILIES.get(r["node"], r["node"]), *place) for r, _, place in rows}
    own = {("local_attn", "causal"), ("local_attn", "ff_mult")}  # by way of `config.**`
    for family in ("encoder", "decoder", "bottleneck", "pretransform"):
        for tag in set(members(family)) - {"softnorm", "autoencoder"}:
            config = type(read(form(family, tag), FAMILIES[family]).config)
            for key in schema.fields(config):
                assert (family, tag, key) in listed or (tag, key) in own


def test_every_group_of_optimizers_is_a_key_of_some_training(reference):
    listed = {row["param"] for row in reference if row["node"] == "optimizer_configs"} - NO_KEY
    blocks_with = [schema.fields(block).get("optimizer_configs") for block in BLOCKS.values()]
    groups = {key for field in blocks_with if field for key in schema.fields(field.slot.structs[0])}
    assert groups == listed
