"""Nodes of autoencoders, their parts and pretransforms, and the rules between them."""

import json
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import sat_config
from sat_config import convert, encode, jsonschema, registry, rules, schema
from sat_config.audio import autoencoder, diffusion, diffusion_autoencoder
from sat_config.audio.autoencoder import AutoencoderConfig, HyperencoderConfig
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.decoder import DecoderNode
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.experiment import AudioExperiment, AutoencoderExperiment
from sat_config.audio.pretransform import PretransformNode

SHARED = Path(__file__).resolve().parents[4] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the corpus is not here")

FAMILIES = {
    "encoder": EncoderNode,
    "decoder": DecoderNode,
    "bottleneck": BottleneckNode,
    "pretransform": PretransformNode,
}

SEANET = {
    "channels": 2,
    "dimension": 16,
    "n_filters": 8,
    "n_residual_layers": 2,
    "ratios": [4, 2],
    "activation": "LeakyReLU",
    "activation_params": {"negative_slope": 0.1},
    "norm": "layer_norm",
    "norm_params": {"eps": 1e-6, "elementwise_affine": False},
    "kernel_size": 5,
    "last_kernel_size": 3,
    "residual_kernel_size": 5,
    "dilation_base": 3,
    "compress": 1,
    "lstm": 0,
    "causal": True,
    "pad_mode": "constant",
    "true_skip": True,
}
OOBLECK = {
    "channels": 8,
    "latent_dim": 4,
    "c_mults": [1, 2],
    "strides": [2, 4],
    "use_snake": True,
    "antialias_activation": True,
}
TAAE = {
    "channels": 64,
    "latent_dim": 6,
    "c_mults": [1, 2],
    "strides": [2, 5],
    "transformer_depths": [1, 0],
    "use_snake": True,
    "sliding_window": [-1, 0],
    "checkpointing": True,
    "conformer": True,
    "layer_scale": False,
    "use_dilated_conv": True,
}
LOCAL = {
    "in_channels": 2,
    "out_channels": 6,
    "embed_dims": [32, 64],
    "heads": [1, 2],
    "depths": [1, 0],
    "ratios": [2, 3],
    "local_attn_window_size": 8,
    "causal": True,
    "ff_mult": 4,
}
RVQ = {
    "dim": 6,
    "codebook_size": 24,
    "num_quantizers": 3,
    "decay": 0.9,
    "kmeans_init": False,
    "kmeans_iters": 10,
    "threshold_ema_dead_code": 0,
    "codebook_dim": 4,
    "shared_codebook": True,
    "heads": 1,
    "quantize_dropout": True,
    "quantize_dropout_cutoff_index": 1,
    "quantize_dropout_multiple_of": 2,
    "accept_image_fmap": False,
    "separate_codebook_per_head": True,
    "eps": 1e-6,
    "freeze_codebook": True,
    "sync_kmeans": False,
    "use_cosine_sim": True,
    "layernorm_after_project_in": True,
    "channel_last": True,
    "commitment_weight": 0.25,
    "commitment_use_cross_entropy_loss": True,
    "orthogonal_reg_weight": 0.1,
    "orthogonal_reg_active_codes_only": True,
    "orthogonal_reg_max_codes": 8,
    "codebook_diversity_loss_weight": 0.1,
    "codebook_diversity_temperature": 10.0,
    "stochastic_sample_codes": True,
    "sample_codebook_temp": 0.5,
    "straight_through": True,
    "distributed_replace_codes": False,
    "reinmax": True,
    "sync_codebook": False,
    "sync_affine_param": True,
    "ema_update": False,
    "learnable_codebook": True,
    "affine_param": True,
    "affine_param_batch_decay": 0.9,
    "affine_param_codebook_decay": 0.8,
    "sync_update_v": 0.1,
}
DAC_RVQ = {
    "n_codebooks": 2,
    "codebook_size": 16,
    "input_dim": 6,
    "codebook_dim": [3, 4],
    "quantizer_dropout": 0.5,
    "quantize_on_decode": True,
}

# Per family and type: what must be given, then every key at a value that is not its default.
FORMS: list[tuple[str, str, dict, dict]] = [
    ("encoder", "oobleck", {"config": {}}, {"config": OOBLECK | {"in_channels": 1}}),
    ("encoder", "seanet", {"config": {}}, {"config": SEANET}),
    (
        "encoder",
        "dac",
        {"config": {"d_model": 4, "strides": [2, 4]}},
        {"config": {"d_model": 4, "strides": [2, 4], "in_channels": 2, "latent_dim": 6}},
    ),
    (
        "encoder",
        "local_attn",
        {"config": {"in_channels": 2, "out_channels": 6}},
        {"config": LOCAL},
    ),
    ("encoder", "taae", {"config": {}}, {"config": TAAE | {"in_channels": 1}}),
    (
        "decoder",
        "oobleck",
        {"config": {}},
        {
            "soft_clip": True,
            "config": OOBLECK
            | {"out_channels": 1, "use_nearest_upsample": True, "final_tanh": False},
        },
    ),
    (
        "decoder",
        "seanet",
        {"config": {}},
        {
            "config": SEANET
            | {
                "final_activation": "Softplus",
                "final_activation_params": {"beta": 2.0},
                "trim_right_ratio": 0.5,
            }
        },
    ),
    (
        "decoder",
        "dac",
        {"config": {"latent_dim": 6, "channels": 16, "rates": [4, 2]}},
        {"config": {"latent_dim": 6, "channels": 16, "rates": [4, 2], "out_channels": 2}},
    ),
    (
        "decoder",
        "local_attn",
        {"config": {"in_channels": 6, "out_channels": 2}},
        {"config": LOCAL | {"in_channels": 6, "out_channels": 2}},
    ),
    (
        "decoder",
        "taae",
        {"config": {}},
        {"config": TAAE | {"out_channels": 1, "c_mults": [1, 1], "strides": [2, 4]}},
    ),
    ("bottleneck", "tanh", {}, {"config": {"scale": 2.0}, "requires_grad": False}),
    ("bottleneck", "vae", {}, {"config": {}}),
    ("bottleneck", "l2_norm", {}, {"config": {}}),
    (
        "bottleneck",
        "wasserstein",
        {},
        {
            "config": {
                "noise_augment_dim": 2,
                "bypass_mmd": True,
                "use_tanh": True,
                "tanh_scale": 2.5,
            }
        },
    ),
    (
        "bottleneck",
        "softnorm",
        {"config": {}},
        {
            "config": {
                "dim": 8,
                "noise_augment_dim": 2,
                "noise_regularize": True,
                "auto_scale": True,
                "freeze": True,
            }
        },
    ),
    ("bottleneck", "rvq", {"config": {}}, {"config": RVQ}),
    ("bottleneck", "rvq_vae", {"config": {}}, {"config": RVQ}),
    (
        "bottleneck",
        "dac_rvq",
        {"config": {"n_codebooks": 9, "codebook_size": 1024}},
        {"config": DAC_RVQ | {"noise_augment_dim": 2}},
    ),
    (
        "bottleneck",
        "dac_rvq_vae",
        {"config": {"n_codebooks": 9, "codebook_size": 1024}},
        {"config": DAC_RVQ},
    ),
    (
        "bottleneck",
        "fsq",
        {"config": {"levels": [5, 4], "keep_num_codebooks_dim": True}},
        {
            "config": {
                "levels": [5, 4],
                "num_codebooks": 2,
                "keep_num_codebooks_dim": True,
                "dim": 6,
                "scale": 1.5,
                "channel_first": False,
                "projection_has_bias": False,
                "return_indices": True,
                "noise_augment_dim": 2,
            }
        },
    ),
    (
        "bottleneck",
        "dithered_fsq",
        {"config": {"dim": 3, "levels": 5}},
        {
            "config": {
                "dim": 3,
                "levels": [7, 5, 3],
                "num_codebooks": 2,
                "dither_inference": False,
                "noise_dropout": 0.5,
            }
        },
    ),
    (
        "pretransform",
        "wavelet",
        {"config": {"channels": 2, "levels": 3, "wavelet": "bior4.4"}},
        {"enable_grad": True, "config": {"channels": 1, "levels": 0, "wavelet": "bior2.2"}},
    ),
    (
        "pretransform",
        "pqmf",
        {"config": {}},
        {"config": {"attenuation": 80, "num_bands": 8, "channels": 2}},
    ),
    (
        "pretransform",
        "dac_pretrained",
        {"config": {}},
        {
            "config": {
                "model_type": "44khz",
                "model_bitrate": "16kbps",
                "scale": 5.3,
                "quantize_on_decode": False,
                "chunked": False,
            }
        },
    ),
    (
        "pretransform",
        "audiocraft_pretrained",
        {"config": {}},
        {"config": {"model_type": "some/codec", "scale": 2.0, "quantize_on_decode": False}},
    ),
    (
        "pretransform",
        "patched",
        {"config": {"channels": 2, "patch_size": 8}},
        {"config": {"channels": 2, "patch_size": 8, "oversampling": 2}},
    ),
]
MODES = [(family, {"type": tag, **form}) for family, tag, *forms in FORMS for form in forms]


def oobleck(**changes) -> dict:
    """A small autoencoder of 8 samples per frame; changes by dotted path, None removes."""
    model = {
        "encoder": {"type": "oobleck", "config": {**OOBLECK, "in_channels": 2, "latent_dim": 8}},
        "decoder": {"type": "oobleck", "config": {**OOBLECK, "out_channels": 2}},
        "bottleneck": {"type": "vae"},
        "latent_dim": 4,
        "downsampling_ratio": 8,
        "io_channels": 2,
    }
    model = json.loads(json.dumps(model))
    for path, value in changes.items():
        *way, last = path.split("__")
        table = model
        for key in way:
            table = table[key]
        table.pop(last, None)
        if value is not None:
            table[last] = value
    return model


def read(table: dict, kind: type):
    """Decode without judging rules."""
    found = schema.struct_slot(kind).struct_for(table)
    assert found is not None
    return convert.convert(table, found)


def codes(value: object) -> list[str]:
    return sorted(rule.code for rule, _, _ in rules.broken(value))


# ------------------------------------------------------------------------------------------ nodes


@pytest.mark.parametrize(
    ("family", "node"), MODES, ids=[f"{family}-{node['type']}" for family, node in MODES]
)
@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_node_decodes_and_survives_a_round_trip(family, node):
    decoded = sat_config.decode(node, type=FAMILIES[family])
    assert read(encode.plain(decoded), FAMILIES[family]) == decoded


@pytest.mark.parametrize(("family", "tag", "least", "full"), FORMS)
def test_full_form_names_every_key(family, tag, least, full):
    config = type(read({"type": tag, **least}, FAMILIES[family]).config)
    assert set(full["config"]) == set(schema.fields(config))


def test_forms_cover_every_member():
    for name, base in FAMILIES.items():
        members = set(registry.current().families[base].members)
        assert members - {"autoencoder"} == {tag for family, tag, *_ in FORMS if family == name}


@pytest.mark.parametrize(
    ("family", "tag", "least"),
    [(family, tag, least) for family, tag, least, _ in FORMS if least.get("config")],
)
def test_node_without_a_required_key_is_refused(family, tag, least):
    optional = {"keep_num_codebooks_dim"}
    for key in set(least["config"]) - optional:
        rest = {name: value for name, value in least["config"].items() if name != key}
        with pytest.raises(sat_config.ConfigError, match=key):
            sat_config.decode({"type": tag, "config": rest}, type=FAMILIES[family])


@pytest.mark.parametrize(
    ("family", "node", "place"),
    [
        ("bottleneck", {"type": "tanh", "config": {"scale": 0}}, "scale"),
        ("bottleneck", {"type": "rvq", "config": {"heads": 2}}, "heads"),
        ("bottleneck", {"type": "rvq", "config": {"channel_last": False}}, "channel_last"),
        ("bottleneck", {"type": "fsq", "config": {"levels": [5, 1]}}, "levels"),
        ("bottleneck", {"type": "dithered_fsq", "config": {"dim": 1, "levels": 1}}, "levels"),
        ("bottleneck", {"type": "vae", "config": {"dim": 64}}, "dim"),
        (
            "bottleneck",
            {"type": "dac_rvq_vae", "config": {**DAC_RVQ, "noise_augment_dim": 1}},
            "noise_augment_dim",
        ),
        ("encoder", {"type": "taae", "config": {"sliding_window": [1]}}, "sliding_window"),
        ("encoder", {"type": "seanet", "config": {"norm": "batch"}}, "norm"),
        (
            "pretransform",
            {"type": "wavelet", "config": {"channels": 2, "levels": 2, "wavelet": "db4"}},
            "wavelet",
        ),
        (
            "pretransform",
            {"type": "wavelet", "config": {"channels": 2, "levels": 99, "wavelet": "bior4.4"}},
            "levels",
        ),
        ("pretransform", {"type": "pqmf", "config": {"num_bands": 12}}, "num_bands"),
    ],
)
def test_value_that_cannot_work_is_refused(family, node, place):
    with pytest.raises(sat_config.ConfigError, match=place):
        sat_config.decode(node, type=FAMILIES[family])


def _structs() -> Iterator[type[msgspec.Struct]]:
    waiting: list[type] = [*FAMILIES.values(), AutoencoderConfig, HyperencoderConfig]
    seen = set()
    while waiting:
        cls = waiting.pop()
        if cls in seen:
            continue
        seen.add(cls)
        yield cls
        head = registry.current().families.get(cls)
        waiting += head.members.values() if head else ()
        waiting += (inner for field in schema.fields(cls).values() for inner in field.slot.structs)


def test_every_default_decodes():
    for cls in _structs():
        for field in schema.fields(cls).values():
            if field.required or field.default is None:
                continue
            plain = msgspec.to_builtins(field.default)
            assert convert.fault(plain, field.slot.annotation) is None, (cls, field.key)


def test_every_field_has_a_line_of_documentation():
    for cls in _structs():
        for name in cls.__annotations__:
            if name in cls.__struct_fields__:
                assert name in jsonschema.descriptions(cls), (cls, name)


# ------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize(
    ("node", "factors", "hop", "channels"),
    [
        ({"type": "oobleck", "config": {}}, (2, 4, 8, 8), 512, (2, 32)),
        (
            {"type": "oobleck", "config": {"c_mults": [1, 2], "strides": [3, 4, 9]}},
            (3, 4),
            12,
            (2, 32),
        ),
        ({"type": "seanet", "config": {"ratios": [4, 5, 8]}}, (4, 5, 8), 160, (1, 128)),
        ({"type": "dac", "config": {"d_model": 4, "strides": [2, 4]}}, (2, 4), 8, (1, 16)),
        (
            {"type": "dac", "config": {"d_model": 4, "strides": [2, 4], "latent_dim": 6}},
            (2, 4),
            8,
            (1, 6),
        ),
        ({"type": "local_attn", "config": LOCAL}, (2, 3), 6, (2, 6)),
        ({"type": "taae", "config": TAAE}, (2, 5), 10, (2, 6)),
    ],
)
def test_encoder_facts(node, factors, hop, channels):
    found = read(node, EncoderNode)
    assert (found.factors, found.hop_length) == (factors, hop)
    assert (found.in_channels, found.out_channels) == channels


@pytest.mark.parametrize(
    ("node", "factors", "hop", "channels", "short"),
    [
        ({"type": "oobleck", "config": {}}, (2, 4, 8, 8), 512, (32, 2), ()),
        (
            {"type": "oobleck", "config": {"c_mults": [1, 2], "strides": [3, 1]}},
            (3, 1),
            3,
            (32, 2),
            (3,),
        ),
        (
            {"type": "oobleck", "config": {"strides": [3, 2, 2, 2], "use_nearest_upsample": True}},
            (3, 2, 2, 2),
            24,
            (32, 2),
            (),
        ),
        ({"type": "seanet", "config": {"ratios": [8, 5, 4]}}, (4, 5, 8), 160, (128, 1), ()),
        (
            {"type": "dac", "config": {"latent_dim": 6, "channels": 16, "rates": [5, 2]}},
            (2, 5),
            10,
            (6, 1),
            (5,),
        ),
        ({"type": "local_attn", "config": LOCAL}, (3, 2), 6, (2, 6), ()),
        ({"type": "taae", "config": TAAE}, (2, 5), 10, (6, 2), (5,)),
    ],
)
def test_decoder_facts(node, factors, hop, channels, short):
    found = read(node, DecoderNode)
    assert (found.factors, found.hop_length, found.short_stages) == (factors, hop, short)
    assert (found.in_channels, found.out_channels) == channels


@pytest.mark.parametrize(
    ("node", "per_latent", "extra", "dim", "codes"),
    [
        ({"type": "tanh"}, 1, 0, None, None),
        ({"type": "vae"}, 2, 0, None, None),
        ({"type": "l2_norm"}, 1, 0, None, None),
        ({"type": "wasserstein", "config": {"noise_augment_dim": 3}}, 1, 3, None, None),
        ({"type": "softnorm", "config": {"dim": 8, "noise_augment_dim": 1}}, 1, 1, 8, None),
        ({"type": "rvq", "config": {}}, 1, 0, 128, (8, 1024, "b l q")),
        ({"type": "rvq_vae", "config": {"dim": 64}}, 2, 0, 64, (8, 1024, "b l q")),
        (
            {"type": "dac_rvq", "config": {**DAC_RVQ, "noise_augment_dim": 2}},
            1,
            2,
            6,
            (2, 16, "b q l"),
        ),
        ({"type": "dac_rvq_vae", "config": DAC_RVQ}, 2, 0, 6, (2, 16, "b q l")),
        (
            {"type": "fsq", "config": {"levels": [5, 4], "num_codebooks": 3}},
            1,
            0,
            6,
            (3, 20, "b q l"),
        ),
        (
            {"type": "fsq", "config": {"levels": [5, 4], "dim": 9, "noise_augment_dim": 1}},
            1,
            1,
            9,
            (1, 20, "b q l"),
        ),
        (
            {"type": "dithered_fsq", "config": {"dim": 3, "levels": 5, "num_codebooks": 2}},
            1,
            0,
            6,
            (2, 125, "b l q"),
        ),
        (
            {"type": "dithered_fsq", "config": {"dim": 3, "levels": [7, 5, 3]}},
            1,
            0,
            3,
            (1, 105, "b l q"),
        ),
    ],
)
def test_bottleneck_facts(node, per_latent, extra, dim, codes):
    found = read(node, BottleneckNode)
    assert found.encoder_channels_per_latent == per_latent
    assert found.extra_decoder_channels == extra
    assert found.dim == dim
    assert found.is_discrete == (codes is not None)
    expected = codes or (None, None, None)
    assert (found.num_quantizers, found.codebook_size, found.token_layout) == expected


@pytest.mark.parametrize(
    ("node", "hop", "latent_dim", "channels", "codes"),
    [
        ({"type": "autoencoder", "config": oobleck()}, 8, 4, 2, None),
        (
            {
                "type": "autoencoder",
                "config": oobleck(
                    bottleneck={"type": "dac_rvq", "config": {**DAC_RVQ, "input_dim": 4}},
                    encoder__config__latent_dim=4,
                ),
            },
            8,
            4,
            2,
            (2, 16),
        ),
        (
            {"type": "wavelet", "config": {"channels": 2, "levels": 3, "wavelet": "bior4.4"}},
            8,
            16,
            2,
            None,
        ),
        ({"type": "pqmf", "config": {"num_bands": 8, "channels": 2}}, 8, 16, 2, None),
        ({"type": "dac_pretrained", "config": {}}, 512, 1024, 1, (9, 1024)),
        (
            {"type": "dac_pretrained", "config": {"model_bitrate": "16kbps"}},
            512,
            128,
            1,
            (18, 1024),
        ),
        ({"type": "dac_pretrained", "config": {"model_type": "24khz"}}, 320, 1024, 1, (32, 1024)),
        ({"type": "audiocraft_pretrained", "config": {}}, None, None, None, (None, None)),
        ({"type": "patched", "config": {"channels": 2, "patch_size": 8}}, 8, 16, 2, None),
        (
            {"type": "patched", "config": {"channels": 1, "patch_size": 4, "oversampling": 2}},
            2,
            4,
            1,
            None,
        ),
    ],
)
def test_pretransform_facts(node, hop, latent_dim, channels, codes):
    found = read(node, PretransformNode)
    assert (found.hop_length, found.latent_dim, found.channels) == (hop, latent_dim, channels)
    assert found.is_discrete == (codes is not None)
    assert (found.num_quantizers, found.codebook_size) == (codes or (None, None))


def test_autoencoder_pretransform_keeps_its_outer_keys():
    outer = {"scale": 0.7, "model_half": True, "iterate_batch": True, "chunked": True}
    found = read({"type": "autoencoder", "config": oobleck(), **outer}, PretransformNode)
    assert {key: getattr(found, key) for key in outer} == outer


def test_hyperencoder_is_an_autoencoder_with_a_hypernetwork():
    plain = convert.convert(oobleck(), HyperencoderConfig)
    assert plain.hypernetwork == autoencoder.HypernetworkConfig()
    table = {
        "layers": ["layers.1.*", "layers.4.layers.1"],
        "summary": "attention",
        "summary_dim": 16,
        "embedding_dim": 8,
        "hidden_sizes": [],
        "rank": 2,
        "init_scale": 0.0,
    }
    full = sat_config.decode(oobleck(hypernetwork=table), type=HyperencoderConfig)
    assert full.hypernetwork.layers == ("layers.1.*", "layers.4.layers.1")
    assert set(table) == set(schema.fields(autoencoder.HypernetworkConfig))
    assert codes(convert.convert(oobleck(latent_dim=5), HyperencoderConfig)) == ["SAT-E003"]


def test_diffusion_autoencoder_decodes():
    dit = {"io_channels": 2, "embed_dim": 64, "depth": 1, "num_heads": 1, "input_concat_dim": 3}
    model = oobleck(
        bottleneck=None,
        encoder__config__latent_dim=4,
        decoder__config__out_channels=3,
        diffusion={"type": "dit", "config": {**dit, "diffusion_objective": "v"}},
    )
    found = sat_config.decode(model, type=diffusion_autoencoder.DiffusionAutoencoderConfig)
    assert found.hop_length == 8
    del model["decoder"]
    model["diffusion"]["config"]["input_concat_dim"] = 4
    sat_config.decode(model, type=diffusion_autoencoder.DiffusionAutoencoderConfig)


# ------------------------------------------------------------------------------------------ rules

AE = AutoencoderConfig
RVQ_4 = {"type": "rvq", "config": {"dim": 4}}
FSQ_4 = {"type": "fsq", "config": {"levels": [5, 4], "num_codebooks": 2}}
WAVELET = {"type": "wavelet", "config": {"channels": 2, "levels": 1, "wavelet": "bior4.4"}}
NOISE = {"type": "wasserstein", "config": {"noise_augment_dim": 2}}
DEEP = {"channels": 64, "c_mults": [1, 2], "transformer_depths": [1, 1]}


def node(tag: str, config: dict, **outer) -> dict:
    return {"type": tag, "config": config, **outer}


def seanet(encoder: list[int], decoder: list[int]) -> dict:
    return oobleck(
        encoder=node("seanet", {"channels": 2, "dimension": 8, "ratios": encoder}),
        decoder=node("seanet", {"channels": 2, "dimension": 4, "ratios": decoder}),
    )


def dac(strides: list[int], rates: list[int]) -> dict:
    decoder = {"latent_dim": 4, "channels": 16, "rates": rates, "out_channels": 2}
    encoder = {"d_model": 4, "in_channels": 2, "latent_dim": 8, "strides": strides}
    return oobleck(encoder=node("dac", encoder), decoder=node("dac", decoder))


BROKEN: list[tuple[str, type, dict, dict]] = [
    ("SAT-E001", AE, oobleck(encoder__config__latent_dim=6), oobleck()),
    ("SAT-E001", AE, oobleck(encoder__config__latent_dim=9), oobleck()),
    ("SAT-E001", AE, oobleck(bottleneck=None), oobleck()),
    ("SAT-E002", AE, oobleck(decoder__config__latent_dim=5), oobleck()),
    (
        "SAT-E002",
        AE,
        oobleck(bottleneck=NOISE, encoder__config__latent_dim=4),
        oobleck(bottleneck=NOISE, encoder__config__latent_dim=4, decoder__config__latent_dim=6),
    ),
    ("SAT-E003", AE, oobleck(latent_dim=16), oobleck(latent_dim=4)),
    (
        "SAT-E003",
        AE,
        oobleck(latent_dim=16, bottleneck=RVQ_4, encoder__config__latent_dim=4),
        oobleck(bottleneck=RVQ_4, encoder__config__latent_dim=4),
    ),
    ("SAT-E004", AE, oobleck(downsampling_ratio=16), oobleck(downsampling_ratio=8)),
    (
        "SAT-E004",
        AE,
        oobleck(pretransform=WAVELET),
        oobleck(
            pretransform=WAVELET,
            downsampling_ratio=16,
            encoder__config__in_channels=4,
            decoder__config__out_channels=4,
        ),
    ),
    ("SAT-E005", AE, oobleck(decoder__config__strides=[2, 2]), oobleck()),
    ("SAT-E005", AE, dac([2, 4], [4, 4]), dac([2, 4], [4, 2])),
    ("SAT-W005", AE, oobleck(decoder__config__strides=[4, 2]), oobleck()),
    ("SAT-W005", AE, seanet([2, 4], [2, 4]), seanet([2, 4], [4, 2])),
    ("SAT-W005", AE, dac([2, 4], [2, 4]), dac([2, 4], [4, 2])),
    ("SAT-E006", AE, oobleck(encoder__config__in_channels=1), oobleck()),
    ("SAT-E006", AE, oobleck(decoder__config__out_channels=1), oobleck()),
    ("SAT-E006", AE, oobleck(in_channels=1), oobleck(in_channels=2)),
    (
        "SAT-E006",
        AE,
        oobleck(pretransform=node("patched", {"channels": 1, "patch_size": 2})),
        oobleck(),
    ),
    (
        "SAT-E007",
        EncoderNode,
        node("oobleck", {"c_mults": [1, 2], "strides": [2]}),
        node("oobleck", {"c_mults": [1, 2], "strides": [2, 2]}),
    ),
    (
        "SAT-E007",
        DecoderNode,
        node("taae", {**DEEP, "strides": [2, 2], "transformer_depths": [1]}),
        node("taae", {**DEEP, "strides": [2, 2]}),
    ),
    (
        "SAT-E007",
        EncoderNode,
        node("local_attn", {**LOCAL, "heads": [1]}),
        node("local_attn", LOCAL),
    ),
    (
        "SAT-W007",
        EncoderNode,
        node("oobleck", {"c_mults": [1], "strides": [2, 2]}),
        node("oobleck", {"c_mults": [1], "strides": [2]}),
    ),
    (
        "SAT-W008",
        AE,
        oobleck(
            encoder__config__strides=[3, 4],
            decoder__config__strides=[3, 4],
            downsampling_ratio=12,
        ),
        oobleck(),
    ),
    (
        "SAT-E009",
        EncoderNode,
        node("taae", {**DEEP, "strides": [2, 2], "channels": 96}),
        node("taae", {**DEEP, "strides": [2, 2]}),
    ),
    (
        "SAT-E009",
        EncoderNode,
        node("taae", {**DEEP, "strides": [2, 2], "channels": 4}),
        node("taae", {**DEEP, "strides": [2, 2], "channels": 6}),
    ),
    (
        "SAT-E010",
        EncoderNode,
        node("taae", {**DEEP, "strides": [2, 1]}),
        node("taae", {**DEEP, "strides": [1, 2]}),
    ),
    (
        "SAT-W010",
        DecoderNode,
        node("taae", {**DEEP, "strides": [2, 2], "use_snake": True}),
        node("taae", {**DEEP, "strides": [2, 2], "use_snake": True, "c_mults": [2, 2]}),
    ),
    (
        "SAT-E011",
        AE,
        oobleck(bottleneck=node("rvq", {"dim": 8}), encoder__config__latent_dim=4),
        oobleck(bottleneck=RVQ_4, encoder__config__latent_dim=4),
    ),
    (
        "SAT-E011",
        AE,
        oobleck(bottleneck=node("fsq", {"levels": [5] * 6}), encoder__config__latent_dim=4),
        oobleck(bottleneck=FSQ_4, encoder__config__latent_dim=4),
    ),
    (
        "SAT-E011",
        AE,
        oobleck(
            bottleneck=node("dithered_fsq", {"dim": 4, "levels": 3, "num_codebooks": 2}),
            encoder__config__latent_dim=4,
        ),
        oobleck(
            bottleneck=node("dithered_fsq", {"dim": 2, "levels": 3, "num_codebooks": 2}),
            encoder__config__latent_dim=4,
        ),
    ),
    (
        "SAT-E012",
        BottleneckNode,
        node("dithered_fsq", {"dim": 3, "levels": [3, 3]}),
        node("dithered_fsq", {"dim": 2, "levels": [3, 3]}),
    ),
    (
        "SAT-E013",
        BottleneckNode,
        node("fsq", {"levels": [5], "num_codebooks": 2, "keep_num_codebooks_dim": False}),
        node("fsq", {"levels": [5], "num_codebooks": 2}),
    ),
    (
        "SAT-W013",
        BottleneckNode,
        node("fsq", {"levels": [5]}),
        node("fsq", {"levels": [5], "keep_num_codebooks_dim": True}),
    ),
    (
        "SAT-E101",
        EncoderNode,
        node("seanet", {"activation": "ReLU"}),
        node("seanet", {"activation": "ReLU", "activation_params": {}}),
    ),
    (
        "SAT-E101",
        DecoderNode,
        node("seanet", {"final_activation_params": {"beta": 2.0}}),
        node("seanet", {"final_activation": "Softplus", "final_activation_params": {"beta": 2.0}}),
    ),
    (
        "SAT-E102",
        EncoderNode,
        node("seanet", {"norm_params": {"eps": 0.1}}),
        node("seanet", {"norm": "layer_norm", "norm_params": {"eps": 0.1}}),
    ),
    (
        "SAT-E103",
        EncoderNode,
        node("seanet", {"norm": "time_group_norm", "causal": True}),
        node("seanet", {"norm": "time_group_norm"}),
    ),
    (
        "SAT-E104",
        DecoderNode,
        node("seanet", {"trim_right_ratio": 0.5}),
        node("seanet", {"trim_right_ratio": 0.5, "causal": True}),
    ),
    (
        "SAT-E105",
        EncoderNode,
        node("local_attn", {**LOCAL, "heads": [3, 2]}),
        node("local_attn", LOCAL),
    ),
    (
        "SAT-E106",
        DecoderNode,
        node("dac", {"latent_dim": 4, "channels": 7, "rates": [2, 2, 2]}),
        node("dac", {"latent_dim": 4, "channels": 8, "rates": [2, 2, 2]}),
    ),
    (
        "SAT-E107",
        BottleneckNode,
        node("rvq", {"learnable_codebook": True}),
        node("rvq", {"learnable_codebook": True, "ema_update": False, "sync_update_v": 0.1}),
    ),
    (
        "SAT-E107",
        BottleneckNode,
        node("rvq_vae", {"sync_update_v": 0.1}),
        node("rvq_vae", {"sync_update_v": 0.0}),
    ),
    (
        "SAT-E108",
        BottleneckNode,
        node("dac_rvq", {**DAC_RVQ, "codebook_dim": [3]}),
        node("dac_rvq", DAC_RVQ),
    ),
    (
        "SAT-E109",
        PretransformNode,
        node("dac_pretrained", {"model_type": "16khz", "model_bitrate": "16kbps"}),
        node("dac_pretrained", {"model_bitrate": "16kbps"}),
    ),
    (
        "SAT-E110",
        PretransformNode,
        node("patched", {"channels": 1, "patch_size": 4, "oversampling": 3}),
        node("patched", {"channels": 1, "patch_size": 4, "oversampling": 4}),
    ),
]


@pytest.mark.parametrize(
    ("code", "kind", "broken", "mended"),
    BROKEN,
    ids=[f"{row[0]}-{number}" for number, row in enumerate(BROKEN)],
)
def test_rule(code, kind, broken, mended):
    assert code in codes(read(broken, kind))
    assert code not in codes(read(mended, kind))


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (oobleck(encoder__config__latent_dim=6), "SAT-E001 encoder.config.latent_dim = 8"),
        (oobleck(decoder__config__latent_dim=5), "SAT-E002 decoder.config.latent_dim = 4"),
        (oobleck(latent_dim=16), "SAT-E003 latent_dim = 4"),
        (oobleck(downsampling_ratio=16), "SAT-E004 downsampling_ratio = 8"),
        (seanet([2, 4], [2, 4]), "SAT-W005 decoder.config.ratios = [4, 2]"),
        (dac([2, 8], [4, 2]), "SAT-E005 decoder.config.rates = [8, 2]"),
    ],
)
def test_fix_mends_what_it_names(broken, expected):
    found = [
        f"{rule.code} {'.'.join(map(str, path))} = {fault.fix}"
        for rule, path, fault in rules.broken(read(broken, AE))
    ]
    assert expected in found


def test_rule_of_widths_reports_one_mistake_once():
    for broken in (
        oobleck(latent_dim=16),
        oobleck(encoder__config__latent_dim=6),
        oobleck(decoder__config__latent_dim=5),
        oobleck(bottleneck=node("rvq", {"dim": 8}), encoder__config__latent_dim=4),
    ):
        assert len(codes(read(broken, AE))) == 1


def experiment(model: dict, **keys) -> AudioExperiment:
    document = {"model_type": "autoencoder", "sample_rate": 8000, "sample_size": 64, **keys}
    return convert.convert({**document, "model": model}, AutoencoderExperiment)


def test_sample_size_that_is_no_whole_number_of_frames_is_an_error():
    assert codes(experiment(oobleck(), sample_size=60)) == ["SAT-E030"]
    assert codes(experiment(oobleck(), sample_size=56)) == []


def test_audio_of_other_channels_than_the_model_is_an_error():
    assert codes(experiment(oobleck(), audio_channels=1)) == ["SAT-E056"]
    assert codes(experiment(oobleck(), audio_channels=2)) == []


@pytest.mark.parametrize(("mixes", "expected"), [(False, ["SAT-E056"]), (True, [])])
def test_mono_encoder_of_stereo_audio_needs_someone_to_mix(mixes, expected):
    plain = experiment(oobleck(in_channels=1, encoder__config__in_channels=1))
    training = types.SimpleNamespace(force_input_mono=mixes)
    assert codes(msgspec.structs.replace(plain, training=training)) == expected


def latent_experiment(first: dict, **keys) -> AudioExperiment:
    """An experiment that works on a pretransform; only what the rules read is there."""
    plain = experiment(oobleck(), **keys)
    model = types.SimpleNamespace(pretransform=read(first, PretransformNode))
    return msgspec.structs.replace(plain, model=model)


def test_pretransform_sets_hop_and_channels_of_an_experiment():
    first = {"type": "autoencoder", "config": oobleck()}
    assert codes(latent_experiment(first, sample_size=60)) == ["SAT-E030"]
    assert codes(latent_experiment(first, audio_channels=1)) == ["SAT-E056"]
    assert codes(latent_experiment(first)) == []
    assert codes(latent_experiment(node("audiocraft_pretrained", {}), sample_size=61)) == []


def test_chunked_audio_shorter_than_a_chunk_is_a_warning():
    first = {"type": "autoencoder", "config": oobleck(), "chunked": True}
    assert codes(latent_experiment(first, sample_size=1016)) == ["SAT-W031"]
    assert codes(latent_experiment(first, sample_size=1024)) == []


def diffusion_codec(**changes) -> diffusion_autoencoder.DiffusionAutoencoderConfig:
    """A diffusion autoencoder with the backbone that its parts ask for."""
    parts = read(oobleck(**changes), AE)
    names = ("encoder", "bottleneck", "latent_dim", "downsampling_ratio", "io_channels")
    kept = {name: getattr(parts, name) for name in names}
    network = {"io_channels": 2, "input_concat_dim": parts.decoder.out_channels}
    return diffusion_autoencoder.DiffusionAutoencoderConfig(
        **kept,
        decoder=parts.decoder,
        pretransform=parts.pretransform,
        diffusion=read(
            {"type": "dit", "config": {**network, "diffusion_objective": "v"}},
            diffusion.DiffusionAutoencoderBackboneNode,
        ),
    )


def test_diffusion_autoencoder_follows_the_rules_of_its_parts():
    assert codes(diffusion_codec()) == []
    assert codes(diffusion_codec(decoder__config__out_channels=7)) == []
    assert codes(diffusion_codec(decoder__soft_clip=True)) == ["SAT-W111"]
    assert codes(diffusion_codec(latent_dim=5)) == ["SAT-E003"]
    assert codes(diffusion_codec(downsampling_ratio=4)) == ["SAT-E004"]
    assert codes(diffusion_codec(encoder__config__in_channels=1)) == ["SAT-E006"]
    bare = msgspec.structs.replace(diffusion_codec(), encoder=None, decoder=None)
    # the signal is the latents: 2 channels
    assert codes(bare) == ["SAT-E003", "SAT-E004", "SAT-E131"]
    latents = {"bottleneck": None, "latent_dim": 2, "downsampling_ratio": 1}
    assert codes(msgspec.structs.replace(bare, **latents)) == []
    first = read(WAVELET, PretransformNode)
    assert codes(msgspec.structs.replace(bare, **latents, pretransform=first)) == [
        "SAT-E004",
        "SAT-E006",
    ]


# ----------------------------------------------------------------------------- files of the public


def _tables(value: object, path: tuple = ()) -> Iterator[tuple[tuple, dict]]:
    if isinstance(value, dict):
        yield path, value
        for key, item in value.items():
            yield from _tables(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _tables(item, (*path, number))


def _corpus_nodes() -> Iterator[tuple[str, type, dict]]:
    for entry in json.loads((SHARED / "corpus/index.json").read_text()):
        if entry["kind"] != "model" or entry["status"] != "upstream":
            continue
        document = json.loads((SHARED / "corpus" / entry["file"]).read_text())
        for path, table in _tables(document):
            if "loss_configs" in path or not path:
                continue
            where = f"{entry['file']}: {'.'.join(map(str, path))}"
            if path[-1] in FAMILIES and "type" in table:
                yield where, FAMILIES[path[-1]], table
            elif "encoder" in table and "decoder" in table and "diffusion" not in table:
                yield where, AutoencoderConfig, table


def _plain(value: object) -> object:
    found = json.loads(msgspec.json.encode(value))
    if isinstance(found, dict):
        return {key: item for key, item in found.items() if item is not None}
    return found


@needs_shared
def test_nodes_of_public_files_decode():
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sat_config.ConfigWarning)
        for where, kind, table in _corpus_nodes():
            try:
                sat_config.decode(table, type=kind)
            except sat_config.ConfigError as error:
                pytest.fail(f"{where}: {error}")
            count += 1
    assert count > 300


@needs_shared
def test_keys_and_defaults_are_those_of_the_reference():
    refused = {("dac_rvq_vae", "noise_augment_dim"), ("fsq", "allowed_dtypes")}
    own = {("local_attn", "causal"), ("local_attn", "ff_mult")}  # by way of `config.**`
    seen = set()
    for row in json.loads((SHARED / "reference/config-reference.json").read_text()):
        family, tag, param = row["node"], row["type"], row["param"] or ""
        key = param.removeprefix("config.")
        if family not in FAMILIES or key == param or key == "**" or (tag, key) in refused:
            continue
        node = registry.current().families[FAMILIES[family]].members[tag]
        field = schema.fields(schema.fields(node)["config"].slot.structs[0])[key]
        seen.add((family, tag, key))
        assert field.required == row["required"], (family, tag, key)
        if not row["required"]:
            assert _plain(field.default) == row["default"], (family, tag, key)
    for family, tag, least, _ in FORMS:
        if tag != "softnorm":
            config = type(read({"type": tag, **least}, FAMILIES[family]).config)
            keys = {key for key in schema.fields(config) if (tag, key) not in own}
            assert keys == {key for f, t, key in seen if (f, t) == (family, tag)}, (family, tag)
