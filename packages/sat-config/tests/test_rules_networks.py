"""Rules within backbones, and between a codec and what models its latents or codes."""

import pytest
from audio_forms import changed, codes, read

from sat_config import convert
from sat_config.audio import lm, transformer, unet
from sat_config.audio.diffusion import DiffusionUncondNode, DistributionShift
from sat_config.audio.diffusion_autoencoder import DiffusionAutoencoderConfig
from sat_config.audio.lm import LMModelConfig
from sat_config.audio.rules_diffusion import rotary_width

ADP = {
    "in_channels": 2,
    "channels": 32,
    "multipliers": [1, 1, 2],
    "factors": [2, 2],
    "num_blocks": [1, 2],
    "attentions": [0, 1, 1],
}
ADP_ATTENTION = {"attention_heads": 2, "attention_multiplier": 2}
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
PATCHED = {"type": "patched", "config": {"channels": 2, "patch_size": 4}}
SMALL = {"in_channels": 4, "embed_dim": 64, "num_heads": 2}


@pytest.mark.parametrize(("width", "heads"), [(64, 2), (100, 2), (96, 3), (31, 1)])
def test_number_of_heads_that_is_advised_divides_the_width(width, heads):
    config = {**SMALL, "embed_dim": width, "num_heads": width}
    node = read({"type": "dit", "config": config}, DiffusionUncondNode)
    (broken,) = rotary_width(node.config)
    assert broken.fix == str(heads)


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
    "conditioning": {
        "cond_dim": 8,
        "configs": [
            {"id": "prompt", "type": "t5", "config": {"t5_model_name": "t5-small"}},
            {"id": "start", "type": "number", "config": {"max_val": 512}},
        ],
    },
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
        ({"lm__config__conformer": True}, ["SAT-E132"]),
        ({"lm__config__ff_kwargs": {"use_conv": True}}, ["SAT-E132"]),
        ({"lm__config__attn_kwargs": {"feat_scale": True}}, ["SAT-E132"]),
        ({"lm__config__prepend_cond_dim": 0}, ["SAT-E019"]),
        ({"lm__prepend_cond_ids": ["inpaint_mask"]}, ["SAT-E015"]),
    ],
)
def test_language_model_fits(changes, found):
    assert codes(read(changed(LM, **changes), LMModelConfig)) == found
