"""Nodes and training blocks that cannot work are refused, and the message names the place."""

import pytest
from audio_forms import BLOCKS, FAMILIES, changed
from audio_forms import optimizer_group as group

import sat_config
from sat_config.audio.optimizer import OptimizerNode

DAC_RVQ = {
    "n_codebooks": 2,
    "codebook_size": 16,
    "input_dim": 6,
    "codebook_dim": [3, 4],
    "quantizer_dropout": 0.5,
    "quantize_on_decode": True,
}


ADP = {
    "in_channels": 2,
    "channels": 32,
    "multipliers": [1, 1, 2],
    "factors": [2, 2],
    "num_blocks": [1, 2],
    "attentions": [0, 1, 1],
}

CROSS = {"context_embedding_features": 8, "context_embedding_max_length": 16}
CLAP = {"clap_ckpt_path": "/clap.pt"}
WEIGHTS = {"weights": {"adversarial": 0.1, "feature_matching": 5.0}}
FFT = {"fft_sizes": [64, 32], "hop_sizes": [16, 8], "win_lengths": [64, 32]}
LOSSES = {
    "spectral": {"config": FFT, "weights": {"mrstft": 1.0}},
    "time": {"weights": {}},
}


CODECS = [
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
]
NETWORKS = [
    ("uncond_backbone", {"type": "adp_1d", "config": ADP}, "no unconditional diffusion backbone"),
    ("uncond_backbone", {"type": "dit", "config": {"io_channels": 4}}, "io_channels"),
    (
        "uncond_backbone",
        {"type": "dit", "config": {"in_channels": 4, "cond_token_dim": 8}},
        "cond_tok",
    ),
    ("uncond_backbone", {"type": "adp_uncond_1d", "config": {**ADP, **CROSS}}, "context_embedding"),
    ("uncond_backbone", {"type": "DAU1d", "config": {"cond_dim": 4}}, "cond_dim"),
    ("cond_backbone", {"type": "DAU1d", "config": {}}, "no diffusion backbone"),
    ("cond_backbone", {"type": "dit", "config": {"in_channels": 4}}, "in_channels"),
    ("cond_backbone", {"type": "dit", "config": {"dim_heads": 64}}, "dim_heads"),
    (
        "cond_backbone",
        {"type": "dit", "config": {"transformer_type": "x-transformers"}},
        "no longer",
    ),
    ("cond_backbone", {"type": "dit", "config": {"global_cond_type": "adaln"}}, "global_cond_type"),
    ("cond_backbone", {"type": "dit", "config": {"attn_kwargs": {"causal": True}}}, "causal"),
    (
        "cond_backbone",
        {"type": "dit", "config": {"ff_kwargs": {"zero_init_output": True}}},
        "zero_init_output",
    ),
    ("cond_backbone", {"type": "dit", "config": {}, "diffusion_objective": "eps"}, "eps"),
    ("cond_backbone", {"type": "adp_1d", "config": {**ADP, **CROSS}}, "context_embedding"),
    (
        "cond_backbone",
        {"type": "adp_1d", "config": {**ADP, "kernel_multiplier_downsample": 3}},
        "kernel_multiplier_downsample",
    ),
    ("autoencoder_backbone", {"type": "adp_cfg_1d", "config": {**ADP, **CROSS}}, "adp_cfg_1d"),
    (
        "autoencoder_backbone",
        {"type": "adp_1d", "config": {**ADP, "context_features": 8}},
        "context_f",
    ),
    (
        "autoencoder_backbone",
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
        "lm_backbone",
        {"type": "continuous_transformer", "config": {"embed_dim": 8, "depth": 1, "causal": 1}},
        "causal",
    ),
    ("lm_backbone", {"type": "x-transformers", "config": {}}, "language model backbone"),
]
TRAINING = [
    ("optimizer", {"type": "AdamW"}, "config"),
    ("optimizer", group(lr=0)["optimizer"], "lr"),
    ("optimizer", group(betas=[0.9, 1.0])["optimizer"], "betas"),
    ("optimizer", group("Rprop", etas=[1.5, 1.2])["optimizer"], "etas"),
    ("optimizer", group("Adafactor", beta2_decay=0.5)["optimizer"], "beta2_decay"),
    ("scheduler", {"type": "InverseLR", "config": {"warmup": 1.0}}, "warmup"),
    ("scheduler", {"type": "InverseLR", "config": {"inv_gamma": 0}}, "inv_gamma"),
    ("scheduler", {"type": "StepLR", "config": {}}, "step_size"),
    ("scheduler", {"type": "LinearLR", "config": {"last_epoch": 5}}, "last_epoch"),
    (
        "scheduler",
        {"type": "CyclicLR", "config": {"base_lr": 1, "max_lr": 1, "scale_fn": 1}},
        "scale_fn",
    ),
    ("discriminator", {"type": "encodec", "config": {}, **WEIGHTS}, "filters"),
    ("discriminator", {"type": "oobleck", "config": {}}, "weights"),
    (
        "discriminator",
        {"type": "encodec", "config": {"filters": 8, "loss_type": "lsgan"}, **WEIGHTS},
        "hinge",
    ),
    ("discriminator", {"type": "dac", "config": {"fft_sizes": [1022]}, **WEIGHTS}, "fft_sizes"),
    ("arc_head", {"type": "conv"}, "dit_hidden_layer"),
    ("cond_display", {"type": "audio"}, "id"),
]


@pytest.mark.parametrize(("family", "node", "place"), [*CODECS, *NETWORKS, *TRAINING])
def test_node_that_cannot_work_is_refused(family, node, place):
    with pytest.raises(sat_config.ConfigError, match=place):
        sat_config.decode(node, type=FAMILIES[family])


@pytest.mark.parametrize(
    ("model_type", "block", "place"),
    [
        ("diffusion_uncond", {}, "learning_rate"),
        ("diffusion_uncond", {"learning_rate": 1e-4, "optimizer_configs": {}}, "optimizer_configs"),
        ("diffusion_cond", {"demo": {"demo_cfg_scales": [1]}}, "num_demos"),
        ("diffusion_cond", {"demo": {"num_demos": 1}}, "demo_cfg_scales"),
        ("diffusion_cond_inpaint", {"demo": {}}, "demo_cfg_scales"),
        ("diffusion_cond", {"timestep_sampler": "cosine"}, "log_snr"),
        ("diffusion_cond", {"arc": {}}, "discriminator"),
        ("diffusion_cond", {"cfg_dropout_prob": 1.5}, "cfg_dropout_prob"),
        ("autoencoder", {"loss_configs": {"time": {"weights": {}}}}, "spectral"),
        ("autoencoder", {"loss_configs": {"spectral": LOSSES["spectral"]}}, "time"),
        (
            "autoencoder",
            changed({"loss_configs": LOSSES}, loss_configs__spectral__config__scale="chroma"),
            "fails on chroma bands",
        ),
        (
            "autoencoder",
            changed({"loss_configs": LOSSES}, loss_configs__spectral__config__reduction="none"),
            "sum",
        ),
        (
            "autoencoder",
            changed(
                {"loss_configs": LOSSES}, loss_configs__discriminator={"type": "dac", "config": {}}
            ),
            "weights",
        ),
    ],
)
def test_block_that_cannot_work_is_refused(model_type, block, place):
    with pytest.raises(sat_config.ConfigError, match=place):
        sat_config.decode(block, type=BLOCKS[model_type])


# ------------------------------------------------------------------------------------------ types


@pytest.mark.parametrize(
    ("family", "tag", "reason"),
    [
        ("uncond_backbone", "adp_1d", "adp_uncond_1d"),
        ("uncond_backbone", "adp_cfg_1d", "there are none here"),
        ("cond_backbone", "adp_uncond_1d", "called adp_1d"),
        ("cond_backbone", "DAU1d", "SAT fails"),
        ("autoencoder_backbone", "adp_cfg_1d", "there are none here"),
        ("autoencoder_backbone", "adp_uncond_1d", "is adp_1d"),
        ("lm_backbone", "x-transformers", "take continuous_transformer"),
    ],
)
def test_network_in_the_wrong_place_is_refused_with_the_reason(family, tag, reason):
    with pytest.raises(sat_config.ConfigError, match=reason):
        sat_config.decode({"type": tag, "config": {}}, type=FAMILIES[family])


@pytest.mark.parametrize(
    ("family", "tag", "words"),
    [
        ("optimizer", "LBFGS", "closure"),
        ("optimizer", "SparseAdam", "dense"),
        ("optimizer", "Muon", "matrices"),
        ("optimizer", "MuonAdamW", "0.0.20"),
        ("scheduler", "LambdaLR", "function"),
        ("scheduler", "MultiplicativeLR", "function"),
        ("scheduler", "ChainedScheduler", "finished schedulers"),
        ("scheduler", "SequentialLR", "finished schedulers"),
        ("scheduler", "ReduceLROnPlateau", "measured value"),
        ("discriminator", "hil", "0.0.20"),
        ("discriminator", "big_vgan", "take dac"),
        ("arc_head", "dilated_conv", "0.0.20"),
    ],
)
def test_refused_tag_says_why(family, tag, words):
    with pytest.raises(sat_config.ConfigError) as caught:
        sat_config.decode({"type": tag, "config": {}}, type=FAMILIES[family])
    (problem,) = caught.value.problems
    assert problem.code == "bad-tag"
    assert problem.suggestion is None
    assert words in (problem.note or "")


def test_misspelt_tag_gets_a_suggestion():
    with pytest.raises(sat_config.ConfigError) as caught:
        sat_config.decode({"type": "adamw", "config": {}}, type=OptimizerNode)
    assert caught.value.problems[0].suggestion == '"AdamW"'
