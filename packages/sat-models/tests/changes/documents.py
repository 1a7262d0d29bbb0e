"""Tiny experiments that together have every node that a model can be built from."""

SIZES = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
ENCODER = {"type": "oobleck", "config": {"in_channels": 2, "latent_dim": 4, **SIZES}}
DECODER = {"type": "oobleck", "config": {"out_channels": 2, "latent_dim": 4, **SIZES}}
PATCHED = {"type": "patched", "config": {"channels": 2, "patch_size": 4}}


def root(model_type, model, **keys):
    """An experiment around a model."""
    sizes = {"sample_rate": 8000, "sample_size": 512, "audio_channels": 2}
    return {"model_type": model_type, **sizes, "model": model, **keys}


def codec(encoder=ENCODER, decoder=DECODER, bottleneck=None, **keys):
    """An autoencoder, as it stands under `model`."""
    sizes = {"latent_dim": 4, "downsampling_ratio": 8, "io_channels": 2}
    parts = {"encoder": encoder, "decoder": decoder}
    return {**parts, **({"bottleneck": bottleneck} if bottleneck else {}), **sizes, **keys}


def coders(kind, both, encoder=None, decoder=None):
    """Encoder and decoder of one kind."""
    return {
        "encoder": {"type": kind, "config": {**both, **(encoder or {})}},
        "decoder": {"type": kind, "config": {**both, **(decoder or {})}},
    }


# -------------------------------------------------------------------------- encoders and decoders

SNAKE = {**SIZES, "latent_dim": 4, "use_snake": True, "antialias_activation": True}
SEANET = {"channels": 2, "n_filters": 2, "dimension": 4, "ratios": [2, 3]}
CAUSAL = {
    **SEANET,
    "norm": "layer_norm",
    "norm_params": {"eps": 1e-3, "elementwise_affine": True},
    "lstm": 0,
    "causal": True,
    "true_skip": True,
    "activation": "PReLU",
    "activation_params": {"init": 0.1},
    "n_residual_layers": 2,
}
LOCAL = {"heads": [2, 2], "depths": [1, 2], "ratios": [2, 3], "local_attn_window_size": 3}
TAAE = {
    "channels": 8,
    "latent_dim": 4,
    "c_mults": [1, 2],
    "strides": [2, 4],
    "transformer_depths": [1, 1],
    "sliding_window": [3, 4],
}
FULL = {
    **TAAE,
    "use_snake": True,
    "conformer": True,
    "use_dilated_conv": True,
    "checkpointing": True,
    "layer_scale": False,
}
ACTIVATIONS = {
    "LeakyReLU": {"negative_slope": 0.1},
    "Softplus": {"beta": 2.0, "threshold": 0.5},
    "GELU": {"approximate": "tanh"},
}
CODERS = {
    "oobleck": codec(),
    "oobleck-snake": codec(**coders("oobleck", SNAKE)),
    "oobleck-nearest": codec(
        decoder={
            "type": "oobleck",
            "soft_clip": True,
            "config": {**DECODER["config"], "use_nearest_upsample": True, "final_tanh": False},
        }
    ),
    "seanet": codec(**coders("seanet", SEANET)),
    "seanet-group": codec(
        **coders("seanet", {**SEANET, "norm": "time_group_norm", "norm_params": {"affine": True}})
    ),
    "seanet-causal": codec(
        **coders(
            "seanet",
            CAUSAL,
            decoder={
                "trim_right_ratio": 0.5,
                "final_activation": "ELU",
                "final_activation_params": {"alpha": 0.5},
            },
        )
    ),
    **{
        f"seanet-{name}": codec(
            **coders("seanet", {**SEANET, "activation": name, "activation_params": options})
        )
        for name, options in ACTIVATIONS.items()
    },
    "dac": codec(
        encoder={"type": "dac", "config": {"d_model": 4, "strides": [2, 4], "latent_dim": 4}},
        decoder={"type": "dac", "config": {"latent_dim": 4, "channels": 8, "rates": [4, 2]}},
        in_channels=1,
        out_channels=1,
    ),
    "local_attn": codec(
        **coders(
            "local_attn",
            LOCAL,
            {"in_channels": 2, "out_channels": 4, "embed_dims": [16, 8]},
            {"in_channels": 4, "out_channels": 2, "embed_dims": [8, 16], "causal": True},
        )
    ),
    "taae": codec(**coders("taae", TAAE, {"in_channels": 2}, {"out_channels": 2})),
    "taae-full": codec(**coders("taae", FULL, {"in_channels": 2}, {"out_channels": 2})),
    "with-pretransform": codec(
        encoder={"type": "oobleck", "config": {**ENCODER["config"], "in_channels": 8}},
        decoder={"type": "oobleck", "config": {**DECODER["config"], "out_channels": 8}},
        pretransform=PATCHED,
        downsampling_ratio=32,
    ),
}

# ------------------------------------------------------------------------------------ bottlenecks

RVQ = {"dim": 4, "codebook_size": 8, "num_quantizers": 3, "kmeans_iters": 3}
DAC = {"input_dim": 4, "n_codebooks": 3, "codebook_size": 8, "codebook_dim": 2}
LEARNED = {
    "kmeans_init": False,
    "ema_update": False,
    "learnable_codebook": True,
    "sync_update_v": 0.2,
    "stochastic_sample_codes": True,
    "straight_through": True,
    "reinmax": True,
}
ORTHOGONAL = {
    "affine_param": True,
    "orthogonal_reg_weight": 0.1,
    "orthogonal_reg_active_codes_only": True,
    "orthogonal_reg_max_codes": 3,
}
LOSSES = {
    "commitment_use_cross_entropy_loss": True,
    "codebook_diversity_loss_weight": 0.1,
    "codebook_diversity_temperature": 2.0,
}
DROPOUT = {"quantize_dropout": True, "num_quantizers": 6, "quantize_dropout_cutoff_index": 1}
WIDTHS = {"vae": (8, 4), "rvq_vae": (8, 4), "dac_rvq_vae": (8, 4)}
BOTTLENECKS = {
    "tanh": ("tanh", {"scale": 2.0}),
    "vae": ("vae", {}),
    "l2_norm": ("l2_norm", {}),
    "wasserstein": ("wasserstein", {"noise_augment_dim": 2, "use_tanh": True}),
    "wasserstein-bypass": ("wasserstein", {"bypass_mmd": True}),
    "softnorm": ("softnorm", {"dim": 4}),
    "softnorm-all": (
        "softnorm",
        {"dim": 4, "noise_augment_dim": 2, "noise_regularize": True, "auto_scale": True},
    ),
    "rvq": ("rvq", RVQ),
    "rvq-random": ("rvq", {**RVQ, "kmeans_init": False, "codebook_dim": 3}),
    "rvq-dead": ("rvq", {**RVQ, "threshold_ema_dead_code": 3, "codebook_size": 16}),
    "rvq-cosine": ("rvq", {**RVQ, "use_cosine_sim": True, "shared_codebook": True}),
    "rvq-affine": ("rvq", {**RVQ, **ORTHOGONAL}),
    "rvq-learned": ("rvq", {**RVQ, **LEARNED}),
    "rvq-losses": ("rvq", {**RVQ, **LOSSES}),
    "rvq-dropout": ("rvq", {**RVQ, **DROPOUT}),
    "rvq_vae": ("rvq_vae", RVQ),
    "dac_rvq": ("dac_rvq", {**DAC, "quantizer_dropout": 0.5, "noise_augment_dim": 2}),
    "dac_rvq-later": ("dac_rvq", {**DAC, "codebook_dim": [2, 3, 4], "quantize_on_decode": True}),
    "dac_rvq_vae": ("dac_rvq_vae", DAC),
    "fsq": ("fsq", {"levels": [5, 2], "num_codebooks": 2, "scale": 1.5}),
    "fsq-projected": ("fsq", {"levels": [4, 3, 3], "dim": 4, "noise_augment_dim": 2}),
    "dithered_fsq": ("dithered_fsq", {"dim": 4, "levels": 5}),
    "dithered_fsq-noise": (
        "dithered_fsq",
        {"dim": 2, "levels": [4, 3], "num_codebooks": 2, "noise_dropout": 0.5},
    ),
}


def squeezed(tag, config):
    """An autoencoder around a bottleneck."""
    wide = tag in ("vae", "rvq_vae", "dac_rvq_vae")
    encoder = {**ENCODER["config"], "strides": [2, 2], "latent_dim": 8 if wide else 4}
    noise = config.get("noise_augment_dim", 0)
    decoder = {**DECODER["config"], "strides": [2, 2], "latent_dim": 4 + noise}
    return codec(
        encoder={"type": "oobleck", "config": encoder},
        decoder={"type": "oobleck", "config": decoder},
        bottleneck={"type": tag, "config": config},
    )


HYPER = {"summary_dim": 4, "embedding_dim": 3, "hidden_sizes": [5], "rank": 2}
HYPERENCODERS = {
    "hyper": codec(hypernetwork=HYPER),
    "hyper-all": codec(hypernetwork={**HYPER, "layers": "all", "summary": "attention"}),
}

# ----------------------------------------------------------------------------------- pretransforms

CODES = {"type": "fsq", "config": {"levels": [5, 4, 3, 2], "num_codebooks": 1}}
PRETRANSFORMS = {
    "none": None,
    "patched": PATCHED,
    "patched-over": {
        "type": "patched",
        "config": {"channels": 2, "patch_size": 6, "oversampling": 3},
    },
    "wavelet": {"type": "wavelet", "config": {"channels": 2, "levels": 2, "wavelet": "bior6.8"}},
    "pqmf": {"type": "pqmf", "config": {"num_bands": 4, "channels": 2, "attenuation": 60}},
    "autoencoder": {"type": "autoencoder", "scale": 2.0, "config": codec(bottleneck=CODES)},
    "autoencoder-vae": {
        "type": "autoencoder",
        "enable_grad": True,
        "config": codec(
            encoder={"type": "oobleck", "config": {**ENCODER["config"], "latent_dim": 8}},
            bottleneck={"type": "vae"},
        ),
    },
}
CHANNELS = {"none": 3, "patched": 8, "patched-over": 12, "wavelet": 8, "pqmf": 8}
DIT = {"embed_dim": 64, "depth": 2, "num_heads": 2}


def latent_model(name):
    """A diffusion model behind a pretransform."""
    pretransform = PRETRANSFORMS[name]
    model = {"type": "dit", "config": {**DIT, "depth": 1, "in_channels": CHANNELS.get(name, 4)}}
    return {**model, **({"pretransform": pretransform} if pretransform else {})}


# --------------------------------------------------------------------------------------- backbones

ADP = {
    "channels": 32,
    "multipliers": [1, 1],
    "factors": [2],
    "num_blocks": [1],
    "attentions": [1, 1],
    "attention_heads": 2,
    "attention_multiplier": 2,
}
STFT = {"use_stft": True, "stft_num_fft": 8, "stft_hop_length": 2, "factors": [1]}
DANCE = {"depth": 3, "n_attn_layers": 1, "channels": [32, 32, 64]}
OPTIONS = {
    "plain": {},
    "patch": {"patch_size": 2, "diffusion_objective": "rectified_flow"},
    "modulated": {"global_cond_type": "adaLN", "conformer": True, "num_memory_tokens": 2},
    "time-channels": {"timestep_cond_type": "input_concat", "timestep_embed_dim": 4},
    "absolute": {"use_abs_pos_emb": True, "abs_pos_emb_max_length": 32, "rotary_pos_emb": False},
    "sinusoidal": {"use_sinusoidal_emb": True, "rotary_pos_emb": False, "add_rope": True},
    "window": {"sliding_window": [2, 0], "layer_scale": True, "causal": True},
    "attention": {"attn_kwargs": {"differential": True, "qk_norm": "ln", "feat_scale": True}},
    "convolved": {"ff_kwargs": {"use_conv": True, "glu": False}, "remove_norms": True},
    "norms": {"norm_kwargs": {"bias": True, "force_fp32": True}, "ff_kwargs": {"no_bias": True}},
}
BACKBONES = {
    **{
        f"dit-{name}": {"type": "dit", "config": {**DIT, "in_channels": 3, **options}}
        for name, options in OPTIONS.items()
    },
    "adp": {"type": "adp_uncond_1d", "config": {"in_channels": 3, **ADP}},
    "adp-patch": {
        "type": "adp_uncond_1d",
        "config": {
            "in_channels": 3,
            **ADP,
            "patch_size": 2,
            "use_nearest_upsample": True,
            "use_skip_scale": False,
            "attention_heads": None,
            "attention_features": 8,
        },
    },
    "adp-stft": {"type": "adp_uncond_1d", "config": {"in_channels": 3, **ADP, **STFT}},
    "dance": {"type": "DAU1d", "config": {"io_channels": 3, **DANCE, "strides": [2, 2]}},
    "dance-learned": {
        "type": "DAU1d",
        "config": {
            "io_channels": 3,
            **DANCE,
            "strides": [2, 1],
            "learned_resample": True,
            "use_snake": True,
        },
    },
}

# ------------------------------------------------------------------------------------- conditioned

OWN = {"sample_rate": 8000, "pretransform_config": PATCHED}
CONDITIONING = {
    "cond_dim": 8,
    "configs": [
        {"id": "genre", "type": "list", "config": {"options": ["rock", "jazz"]}},
        {"id": "year", "type": "int", "config": {"min_val": 3, "max_val": 9}},
        {"id": "seconds", "type": "number", "config": {"max_val": 60}},
        {"id": "spoken", "type": "phoneme", "config": {}},
        {"id": "guide", "type": "pretransform", "config": {**OWN, "output_dim": 6}},
        {
            "id": "kept",
            "type": "pretransform",
            "config": {
                "sample_rate": 8000,
                "pretransform_config": {"type": "autoencoder", "config": codec()},
                "save_pretransform": True,
            },
        },
        {
            "id": "stems",
            "type": "source_mix",
            "config": {
                **OWN,
                "source_keys": ["vox", "drums"],
                "allow_null_source": True,
                "source_length": 4,
            },
        },
    ],
}
PRETRAINED = [
    {"id": "text", "type": "t5", "config": {"t5_model_name": "t5-small", "max_length": 6}},
    {"id": "words", "type": "lut", "config": {"tokenizer_name": "tiny", "max_length": 6}},
    {"id": "clap", "type": "clap_text", "config": {"clap_ckpt_path": "clap.pt"}},
    {
        "id": "layer",
        "type": "clap_text",
        "config": {"clap_ckpt_path": "clap.pt", "use_text_features": True},
    },
    {"id": "sound", "type": "clap_audio", "config": {"clap_ckpt_path": "clap.pt"}},
    {
        "id": "same",
        "type": "t5",
        "config": {"t5_model_name": "t5-small", "max_length": 6, "output_dim": 512},
    },
    {
        "id": "pooled",
        "type": "clap_text",
        "config": {"clap_ckpt_path": "clap.pt", "output_dim": 512},
    },
]
ROUTES = {
    "cross_attention_cond_ids": ["genre", "spoken"],
    "global_cond_ids": ["seconds", "year"],
    "prepend_cond_ids": ["year"],
    "input_concat_ids": ["guide", "stems"],
}
WIDTHS_IN = {
    "cond_token_dim": 8,
    "global_cond_dim": 16,
    "prepend_cond_dim": 8,
    "input_concat_dim": 14,
}
SHIFT = {"distribution_shift_options": {"min_length": 16, "max_length": 1024}}
CFG = {"context_embedding_features": 8, "context_embedding_max_length": 8}
INLETS = {"context_features": 8, "context_features_multiplier": 4, "context_channels": [6]}


def steered(backbone, conditioning=CONDITIONING, **keys):
    """A conditional diffusion model."""
    parts = {"conditioning": conditioning} if conditioning else {}
    return {"io_channels": 3, **parts, "diffusion": backbone, **keys}


CONDITIONED = {
    "dit": steered(
        {"type": "dit", **ROUTES, **SHIFT, "config": {**DIT, "io_channels": 3, **WIDTHS_IN}}
    ),
    "dit-unprojected": steered(
        {
            "type": "dit",
            "cross_attention_cond_ids": ["genre"],
            "global_cond_ids": ["seconds"],
            "diffusion_objective": "rectified_flow",
            "config": {
                **DIT,
                "io_channels": 3,
                "cond_token_dim": 32,
                "project_cond_tokens": False,
                "global_cond_dim": 64,
                "project_global_cond": False,
                "global_cond_type": "adaLN",
            },
        },
        {
            "cond_dim": 32,
            "configs": [
                {"id": "genre", "type": "list", "config": {"options": ["rock", "jazz"]}},
                {"id": "seconds", "type": "number", "config": {"max_val": 60, "output_dim": 64}},
            ],
        },
    ),
    "adp": steered(
        {
            "type": "adp_1d",
            "global_cond_ids": ["seconds"],
            "input_concat_ids": ["guide"],
            "config": {"in_channels": 3, **ADP, **INLETS},
        }
    ),
    "adp-cfg": steered(
        {
            "type": "adp_cfg_1d",
            "global_cond_ids": ["seconds"],
            "input_concat_ids": ["guide"],
            "cross_attention_cond_ids": ["genre"],
            "config": {"in_channels": 3, **ADP, **INLETS, **CFG},
        }
    ),
    "pretrained": steered(
        {
            "type": "dit",
            "cross_attention_cond_ids": ["text", "words", "clap", "layer", "sound"],
            "config": {**DIT, "depth": 1, "io_channels": 3, "cond_token_dim": 8},
        },
        {"cond_dim": 8, "configs": PRETRAINED},
    ),
    "adp-stft": steered(
        {
            "type": "adp_1d",
            "input_concat_ids": ["guide"],
            "config": {
                **ADP,
                **STFT,
                "in_channels": 3,
                "context_channels": [6, 0],
                "use_stft_context": True,
            },
        }
    ),
    "latent": steered(
        {"type": "dit", **SHIFT, "global_cond_ids": ["own"], "config": {
            **DIT, "depth": 1, "io_channels": 4, "global_cond_dim": 8}},
        {"cond_dim": 8, "configs": [
            {"id": "own", "type": "number", "config": {}},
            {"id": "second", "type": "pretransform",
             "config": {**OWN, "use_model_pretransform": True}},
        ]},
        pretransform=PRETRANSFORMS["autoencoder"],
    ),
}  # fmt: skip

# --------------------------------------------------------------------- diffusion autoencoders, LMs

ENCODED = {"latent_dim": 4, "downsampling_ratio": 8, "io_channels": 2, "encoder": ENCODER}
DIFFUSION_AUTOENCODERS = {
    "dit": {
        **ENCODED,
        "bottleneck": {"type": "tanh"},
        "diffusion": {
            "type": "dit",
            "config": {
                **DIT,
                "depth": 1,
                "io_channels": 2,
                "input_concat_dim": 4,
                "diffusion_objective": "v",
            },
        },
    },
    "adp": {
        **ENCODED,
        "decoder": {"type": "oobleck", "config": {**DECODER["config"], "out_channels": 5}},
        "diffusion": {
            "type": "adp_1d",
            "config": {**ADP, "in_channels": 2, "context_channels": [5]},
        },
    },
    "dance": {
        **ENCODED,
        "diffusion": {
            "type": "DAU1d",
            "config": {
                **DANCE,
                "io_channels": 2,
                "strides": [2, 2],
                "cond_dim": 4,
                "cond_noise_aug": True,
            },
        },
    },
}
LM_SIZES = {"embed_dim": 64, "depth": 2, "dim_heads": 32}
LM_CODES = {
    "type": "autoencoder",
    "config": codec(bottleneck={"type": "rvq", "config": {**RVQ, "num_quantizers": 4}}),
}
LM_OPTIONS = {
    "plain": {},
    "cross": {"cross_attn_cond_dim": 8, "project_cross_attn_cond": True, "final_cross_attn_ix": 0},
    "prepend": {"prepend_cond_dim": 8, "num_memory_tokens": 2},
    "window": {"sliding_window": [2, 0]},
    "own-positions": {"rotary_pos_emb": False, "add_rope": True, "layer_scale": True},
    "absolute": {"use_abs_pos_emb": True, "rotary_pos_emb": False},
    "unprojected": {"cross_attn_cond_dim": 64},
}
LM_ROUTES = {
    "unprojected": {"cross_attention_cond_ids": ["wide"]},
    "cross": {"cross_attention_cond_ids": ["genre"]},
    "prepend": {"prepend_cond_ids": ["genre", "year"]},
}
PATTERNS = {
    "parallel": {"type": "parallel", "empty_initial": 1},
    "delay": {"type": "delay", "delays": [0, 1, 2, 4], "flatten_first": 1, "empty_initial": 1},
    "unroll": {"type": "unroll", "flattening": [0, 1, 1, 2], "delays": [0, 0, 1, 1]},
    "musiclm": {"type": "musiclm", "group_by": 2},
}


def language(options, routes, pattern="delay"):
    """A language model."""
    wide = {"id": "wide", "type": "number", "config": {"output_dim": 64}}
    conditioning = {**CONDITIONING, "configs": [*CONDITIONING["configs"][:2], wide]}
    lm = {
        "type": "continuous_transformer",
        **routes,
        "codebook_pattern": pattern,
        "config": {**LM_SIZES, **options},
    }
    return {"pretransform": LM_CODES, "conditioning": conditioning, "lm": lm}


# --------------------------------------------------------------------------------------------- all

RUN = {
    "training": {"learning_rate": 1e-3, "demo": {"demo_every": 7}},
    "dataset": {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": "/a"}]},
    "preencode": {"output_path": "latents"},
}


def entries():
    """Name, kind, document, and the path of the part that it is there for."""
    for name, model in HYPERENCODERS.items():
        yield name, "codec", root("hyperencoder", model), ("model",)
    for name, model in CODERS.items():
        yield name, "codec", root("autoencoder", model), ("model",)
    for name, (tag, config) in BOTTLENECKS.items():
        model = squeezed(tag, config)
        yield f"bottleneck-{name}", "codec", root("autoencoder", model), ("model", "bottleneck")
    yield "run", "codec", root("autoencoder", codec(), **RUN), ()
    for name in PRETRANSFORMS:
        document = root("diffusion_uncond", latent_model(name))
        yield f"latent-{name}", "latent", document, ("model", "pretransform")
    for name, model in BACKBONES.items():
        yield name, "diffusion", root("diffusion_uncond", model), ("model",)
    for name, model in CONDITIONED.items():
        yield f"cond-{name}", "conditioned", root("diffusion_cond", model), ("model",)
    for name, model in DIFFUSION_AUTOENCODERS.items():
        document = root("diffusion_autoencoder", model)
        part = ("model",) if name == "dit" else ("model", "diffusion")
        yield f"diffae-{name}", "decoded", document, part
    for name, options in LM_OPTIONS.items():
        model = language(options, LM_ROUTES.get(name, {}))
        part = ("model",) if name == "plain" else ("model", "lm")
        yield f"lm-{name}", "language", root("lm", model), part
    for name, pattern in PATTERNS.items():
        yield f"lm-{name}", "language", root("lm", language({}, {}, pattern)), ("model", "lm")
