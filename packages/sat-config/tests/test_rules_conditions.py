"""Rules between conditions, networks and training."""

import pytest
from audio_forms import changed, codes, read

import sat_config
from sat_config import rules
from sat_config.audio.conditioner import ConditionerNode
from sat_config.audio.dataset import DatasetNode
from sat_config.audio.diffusion import DiffusionCondConfig, DiffusionUncondNode
from sat_config.audio.experiment import AudioExperiment, DiffusionUncondExperiment
from sat_config.node import Node

ADP = {
    "in_channels": 2,
    "channels": 32,
    "multipliers": [1, 1, 2],
    "factors": [2, 2],
    "num_blocks": [1, 2],
    "attentions": [0, 1, 1],
}
ADP_ATTENTION = {"attention_heads": 2, "attention_multiplier": 2}
PATCHED = {"type": "patched", "config": {"channels": 2, "patch_size": 4}}
ENCODED = {"sample_rate": 8000, "use_model_pretransform": True}
CROSS = {"context_embedding_features": 8, "context_embedding_max_length": 16}
SMALL = {"in_channels": 4, "embed_dim": 64, "num_heads": 2}
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


def test_published_codec_hears_a_condition_at_its_own_rate():
    codec = {"type": "dac_pretrained", "config": {"model_type": "16khz"}}
    node = {"type": "pretransform", "id": "x", "config": {"pretransform_config": codec}}
    for rate, found in ((8000, ["SAT-E116"]), (16_000, [])):
        assert codes(read(changed(node, config__sample_rate=rate), ConditionerNode)) == found


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


def test_objective_inside_the_config_is_sent_to_its_place():
    model = changed(MODEL, diffusion__config__diffusion_objective="v")
    with pytest.raises(sat_config.ConfigError, match=r"belongs at diffusion\.diffusion_objective"):
        sat_config.decode(model, type=DiffusionCondConfig)


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
