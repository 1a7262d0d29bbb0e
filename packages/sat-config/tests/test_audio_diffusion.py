"""Nodes of diffusion models, language models and conditioning, and the rules between them."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import sat_config
from sat_config import convert, encode, jsonschema, registry, rules, schema
from sat_config.audio import conditioner, diffusion, diffusion_autoencoder, lm, transformer, unet
from sat_config.audio.conditioner import ConditionerNode, ConditioningConfig
from sat_config.audio.diffusion import (
    DiffusionAutoencoderBackboneNode,
    DiffusionBackboneNode,
    DiffusionCondConfig,
    DiffusionUncondNode,
    DistributionShift,
)
from sat_config.audio.diffusion_autoencoder import DiffusionAutoencoderConfig
from sat_config.audio.experiment import AudioExperiment, DiffusionUncondExperiment
from sat_config.audio.lm import CodebookPatternNode, LMBackboneNode, LMModelConfig
from sat_config.node import Node

SHARED = Path(__file__).resolve().parents[4] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the corpus is not here")

FAMILIES = {
    "uncond": DiffusionUncondNode,
    "cond": DiffusionBackboneNode,
    "autoencoder": DiffusionAutoencoderBackboneNode,
    "conditioner": ConditionerNode,
    "lm": LMBackboneNode,
    "pattern": CodebookPatternNode,
}

# ------------------------------------------------------------------------------------------ forms

TRANSFORMER = {
    "final_cross_attn_ix": 2,
    "rotary_pos_emb": False,
    "zero_init_branch_outputs": False,
    "conformer": True,
    "use_sinusoidal_emb": True,
    "use_abs_pos_emb": True,
    "abs_pos_emb_max_length": 64,
    "num_memory_tokens": 4,
    "sliding_window": [8, -1],
    "remove_norms": True,
    "add_rope": True,
    "layer_scale": True,
    "attn_kwargs": {"qk_norm": "ln", "differential": True, "feat_scale": True},
    "ff_kwargs": {
        "mult": 2,
        "no_bias": True,
        "glu": False,
        "use_conv": True,
        "conv_kernel_size": 5,
        "dim_out": 64,
    },
    "norm_kwargs": {"bias": True, "fix_scale": True, "force_fp32": True, "eps": 1e-3},
}
DIT = {
    **TRANSFORMER,
    "embed_dim": 64,
    "depth": 3,
    "num_heads": 2,
    "patch_size": 2,
    "transformer_type": "continuous_transformer",
    "global_cond_type": "adaLN",
    "timestep_cond_type": "input_concat",
    "timestep_embed_dim": 1,
    "causal": True,
}
ADP = {
    "in_channels": 2,
    "channels": 32,
    "multipliers": [1, 1, 2],
    "factors": [2, 2],
    "num_blocks": [1, 2],
    "attentions": [0, 1, 1],
}
ADP_ATTENTION = {"attention_heads": 2, "attention_multiplier": 2}
ADP_FULL = {
    **ADP,
    **ADP_ATTENTION,
    "attention_features": 8,
    "patch_size": 2,
    "resnet_groups": 4,
    "use_context_time": False,
    "context_features_multiplier": 2,
    "kernel_multiplier_downsample": 4,
    "use_nearest_upsample": True,
    "use_skip_scale": False,
    "use_stft": True,
    "stft_num_fft": 8,
    "stft_hop_length": 2,
    "stft_window_length": 8,
    "stft_length": 64,
    "stft_use_complex": True,
    "use_stft_context": True,
    "out_channels": 2,
}
DAU1D = {
    "io_channels": 1,
    "depth": 3,
    "n_attn_layers": 1,
    "channels": [32, 32, 64],
    "kernel_size": 3,
    "learned_resample": True,
    "strides": [4, 2],
    "conv_bias": False,
    "use_snake": True,
}
ROUTES = {"cross_attention_cond_ids": ["a"], "global_cond_ids": ["b"], "prepend_cond_ids": ["c"]}
OUTER = {
    **ROUTES,
    "diffusion_objective": "rf_denoiser",
    "input_concat_ids": ["d"],
    "distribution_shift_options": {
        "base_shift": 0.3,
        "max_shift": 2,
        "max_length": 512,
        "min_length": 128,
        "use_sine": True,
    },
}
PATCHED = {"type": "patched", "config": {"channels": 2, "patch_size": 4}}
CLAP = {"clap_ckpt_path": "/clap.pt"}
CLAP_FULL = {
    **CLAP,
    "output_dim": 8,
    "audio_model_type": "HTSAT-tiny",
    "enable_fusion": False,
    "project_out": True,
    "finetune": True,
}
ENCODED = {"sample_rate": 8000, "use_model_pretransform": True}
ENCODED_FULL = {
    "output_dim": 8,
    "sample_rate": 8000,
    "use_model_pretransform": False,
    "pretransform_config": PATCHED,
    "pretransform_ckpt_path": "/x.ckpt",
    "save_pretransform": True,
}
CROSS = {"context_embedding_features": 8, "context_embedding_max_length": 16}

# Per family and type: what must be given, then every key at a value that is not its default.
FORMS: list[tuple[str, str, dict, dict]] = [
    (
        "uncond",
        "dit",
        {"config": {"in_channels": 4}},
        {"config": {**DIT, "in_channels": 4, "diffusion_objective": "rectified_flow"}},
    ),
    ("uncond", "adp_uncond_1d", {"config": ADP}, {"config": ADP_FULL}),
    ("uncond", "DAU1d", {}, {"config": DAU1D}),
    (
        "cond",
        "dit",
        {"config": {}},
        {
            **OUTER,
            "config": {
                **DIT,
                "io_channels": 4,
                "cond_token_dim": 32,
                "project_cond_tokens": False,
                "global_cond_dim": 64,
                "project_global_cond": False,
                "input_concat_dim": 5,
                "prepend_cond_dim": 8,
            },
        },
    ),
    (
        "cond",
        "adp_1d",
        {"config": ADP},
        {**OUTER, "config": {**ADP_FULL, "context_features": 8, "context_channels": [3]}},
    ),
    (
        "cond",
        "adp_cfg_1d",
        {"config": {**ADP, **CROSS}},
        {
            **OUTER,
            "config": {
                **ADP_FULL,
                **CROSS,
                "context_features": 8,
                "context_channels": [0, 4],
                "use_xattn_time": True,
            },
        },
    ),
    (
        "autoencoder",
        "dit",
        {"config": {"diffusion_objective": "v"}},
        {"config": {**DIT, "io_channels": 2, "input_concat_dim": 4, "diffusion_objective": "v"}},
    ),
    (
        "autoencoder",
        "adp_1d",
        {"config": ADP},
        {"config": {**ADP_FULL, "context_channels": [4]}},
    ),
    (
        "autoencoder",
        "DAU1d",
        {"config": {"strides": [2] * 13}},
        {"config": {**DAU1D, "cond_dim": 4, "cond_noise_aug": True}},
    ),
    (
        "conditioner",
        "int",
        {"config": {}},
        {"config": {"output_dim": 8, "min_val": -2, "max_val": 9}},
    ),
    (
        "conditioner",
        "number",
        {"config": {}},
        {"config": {"output_dim": 8, "min_val": -1.5, "max_val": 9}},
    ),
    (
        "conditioner",
        "list",
        {"config": {"options": ["a"]}},
        {"config": {"output_dim": 8, "options": ["a", 1, 2.5, True]}},
    ),
    (
        "conditioner",
        "t5",
        {"config": {}},
        {
            "config": {
                "output_dim": 8,
                "t5_model_name": "google/flan-t5-xl",
                "max_length": 64,
                "enable_grad": True,
                "project_out": True,
            }
        },
    ),
    (
        "conditioner",
        "clap_text",
        {"config": CLAP},
        {"config": {**CLAP_FULL, "use_text_features": True, "feature_layer_ix": -2}},
    ),
    ("conditioner", "clap_audio", {"config": CLAP}, {"config": CLAP_FULL}),
    (
        "conditioner",
        "phoneme",
        {"config": {}},
        {"config": {"output_dim": 8, "max_length": 9, "project_out": True}},
    ),
    (
        "conditioner",
        "lut",
        {"config": {"tokenizer_name": "t5-small"}},
        {
            "config": {
                "output_dim": 8,
                "tokenizer_name": "t5-small",
                "max_length": 9,
                "use_abs_pos_emb": True,
                "project_out": True,
                "special_tokens": ["<x>"],
            }
        },
    ),
    ("conditioner", "pretransform", {"config": ENCODED}, {"config": ENCODED_FULL}),
    (
        "conditioner",
        "source_mix",
        {"config": ENCODED},
        {
            "config": {
                **ENCODED_FULL,
                "source_keys": ["vox", "drums"],
                "pre_encoded": True,
                "allow_null_source": True,
                "source_length": 12,
            }
        },
    ),
    (
        "lm",
        "continuous_transformer",
        {"config": {"embed_dim": 64, "depth": 2}},
        {
            **ROUTES,
            "codebook_pattern": {"type": "unroll"},
            "config": {
                **TRANSFORMER,
                "embed_dim": 64,
                "depth": 2,
                "dim_heads": 32,
                "cross_attn_cond_dim": 8,
                "project_cross_attn_cond": True,
                "prepend_cond_dim": 8,
            },
        },
    ),
    ("pattern", "parallel", {}, {"empty_initial": 1}),
    ("pattern", "delay", {}, {"delays": [0, 0, 2], "flatten_first": 2, "empty_initial": 1}),
    ("pattern", "unroll", {}, {"flattening": [0, 1, 1], "delays": [0, 2, 2]}),
    ("pattern", "musiclm", {}, {"group_by": 3}),
]


def form(family: str, tag: str, parts: dict) -> dict:
    named = {"id": "x"} if family == "conditioner" else {}
    return {"type": tag, **named, **parts}


MODES = [
    pytest.param(family, form(family, tag, parts), id=f"{family}-{tag}-{kind}")
    for family, tag, *pair in FORMS
    for kind, parts in zip(("least", "full"), pair, strict=True)
]


def read(table: dict, kind: type):
    """Decode without judging rules."""
    found = schema.struct_slot(kind).struct_for(table)
    assert found is not None
    return convert.convert(table, found)


def codes(value: object) -> list[str]:
    return sorted(rule.code for rule, _, _ in rules.broken(value))


def changed(table: dict, **changes) -> dict:
    """A copy, changed by dotted path; None removes."""
    table = json.loads(json.dumps(table))
    for path, value in changes.items():
        *way, last = path.split("__")
        inner = table
        for key in way:
            inner = inner[int(key) if isinstance(inner, list) else key]
        inner.pop(last, None)
        if value is not None:
            inner[last] = value
    return table


# ------------------------------------------------------------------------------------------ nodes


@pytest.mark.parametrize(("family", "node"), MODES)
@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_node_decodes_and_survives_a_round_trip(family, node):
    decoded = sat_config.decode(node, type=FAMILIES[family])
    assert read(encode.plain(decoded), FAMILIES[family]) == decoded


@pytest.mark.parametrize(("family", "tag", "least", "full"), FORMS)
def test_full_form_names_every_key(family, tag, least, full):
    node = read(form(family, tag, full), FAMILIES[family])
    assert set(full) | ({"id"} if family == "conditioner" else set()) == set(
        schema.fields(type(node))
    ) - {"pretransform"}
    if "config" in full:
        assert set(full["config"]) == set(schema.fields(type(node.config)))


def test_forms_cover_every_member():
    for name, base in FAMILIES.items():
        members = set(registry.current().families[base].members)
        assert members == {tag for family, tag, *_ in FORMS if family == name}


@pytest.mark.parametrize(("family", "tag", "least", "full"), FORMS)
def test_node_without_a_required_key_is_refused(family, tag, least, full):
    node = form(family, tag, least)
    needed = [key for key in least.get("config", {}) if key != "use_model_pretransform"]
    for key in needed:
        rest = changed(node, **{f"config__{key}": None})
        with pytest.raises(sat_config.ConfigError, match=key):
            sat_config.decode(rest, type=FAMILIES[family])
    for key in {"id", "config"} & set(node):
        with pytest.raises(sat_config.ConfigError, match=key):
            sat_config.decode(changed(node, **{key: None}), type=FAMILIES[family])


@pytest.mark.parametrize(
    ("family", "node", "place"),
    [
        ("uncond", {"type": "adp_1d", "config": ADP}, "no unconditional diffusion backbone"),
        ("uncond", {"type": "dit", "config": {"io_channels": 4}}, "io_channels"),
        ("uncond", {"type": "dit", "config": {"in_channels": 4, "cond_token_dim": 8}}, "cond_tok"),
        ("uncond", {"type": "adp_uncond_1d", "config": {**ADP, **CROSS}}, "context_embedding"),
        ("uncond", {"type": "DAU1d", "config": {"cond_dim": 4}}, "cond_dim"),
        ("cond", {"type": "DAU1d", "config": {}}, "no diffusion backbone"),
        ("cond", {"type": "dit", "config": {"in_channels": 4}}, "in_channels"),
        ("cond", {"type": "dit", "config": {"dim_heads": 64}}, "dim_heads"),
        ("cond", {"type": "dit", "config": {"transformer_type": "x-transformers"}}, "transformer"),
        ("cond", {"type": "dit", "config": {"global_cond_type": "adaln"}}, "global_cond_type"),
        ("cond", {"type": "dit", "config": {"attn_kwargs": {"causal": True}}}, "causal"),
        (
            "cond",
            {"type": "dit", "config": {"ff_kwargs": {"zero_init_output": True}}},
            "zero_init_output",
        ),
        ("cond", {"type": "dit", "config": {}, "diffusion_objective": "eps"}, "eps"),
        ("cond", {"type": "adp_1d", "config": {**ADP, **CROSS}}, "context_embedding"),
        (
            "cond",
            {"type": "adp_1d", "config": {**ADP, "kernel_multiplier_downsample": 3}},
            "kernel_multiplier_downsample",
        ),
        ("autoencoder", {"type": "adp_cfg_1d", "config": {**ADP, **CROSS}}, "adp_cfg_1d"),
        ("autoencoder", {"type": "adp_1d", "config": {**ADP, "context_features": 8}}, "context_f"),
        (
            "autoencoder",
            {"type": "dit", "config": {"diffusion_objective": "v", "prepend_cond_dim": 8}},
            "prepend_cond_dim",
        ),
        (
            "conditioner",
            {"id": "a", "type": "t5", "config": {"t5_model_name": "google/flan-t5-3b"}},
            "google/flan-t5-xl",
        ),
        ("conditioner", {"id": "a.b", "type": "int", "config": {}}, "id"),
        ("conditioner", {"id": "a", "type": "list", "config": {"options": []}}, "options"),
        (
            "conditioner",
            {"id": "a", "type": "clap_text", "config": {**CLAP, "enable_grad": True}},
            "enable_grad",
        ),
        (
            "lm",
            {"type": "continuous_transformer", "config": {"embed_dim": 8, "depth": 1, "causal": 1}},
            "causal",
        ),
        ("lm", {"type": "x-transformers", "config": {}}, "language model backbone"),
    ],
)
def test_what_cannot_work_is_refused(family, node, place):
    with pytest.raises(sat_config.ConfigError, match=place):
        sat_config.decode(node, type=FAMILIES[family])


@pytest.mark.parametrize(
    ("family", "tag", "reason"),
    [
        ("uncond", "adp_1d", "adp_uncond_1d"),
        ("uncond", "adp_cfg_1d", "there are none here"),
        ("cond", "adp_uncond_1d", "called adp_1d"),
        ("cond", "DAU1d", "SAT fails"),
        ("autoencoder", "adp_cfg_1d", "there are none here"),
        ("autoencoder", "adp_uncond_1d", "is adp_1d"),
        ("lm", "x-transformers", "take continuous_transformer"),
    ],
)
def test_network_in_the_wrong_place_is_refused_with_the_reason(family, tag, reason):
    with pytest.raises(sat_config.ConfigError, match=reason):
        sat_config.decode({"type": tag, "config": {}}, type=FAMILIES[family])


def test_objective_inside_the_config_is_sent_to_its_place():
    model = changed(MODEL, diffusion__config__diffusion_objective="v")
    with pytest.raises(sat_config.ConfigError, match=r"belongs at diffusion\.diffusion_objective"):
        sat_config.decode(model, type=DiffusionCondConfig)


def test_inert_keys_are_known_and_warned_of():
    node = {"id": "a", "type": "phoneme", "config": {"max_length": 9}}
    with pytest.warns(sat_config.ConfigWarning, match="max_length has no effect"):
        sat_config.decode(node, type=ConditionerNode)
    node = {**form("lm", "continuous_transformer", FORMS[-5][2]), "global_cond_ids": ["a"]}
    with pytest.warns(sat_config.ConfigWarning, match="global_cond_ids has no effect"):
        sat_config.decode(node, type=LMBackboneNode)


def test_pattern_named_by_a_word_is_the_node_with_its_defaults():
    for word in ("parallel", "delay", "unroll", "musiclm"):
        table = form("lm", "continuous_transformer", FORMS[-5][2])
        found = read({**table, "codebook_pattern": word}, LMBackboneNode)
        assert found.pattern == read({"type": word}, CodebookPatternNode)
    assert read(table, LMBackboneNode).pattern == lm.DelayPatternNode()
    given = {"type": "musiclm", "group_by": 3}
    found = read({**table, "codebook_pattern": given}, LMBackboneNode)
    assert found.pattern == lm.MusicLMPatternNode(group_by=3)
    with pytest.raises(sat_config.ConfigError, match='try: "delay"'):
        sat_config.decode({**table, "codebook_pattern": "delayed"}, type=LMBackboneNode)


def test_only_what_surrounds_the_network_survives_a_change_of_its_type():
    shared = set(schema.fields(DiffusionBackboneNode))
    assert shared == set(OUTER)
    assert set(schema.fields(ConditionerNode)) == {"id"}
    assert set(schema.fields(DiffusionUncondNode)) == {"pretransform"}
    assert set(schema.fields(DiffusionAutoencoderBackboneNode)) == set()
    assert set(schema.fields(LMBackboneNode)) == {*ROUTES, "codebook_pattern"}


# ------------------------------------------------------------------------------------------ facts


@pytest.mark.parametrize(
    ("family", "tag", "channels", "multiple"),
    [
        ("uncond", "dit", 4, 2),
        ("uncond", "adp_uncond_1d", 2, 8),
        ("uncond", "DAU1d", 1, 8),
        ("cond", "dit", 4, 2),
        ("cond", "adp_1d", 2, 8),
        ("cond", "adp_cfg_1d", 2, 8),
        ("autoencoder", "dit", 2, 2),
        ("autoencoder", "adp_1d", 2, 8),
        ("autoencoder", "DAU1d", 1, 8),
    ],
)
def test_backbone_knows_its_channels_and_lengths(family, tag, channels, multiple):
    full = next(full for f, t, _, full in FORMS if (f, t) == (family, tag))
    node = read(form(family, tag, full), FAMILIES[family])
    assert node.length_multiple == multiple
    if family != "cond":
        assert node.io_channels == channels
    if family != "autoencoder":
        assert {count for _, count in node.declared_channels} == {channels}
    if family == "autoencoder":
        assert node.latent_inlet.width == 4


def test_default_dance_diffusion_halves_thirteen_times():
    assert unet.DAU1dConfig().length_multiple == 8192
    assert codes(unet.DAU1dConfig()) == []


def test_ways_into_each_network_and_their_widths():
    dit, adp, cfg = (
        read(form("cond", tag, full), DiffusionBackboneNode)
        for family, tag, _, full in FORMS
        if family == "cond"
    )
    assert {key: inlet.width for key, inlet in dit.inlets.items()} == {
        "cross_attention_cond_ids": 32,
        "global_cond_ids": 64,
        "prepend_cond_ids": 8,
        "input_concat_ids": 5,
    }
    assert {key: inlet.width for key, inlet in adp.inlets.items()} == {
        "global_cond_ids": 8,
        "input_concat_ids": 3,
    }
    assert {key: inlet.width for key, inlet in cfg.inlets.items()} == {
        "cross_attention_cond_ids": 8,
        "global_cond_ids": 8,
        "input_concat_ids": 4,
    }


def test_conditioners_know_their_widths_shapes_and_tokens():
    facts = {}
    for family, tag, *pair in FORMS:
        if family == "conditioner":
            nodes = [read(form(family, tag, parts), ConditionerNode) for parts in pair]
            facts[tag] = [(n.shape, n.width(768), n.num_tokens) for n in nodes]
    one = [("vector", 768, 1), ("vector", 8, 1)]
    signal = [("signal", 768, None), ("signal", 8, None)]
    assert facts == {
        "int": one,
        "number": one,
        "list": one,
        "t5": [("sequence", 768, 128), ("sequence", 8, 64)],
        "clap_text": [("vector", 768, 1), ("sequence", 8, None)],
        "clap_audio": one,
        "phoneme": [("sequence", 768, None), ("sequence", 8, None)],
        "lut": [("sequence", 768, 1024), ("sequence", 8, 9)],
        "pretransform": signal,
        "source_mix": signal,
    }
    assert conditioner.T5Config().encoder_width == 768
    assert set(conditioner.T5_WIDTHS) == set(conditioner.T5Name.__args__)
    assert conditioner.ClapAudioConfig(clap_ckpt_path="x").encoder_width == 512
    text = conditioner.ClapTextConfig(clap_ckpt_path="x", use_text_features=True)
    assert (text.encoder_width, conditioner.ClapTextConfig(clap_ckpt_path="x").encoder_width) == (
        768,
        512,
    )


def _structs() -> Iterator[type[msgspec.Struct]]:
    waiting: list[type] = [
        *FAMILIES.values(),
        DiffusionCondConfig,
        LMModelConfig,
        ConditioningConfig,
    ]
    seen = set()
    while waiting:
        cls = waiting.pop()
        if cls in seen:
            continue
        seen.add(cls)
        yield cls
        head = registry.current().families.get(cls)
        waiting += head.members.values() if head else ()
        for field in schema.fields(cls).values():
            slots = (field.slot, field.slot.item)
            waiting += [found for slot in slots if slot for found in slot.structs]


def test_every_default_decodes():
    for cls in _structs():
        for field in schema.fields(cls).values():
            if not field.required:
                plain = msgspec.json.decode(msgspec.json.encode(field.default))
                assert convert.fault(plain, field.slot.annotation) is None, (cls, field.key)


def test_every_field_is_described_and_no_struct_is_free_form():
    for cls in _structs():
        own = set(cls.__struct_fields__) - set(cls.__mro__[1].__struct_fields__)
        assert own <= set(jsonschema.descriptions(cls)), cls
        assert issubclass(cls, Node)
        assert cls.__struct_config__.forbid_unknown_fields


def test_keys_that_no_condition_can_reach_are_left_out():
    assert not set(schema.fields(transformer.DiTUncondConfig)) & {"cond_token_dim", "io_channels"}
    assert not set(schema.fields(unet.AdpUncond1dConfig)) & {"context_features", *CROSS}


# ------------------------------------------------------------------------------------------ rules

CONDITIONING = {
    "cond_dim": 8,
    "configs": [
        {"id": "prompt", "type": "t5", "config": {"t5_model_name": "t5-small", "max_length": 16}},
        {"id": "start", "type": "number", "config": {"max_val": 512}},
        {"id": "total", "type": "int", "config": {}},
        {
            "id": "ref",
            "type": "pretransform",
            "config": {"sample_rate": 8000, "pretransform_config": PATCHED},
        },
    ],
}
MODEL = {
    "io_channels": 8,
    "pretransform": PATCHED,
    "conditioning": CONDITIONING,
    "diffusion": {
        "type": "dit",
        "cross_attention_cond_ids": ["prompt", "start"],
        "global_cond_ids": ["start", "total"],
        "prepend_cond_ids": ["total"],
        "input_concat_ids": ["ref"],
        "config": {
            "io_channels": 8,
            "embed_dim": 64,
            "depth": 1,
            "num_heads": 2,
            "cond_token_dim": 8,
            "global_cond_dim": 16,
            "prepend_cond_dim": 8,
            "input_concat_dim": 8,
        },
    },
}
ADP_CFG = {
    "type": "adp_cfg_1d",
    "cross_attention_cond_ids": ["prompt", "start"],
    "global_cond_ids": ["start"],
    "input_concat_ids": ["ref"],
    "config": {
        **ADP,
        **ADP_ATTENTION,
        "in_channels": 8,
        "context_embedding_features": 8,
        "context_embedding_max_length": 17,
        "context_features": 8,
        "context_channels": [8],
    },
}
INPAINT = ["inpaint_mask", "inpaint_masked_input"]


def cond(**changes) -> DiffusionCondConfig:
    return read(changed(MODEL, **changes), DiffusionCondConfig)


def adp(**changes) -> DiffusionCondConfig:
    return read(changed({**MODEL, "diffusion": ADP_CFG}, **changes), DiffusionCondConfig)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"io_channels": 4}, ["SAT-E014"]),
        ({"diffusion__config__io_channels": 4}, ["SAT-E014"]),
        ({"pretransform": None}, []),
        ({"pretransform": None, "io_channels": 4}, ["SAT-E014"]),
        ({"diffusion__global_cond_ids": ["starts", "total"]}, ["SAT-E015"]),
        ({"diffusion__global_cond_ids": ["total", "inpaint_mask"]}, ["SAT-E015"]),
        ({"diffusion__cross_attention_cond_ids": []}, []),
        ({"diffusion__config__cond_token_dim": 9}, ["SAT-E016"]),
        ({"diffusion__config__cond_token_dim": 0}, ["SAT-E016"]),
        ({"conditioning__configs__0__config__output_dim": 9}, ["SAT-E016"]),
        ({"diffusion__config__global_cond_dim": 8}, ["SAT-E017"]),
        ({"diffusion__config__global_cond_dim": 0}, ["SAT-E017"]),
        ({"diffusion__config__project_global_cond": False}, ["SAT-E017"]),
        (
            {
                "diffusion__config__project_global_cond": False,
                "diffusion__config__global_cond_dim": 64,
                "conditioning__configs__1__config__output_dim": 32,
                "conditioning__configs__2__config__output_dim": 32,
                "diffusion__cross_attention_cond_ids": ["prompt"],
                "diffusion__config__prepend_cond_dim": 32,
            },
            [],
        ),
        ({"diffusion__global_cond_ids": []}, []),
        ({"diffusion__config__input_concat_dim": 4}, ["SAT-E018"]),
        ({"diffusion__input_concat_ids": []}, ["SAT-E018"]),
        (
            {
                "diffusion__input_concat_ids": INPAINT,
                "diffusion__config__input_concat_dim": 9,
            },
            [],
        ),
        ({"diffusion__config__prepend_cond_dim": 0}, ["SAT-E019"]),
        ({"diffusion__global_cond_ids": ["start", "prompt"]}, ["SAT-E122"]),
        ({"diffusion__prepend_cond_ids": ["ref"]}, ["SAT-E122"]),
        ({"conditioning__pre_encoded_keys": ["start"]}, ["SAT-E037"]),
        (
            {
                "conditioning__pre_encoded_keys": ["ref"],
                "diffusion__config__input_concat_dim": 99,
            },
            [],
        ),
        ({"conditioning__pre_encoded_keys": ["other"]}, ["SAT-E127"]),
        ({"conditioning__default_keys": {"starts": "total"}}, ["SAT-E127"]),
        ({"conditioning__default_keys": {"start": "total"}}, []),
        ({"conditioning__configs__1__id": "total"}, ["SAT-E015", "SAT-E015", "SAT-E127"]),
        ({"conditioning": None}, ["SAT-E015"] * 6),
    ],
)
def test_conditions_fit_the_network(changes, found):
    assert codes(cond(**changes)) == found


def test_width_of_conditions_is_proposed():
    broken = list(rules.broken(cond(diffusion__config__global_cond_dim=0)))
    assert [(path, found.message, found.fix) for _, path, found in broken] == [
        (
            ("diffusion", "config", "global_cond_dim"),
            "global_cond_dim is 0, but global_cond_ids give 8 + 8 = 16",
            "16",
        )
    ]
    broken = list(rules.broken(cond(diffusion__global_cond_ids=["starts", "total"])))
    assert [(path, found.fix) for _, path, found in broken] == [
        (("diffusion", "global_cond_ids", 0), "start")
    ]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"diffusion__config__in_channels": 4}, ["SAT-E014"]),
        ({"diffusion__config__out_channels": 4}, ["SAT-E014"]),
        ({"diffusion__config__context_embedding_features": 9}, ["SAT-E028"]),
        ({"diffusion__cross_attention_cond_ids": []}, ["SAT-E028"]),
        ({"diffusion__config__context_embedding_max_length": 16}, ["SAT-E028"]),
        ({"diffusion__config__context_features": 9}, ["SAT-E029"]),
        ({"diffusion__config__context_channels": [0, 16]}, ["SAT-E029"]),
        ({"diffusion__global_cond_ids": []}, ["SAT-E029"]),
        ({"diffusion__config__context_channels": [8, 8]}, ["SAT-E130"]),
        ({"diffusion__config__context_channels": [8, 0, 0, 0]}, ["SAT-E130"]),
        ({"diffusion__config__context_channels": None}, ["SAT-W124"]),
        ({"diffusion__config__context_features": None}, ["SAT-W124"]),
        ({"diffusion__prepend_cond_ids": ["start"]}, ["SAT-W124"]),
    ],
)
def test_conditions_fit_a_unet(changes, found):
    assert codes(adp(**changes)) == found


def test_conditions_that_a_unet_drops_are_a_warning():
    config = {key: value for key, value in ADP_CFG["config"].items() if key not in CROSS}
    model = adp(diffusion={**ADP_CFG, "type": "adp_1d", "config": config})
    assert codes(model) == ["SAT-W124"]


@pytest.mark.parametrize(
    ("node", "broken", "mended"),
    [
        ({"type": "pretransform"}, {"sample_rate": 8000}, ENCODED),
        (
            {"type": "pretransform"},
            {**ENCODED, "pretransform_config": PATCHED},
            {"sample_rate": 8000, "pretransform_config": PATCHED},
        ),
    ],
)
def test_audio_conditioner_has_one_pretransform(node, broken, mended):
    assert codes(read({**node, "id": "x", "config": broken}, ConditionerNode)) == ["SAT-E120"]
    assert codes(read({**node, "id": "x", "config": mended}, ConditionerNode)) == []


@pytest.mark.parametrize(
    ("tag", "config", "found"),
    [
        ("source_mix", {**ENCODED, "allow_null_source": True}, ["SAT-E034"]),
        ("source_mix", {**ENCODED, "allow_null_source": True, "source_length": 9}, []),
        ("int", {"min_val": 5, "max_val": 4}, ["SAT-E035", "SAT-W035"]),
        ("int", {"min_val": -5, "max_val": 4}, ["SAT-W035"]),
        ("int", {"max_val": 0}, []),
        ("number", {"min_val": 1}, ["SAT-E036"]),
        ("number", {"min_val": -1}, []),
    ],
)
def test_conditioner_range(tag, config, found):
    assert codes(read({"type": tag, "id": "x", "config": config}, ConditionerNode)) == found


def test_models_pretransform_is_there_when_a_conditioner_uses_it():
    shared = {"conditioning__configs__3__config": ENCODED}
    assert codes(cond(**shared)) == []
    assert codes(cond(**shared, pretransform=None)) == ["SAT-E033"]


def test_widths_that_only_sat_cannot_change_are_a_warning():
    wide = {
        "conditioning__configs__3__config__output_dim": 6,
        "diffusion__config__input_concat_dim": 6,
    }
    assert codes(cond(**wide)) == ["SAT-W032"]
    assert codes(cond(conditioning__configs__3__type="source_mix")) == ["SAT-W032"]
    assert codes(cond(**wide, conditioning__configs__3__type="source_mix")) == []


SMALL = {"in_channels": 4, "embed_dim": 64, "num_heads": 2}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, []),
        ({"num_heads": 3}, ["SAT-E020", "SAT-E021"]),
        ({"embed_dim": 100, "num_heads": 3}, ["SAT-E020"]),
        ({"num_heads": 4}, ["SAT-E021"]),
        ({"num_heads": 4, "rotary_pos_emb": False}, []),
        ({"embed_dim": 65, "num_heads": 1, "use_sinusoidal_emb": True}, ["SAT-E121"]),
        ({"use_sinusoidal_emb": True}, []),
        ({"ff_kwargs": {"dim_out": 32}}, ["SAT-E125"]),
        ({"ff_kwargs": {"dim_out": 64}}, []),
        ({"ff_kwargs": {"use_conv": True, "conv_kernel_size": 4}}, ["SAT-E125"]),
        ({"ff_kwargs": {"conv_kernel_size": 5}}, ["SAT-W128"]),
        ({"ff_kwargs": {"use_conv": True, "conv_kernel_size": 5}}, []),
        ({"remove_norms": True, "norm_kwargs": {"bias": True}}, ["SAT-W128"]),
        ({"use_sinusoidal_emb": True, "use_abs_pos_emb": True}, ["SAT-W128"]),
        ({"add_rope": True}, ["SAT-W128"]),
        ({"add_rope": True, "rotary_pos_emb": False}, []),
        ({"timestep_embed_dim": 4}, ["SAT-W128"]),
        ({"timestep_cond_type": "input_concat"}, ["SAT-E129"]),
        ({"timestep_cond_type": "input_concat", "timestep_embed_dim": 4}, []),
    ],
)
def test_transformer_options_fit(config, found):
    node = read({"type": "dit", "config": {**SMALL, **config}}, DiffusionUncondNode)
    assert codes(node) == found
    lm_config = {"embed_dim": 64, "depth": 1, "dim_heads": 48}
    assert codes(convert.convert(lm_config, lm.TransformerLMConfig)) == ["SAT-E020"]
    lm_config = {"embed_dim": 64, "depth": 1, "dim_heads": 16}
    assert codes(convert.convert(lm_config, lm.TransformerLMConfig)) == ["SAT-E021"]


@pytest.mark.parametrize(
    ("width", "heads", "found"),
    [(768, 24, []), (64, 24, []), (96, 24, ["SAT-E022"]), (640, 24, ["SAT-E022"])],
)
def test_unprojected_conditions_share_heads(width, heads, found):
    config = {"embed_dim": 1536, "num_heads": heads, "cond_token_dim": width}
    node = convert.convert({**config, "project_cond_tokens": False}, transformer.DiTConfig)
    assert codes(node) == found
    assert codes(convert.convert(config, transformer.DiTConfig)) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"factors": [2]}, ["SAT-E025"]),
        ({"factors": [2, 2, 2]}, ["SAT-E025"]),
        ({"num_blocks": [1]}, ["SAT-E025"]),
        ({"attentions": [0]}, ["SAT-E025"]),
        ({"attentions": [0, 0]}, []),
        ({"channels": 36}, ["SAT-E026"] * 2),
        ({"channels": 36, "attentions": [0, 0], "resnet_groups": 4}, []),
        ({"channels": 48, "attentions": [0, 1]}, []),
        ({"channels": 48, "attentions": [0, 0, 1], "multipliers": [1, 1, 1]}, ["SAT-E026"]),
        ({"channels": 40, "attentions": [0, 1]}, ["SAT-E026"]),
        ({"patch_size": 5}, ["SAT-E026"]),
        ({"channels": 33, "resnet_groups": 1, "attentions": [0, 0]}, ["SAT-E026"]),
        (
            {
                "channels": 33,
                "resnet_groups": 1,
                "attentions": [0, 0],
                "use_context_time": False,
            },
            [],
        ),
        ({"attention_multiplier": None}, ["SAT-E027"]),
        ({"attention_heads": None}, ["SAT-E027"]),
        ({"attention_heads": None, "attention_features": 8}, []),
        ({"use_stft": True}, ["SAT-E123"]),
        ({"use_stft": True, "stft_num_fft": 64}, []),
        ({"stft_num_fft": 64}, ["SAT-E123"]),
        ({"stft_hop_length": 64, "use_stft_context": True}, ["SAT-E123", "SAT-E123"]),
    ],
)
def test_unet_options_fit(changes, found):
    config = changed({**ADP, **ADP_ATTENTION}, **changes)
    assert codes(convert.convert(config, unet.AdpUncond1dConfig)) == found


def test_condition_channels_count_in_the_groups_of_a_unet():
    config = {**ADP, **ADP_ATTENTION, "context_channels": [0, 3]}
    assert codes(convert.convert(config, unet.AdpConcatConfig)) == ["SAT-E026"]
    config["context_channels"] = [3]
    assert codes(convert.convert(config, unet.AdpConcatConfig)) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"kernel_size": 4}, ["SAT-E126"]),
        ({"depth": 4}, ["SAT-E126", "SAT-E126"]),
        ({"depth": 2**62}, ["SAT-E126", "SAT-E126"]),
        ({"depth": 4, "channels": [32] * 4}, ["SAT-E126"]),
        ({"depth": 4, "channels": [32] * 4, "strides": [2] * 3}, []),
        ({"learned_resample": False}, ["SAT-E126"]),
        ({"learned_resample": False, "strides": [2, 2]}, []),
        ({"channels": [32, 16, 64]}, ["SAT-E126", "SAT-E126"]),
        ({"channels": [16, 16, 16], "n_attn_layers": 0}, []),
    ],
)
def test_dance_diffusion_levels_fit(changes, found):
    assert codes(convert.convert(changed(DAU1D, **changes), unet.DAU1dConfig)) == found


def test_shift_grows_over_a_range():
    assert codes(DistributionShift(min_length=256, max_length=256)) == ["SAT-E051"]
    assert codes(DistributionShift()) == []


CODEC = {
    "encoder": {"type": "oobleck", "config": {"strides": [2, 4], "c_mults": [1, 2]}},
    "latent_dim": 32,
    "downsampling_ratio": 8,
    "io_channels": 2,
}


@pytest.mark.parametrize(
    ("tag", "config", "key"),
    [
        ("dit", {"io_channels": 2, "diffusion_objective": "v"}, "input_concat_dim"),
        ("adp_1d", {**ADP, **ADP_ATTENTION}, "context_channels"),
        ("DAU1d", {"strides": [2] * 13}, "cond_dim"),
    ],
)
def test_diffusion_autoencoder_takes_its_latents(tag, config, key):
    def broken(width: int, channels: int = 2) -> list[str]:
        inlet = {key: [width] if key == "context_channels" else width}
        table = {**CODEC, "io_channels": channels}
        table["diffusion"] = {"type": tag, "config": {**config, **inlet}}
        found = codes(convert.convert(table, DiffusionAutoencoderConfig))
        return [code for code in found if code != "SAT-E006"]

    assert broken(32) == []
    assert broken(16) == ["SAT-E131"]
    assert broken(32, channels=1) == ["SAT-E131"]


def test_diffusion_autoencoder_takes_what_its_decoder_makes():
    decoder = {"type": "oobleck", "config": {"strides": [2, 4], "c_mults": [1, 2]}}
    network = {"type": "dit", "config": {"io_channels": 2, "diffusion_objective": "v"}}
    network["config"]["input_concat_dim"] = 2
    table = {**CODEC, "decoder": decoder, "diffusion": network}
    assert codes(convert.convert(table, DiffusionAutoencoderConfig)) == []


# ------------------------------------------------------------------------------- language models


def codec(books: int) -> dict:
    rvq = {"input_dim": 8, "n_codebooks": books, "codebook_size": 16}
    halves = {"strides": [2, 4], "c_mults": [1, 2], "latent_dim": 8}
    parts = {
        "encoder": {"type": "oobleck", "config": halves},
        "decoder": {"type": "oobleck", "config": halves},
        "bottleneck": {"type": "dac_rvq", "config": rvq},
        "latent_dim": 8,
        "downsampling_ratio": 8,
        "io_channels": 2,
    }
    return {"type": "autoencoder", "config": parts}


LM = {
    "pretransform": codec(4),
    "conditioning": CONDITIONING,
    "lm": {
        "type": "continuous_transformer",
        "codebook_pattern": "musiclm",
        "cross_attention_cond_ids": ["prompt"],
        "prepend_cond_ids": ["start"],
        "config": {
            "embed_dim": 64,
            "depth": 1,
            "cross_attn_cond_dim": 8,
            "project_cross_attn_cond": True,
            "prepend_cond_dim": 8,
        },
    },
}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"pretransform": PATCHED}, ["SAT-E052"]),
        ({"pretransform__config__bottleneck": None}, ["SAT-E052"]),
        ({"pretransform": codec(3)}, ["SAT-E053"]),
        ({"pretransform": codec(3), "lm__codebook_pattern": "delay"}, []),
        (
            {"pretransform": codec(3), "lm__codebook_pattern": {"type": "musiclm", "group_by": 3}},
            [],
        ),
        ({"lm__codebook_pattern": {"type": "delay", "delays": [0, 1]}}, ["SAT-E053"]),
        ({"lm__codebook_pattern": {"type": "delay", "delays": [0, 1, 1, 1]}}, []),
        (
            {"lm__codebook_pattern": {"type": "unroll", "flattening": [0], "delays": [0]}},
            ["SAT-E053", "SAT-E053"],
        ),
        ({"lm__config__project_cross_attn_cond": False}, ["SAT-E055"]),
        ({"lm__config__cross_attn_cond_dim": 0}, ["SAT-E016"]),
        ({"lm__config__prepend_cond_dim": 0}, ["SAT-E019"]),
        ({"lm__prepend_cond_ids": ["inpaint_mask"]}, ["SAT-E015"]),
    ],
)
def test_language_model_fits(changes, found):
    assert codes(read(changed(LM, **changes), LMModelConfig)) == found


# -------------------------------------------------------------------------------- experiments


class Training(Node, kw_only=True):
    inpainting: dict[str, int] | None = None
    mask_padding: bool = False


class Cond(AudioExperiment, kw_only=True, tag="diffusion_cond"):
    model: DiffusionCondConfig
    training: Training | None = None


class Inpaint(AudioExperiment, kw_only=True, tag="diffusion_cond_inpaint"):
    model: DiffusionCondConfig
    training: Training | None = None


def conditional(model: DiffusionCondConfig, kind: type = Cond, **keys) -> list[str]:
    return codes(kind(model=model, sample_rate=44100, sample_size=4096, **keys))


def test_length_is_a_whole_number_of_patches():
    assert conditional(cond(diffusion__config__patch_size=3)) == ["SAT-E023"]
    assert conditional(cond(diffusion__config__patch_size=4)) == []
    assert conditional(cond(diffusion__config__patch_size=3), dataset=latents(1024)) == ["SAT-E023"]
    assert conditional(cond(diffusion__config__patch_size=3), dataset=latents(1023)) == []


def test_length_is_a_multiple_of_what_a_unet_divides_it_by():
    assert conditional(adp(diffusion__config__factors=[3, 2])) == ["SAT-E024"]
    assert conditional(adp()) == []
    model = read({"type": "DAU1d", "config": {"io_channels": 2}}, DiffusionUncondNode)
    keys = {"model": model, "sample_rate": 44100}
    assert codes(DiffusionUncondExperiment(**keys, sample_size=65536)) == []
    broken = list(rules.broken(DiffusionUncondExperiment(**keys, sample_size=65000)))
    assert [(rule.code, found.fix) for rule, _, found in broken] == [("SAT-E024", "57344 or 65536")]


def latents(frames: int):
    from sat_config.audio.dataset import DatasetNode

    table = {"dataset_type": "pre_encoded", "datasets": [{"id": "a", "path": "/a"}]}
    return read({**table, "latent_crop_length": frames}, DatasetNode)


def test_conditional_model_is_trained_with_conditions():
    bare = cond(
        conditioning=None,
        diffusion={"type": "dit", "config": {"io_channels": 8, "embed_dim": 256}},
    )
    assert conditional(bare) == []
    assert conditional(bare, training=Training()) == ["SAT-E038"]


def test_inpainting_needs_its_ids_and_masks():
    plain = cond()
    masked = cond(diffusion__input_concat_ids=INPAINT, diffusion__config__input_concat_dim=9)
    masks = Training(inpainting={})
    assert conditional(plain, training=masks) == ["SAT-E039"]
    assert conditional(masked, training=masks) == []
    assert conditional(masked, training=Training()) == ["SAT-E039"]
    assert conditional(masked) == []
    assert conditional(plain, Inpaint) == ["SAT-E039"]
    assert conditional(masked, Inpaint, training=masks) == []


def test_padding_masks_need_a_transformer():
    assert conditional(adp(), training=Training(mask_padding=True)) == ["SAT-E040"]
    assert conditional(cond(), training=Training(mask_padding=True)) == []


def test_unconditional_model_has_the_channels_of_its_latents():
    table = {"type": "dit", "pretransform": PATCHED, "config": {**SMALL, "in_channels": 8}}
    assert codes(read(table, DiffusionUncondNode)) == []
    table["config"]["in_channels"] = 4
    assert codes(read(table, DiffusionUncondNode)) == ["SAT-E014"]


# ----------------------------------------------------------------------------- files of the public


def _corpus() -> Iterator[tuple[str, type, dict]]:
    """Every upstream network and conditioning block, without what is encoded before it."""
    roots = {
        "diffusion_uncond": DiffusionUncondNode,
        "diffusion_cond": DiffusionCondConfig,
        "diffusion_cond_inpaint": DiffusionCondConfig,
        "diffusion_autoencoder": DiffusionAutoencoderConfig,
    }
    for entry in json.loads((SHARED / "corpus/index.json").read_text()):
        if entry["status"] == "upstream" and entry.get("model_type") in roots:
            model = json.loads((SHARED / "corpus" / entry["file"]).read_text())["model"]
            if entry["model_type"] != "diffusion_autoencoder":
                model = {key: value for key, value in model.items() if key != "pretransform"}
            yield entry["file"], roots[entry["model_type"]], model


@needs_shared
def test_networks_of_public_files_decode_and_fit():
    found = {}
    count = 0
    for where, kind, table in _corpus():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sat_config.ConfigWarning)
            decoded = sat_config.decode(table, type=kind)
        if broken := codes(decoded):
            found[Path(where).name] = broken
        count += 1
    assert count > 40
    assert found == {  # neither can train
        "ChiragPritmanii__stable-audio-tools__stable_audio_2_0__3583395.json": ["SAT-E017"],
        "fred-dev__stable-audio-tools__model_config_float_conditioning_adp_cfg_1d.json": [
            "SAT-E014"
        ],
    }


@needs_shared
def test_golden_networks_decode():
    kinds = {"dit", "unet", "diffusion_autoencoder", "diffusion_cond", "diffusion_cond_inpaint"}
    roots = {
        "diffusion_uncond": DiffusionUncondNode,
        "diffusion_autoencoder": DiffusionAutoencoderConfig,
        "lm": LMModelConfig,
    }
    count = 0
    for path in sorted((SHARED / "golden/cases").glob("*.json")):
        case = json.loads(path.read_text())
        if case["kind"] in {*kinds, "lm", "training"} and "model_type" in case["config"]:
            model, tag = case["config"]["model"], case["config"]["model_type"]
            if tag != "autoencoder":
                read(model, roots.get(tag, DiffusionCondConfig))
                count += 1
        elif case["kind"] == "conditioner":
            read(case["config"]["conditioning"], ConditioningConfig)
            count += 1
    assert count > 50


REFERENCE_NODES: dict[tuple[str, str | None], type] = {
    ("conditioning", None): ConditioningConfig,
    ("diffusion", None): DiffusionBackboneNode,
    ("distribution_shift_options", None): DistributionShift,
    ("continuous_transformer", None): lm.TransformerLMConfig,
    ("continuous_transformer.attn_kwargs", None): transformer.AttentionConfig,
    ("continuous_transformer.ff_kwargs", None): transformer.FeedForwardConfig,
    ("continuous_transformer.norm_kwargs", None): transformer.NormConfig,
    ("diffusion_backbone", "dit"): transformer.DiTConfig,
    ("diffusion_backbone", "adp_cfg_1d"): unet.AdpCfg1dConfig,
    ("diffusion_backbone", "adp_1d"): unet.Adp1dConfig,
    ("diffusion_backbone", "adp_uncond_1d"): unet.AdpUncond1dConfig,
    ("diffusion_backbone", "DAU1d"): unet.DAU1dAutoencoderConfig,
    ("lm", None): LMBackboneNode,
    ("lm", "continuous_transformer"): lm.TransformerLMConfig,
    ("model", "diffusion_cond"): DiffusionCondConfig,
    ("model", "lm"): LMModelConfig,
}
REFUSED = {
    ("dit", "in_channels"),  # of an unconditional model
    ("dit", "diffusion_objective"),  # beside `config`
    ("adp_1d", "context_embedding_features"),
    ("adp_uncond_1d", "context_embedding_features"),
    ("adp_uncond_1d", "context_features"),
    ("adp_uncond_1d", "context_channels"),
    (None, "zero_init_output"),
    (None, "causal"),  # set for a language model
}


@needs_shared
def test_keys_and_defaults_are_those_of_the_reference():
    members = registry.current().families[ConditionerNode].members
    nodes = dict(REFERENCE_NODES)
    for tag, node in members.items():
        nodes["conditioner", tag] = schema.fields(node)["config"].slot.structs[0]
    count = 0
    for row in json.loads((SHARED / "reference/config-reference.json").read_text()):
        cls, key = nodes.get((row["node"], row["type"])), row["param"] or ""
        key = key.removeprefix("config.")
        plain = key.isidentifier() and key not in ("type", "config")
        if cls is None or not plain or (row["type"], key) in REFUSED:
            continue
        field = schema.fields(cls)[key]
        needed = row["required"] or (cls is unet.DAU1dAutoencoderConfig and key == "strides")
        assert field.required == needed, (row["type"], key)
        if not needed:
            default = json.loads(msgspec.json.encode(field.default))
            if isinstance(default, dict) and row["default"] == {}:
                default = {}
            assert default == row["default"], (row["type"], key)
        count += 1
    assert count > 200


def test_conditional_family_is_one_per_place():
    assert registry.current().families[DiffusionBackboneNode].members == {
        "dit": diffusion.DiTNode,
        "adp_1d": diffusion.Adp1dNode,
        "adp_cfg_1d": diffusion.AdpCfg1dNode,
    }
    slot = schema.fields(diffusion_autoencoder.DiffusionAutoencoderConfig)["diffusion"].slot
    assert slot.family is registry.current().families[DiffusionAutoencoderBackboneNode]
