"""Documents as stable-audio-tools' users write them, tiny, with every type at least once."""

from typing import Any

Table = dict[str, Any]

PRESETS = (
    "sat:dac_2048_32_vae",
    "sat:dance_diffusion_base",
    "sat:encodec_musicgen_rvq",
    "sat:stable_audio_1_0",
    "sat:stable_audio_1_0_vae",
    "sat:stable_audio_2_0",
    "sat:stable_audio_2_0_vae",
)
"""Shipped models; what they leave out does not change the network."""

SMALL = {"channels": 8, "c_mults": [1, 2], "strides": [2, 4]}
TAAE = {**SMALL, "channels": 64, "latent_dim": 4, "transformer_depths": [1, 1]}
LOCAL = {"embed_dims": [32, 64], "heads": [1, 2], "depths": [1, 1], "ratios": [2, 4]}
SEANET = {"channels": 2, "dimension": 4, "n_filters": 4, "ratios": [4, 2]}
ADP = {"in_channels": 2, "channels": 32, "multipliers": [1, 1], "factors": [2], "num_blocks": [1]}
ADP = {**ADP, "attentions": [0, 0]}
HEADS = {**ADP, "attentions": [1, 1], "attention_heads": 2, "attention_multiplier": 2}
DIT = {"embed_dim": 64, "depth": 2, "num_heads": 2}
STFT = {"fft_sizes": [128, 64], "hop_sizes": [32, 16], "win_lengths": [128, 64]}
DANCE = {"depth": 2, "n_attn_layers": 1, "channels": [32, 32], "strides": [2]}


def node(tag: str, config: Table | None = None, /, **beside: object) -> Table:
    """A tagged table with its `config`."""
    return {"type": tag, **({} if config is None else {"config": config}), **beside}


def document(model_type: str, model: Table, training: Table | None = None) -> Table:
    """A whole document."""
    root = {"model_type": model_type, "sample_size": 512, "sample_rate": 44100, "model": model}
    return {**root, "training": training} if training else root


def codec(
    encoder: Table | None = None,
    decoder: Table | None = None,
    bottleneck: Table | None = None,
    **more: object,
) -> Table:
    """An autoencoder of two stages with 4 latent channels, without what is not given."""
    doubled = bottleneck and bottleneck["type"] in ("vae", "rvq_vae", "dac_rvq_vae")
    found = {
        "encoder": encoder or node("oobleck", {**SMALL, "latent_dim": 8 if doubled else 4}),
        "decoder": decoder or node("oobleck", {**SMALL, "latent_dim": 4}),
        "latent_dim": 4,
        "downsampling_ratio": 8,
        "io_channels": 2,
        **more,
    }
    return {**found, "bottleneck": bottleneck} if bottleneck else found


def autoencoder(training: Table | None = None, **parts: Any) -> Table:  # noqa: ANN401
    """A document with an autoencoder."""
    return document("autoencoder", codec(**parts), training)


def conditional(
    backbone: Table,
    configs: list[Table] | None = None,
    /,
    training: Table | None = None,
    **more: object,
) -> Table:
    """A document with a conditional diffusion model."""
    model: Table = {"io_channels": 2, "diffusion": backbone, **more}
    if configs:
        model["conditioning"] = {"cond_dim": 16, "configs": configs}
    return document("diffusion_cond", model, training)


def dit(config: Table, **beside: object) -> Table:
    """A document with a small diffusion transformer."""
    return conditional(node("dit", {"io_channels": 2, **DIT, **config}, **beside))


def losses(**blocks: object) -> Table:
    """A training block of an autoencoder with some losses."""
    spectral = {"config": STFT, "weights": {"mrstft": 1.0}}
    time = {"type": "l1", "weights": {"l1": 0.5}}
    return {"learning_rate": 1e-4, "loss_configs": {"spectral": spectral, "time": time, **blocks}}


def judged(tag: str, config: Table) -> Table:
    """A training block with a discriminator."""
    weights = {"adversarial": 0.1, "feature_matching": 5.0}
    return losses(discriminator=node(tag, config, weights=weights))


def conditioned(tag: str, config: Table) -> Table:
    """A document with one conditioner."""
    return conditional(
        node(
            "dit", {"io_channels": 2, **DIT, "cond_token_dim": 16}, cross_attention_cond_ids=["a"]
        ),
        [node(tag, config, id="a")],
    )


def tuned(optimizer: Table, scheduler: Table | None = None) -> Table:
    """A document whose training has an optimizer of its own."""
    group = {"optimizer": optimizer, **({"scheduler": scheduler} if scheduler else {})}
    training = {"optimizer_configs": {"diffusion": group}, "use_ema": False}
    return conditional(node("adp_1d", ADP), training=training)


def scheduled(tag: str, config: Table) -> Table:
    """A document whose training has a scheduler."""
    return tuned(node("SGD", {"lr": 0.1, "momentum": 0.5}), node(tag, config))


def adversarial(tag: str, config: Table) -> Table:
    """A document with adversarial post-training."""
    group = {"optimizer": node("AdamW", {"lr": 1e-4})}
    head = node(tag, config, dit_hidden_layer=1)
    arc = {"use_model_as_discriminator": True, "discriminator": head}
    training = {"optimizer_configs": {"diffusion": group, "discriminator": group}, "arc": arc}
    backbone = node("dit", {"io_channels": 2, **DIT})
    return conditional(backbone, [node("number", {}, id="a")], training=training)


def language_model(lm: Table, pretransform: Table, training: Table | None = None) -> Table:
    """A document with a language model."""
    sizes = {"embed_dim": 64, "depth": 2, "dim_heads": 32}
    backbone = node("continuous_transformer", {**sizes, **lm.pop("config", {})}, **lm)
    return document("lm", {"pretransform": pretransform, "lm": backbone}, training)


CODEBOOKS = {"input_dim": 4, "n_codebooks": 4, "codebook_size": 16, "codebook_dim": 3}
CODES = node("dac_rvq", CODEBOOKS)
TOKENS = node("autoencoder", codec(bottleneck=CODES))
LATENTS = node("autoencoder", codec(bottleneck=node("vae")), scale=0.7, iterate_batch=True)
INPAINTED = {"input_concat_dim": 3}
FOLDER = {"id": "a", "path": "/data"}

CASES: dict[str, Table] = {
    # encoders and decoders
    "coder oobleck": autoencoder(),
    "coder oobleck, every switch": autoencoder(
        encoder=node("oobleck", {**SMALL, "latent_dim": 4, "use_snake": True}, requires_grad=False),
        decoder=node(
            "oobleck",
            {**SMALL, "latent_dim": 4, "use_nearest_upsample": True, "final_tanh": False},
            soft_clip=True,
        ),
    ),
    "coder oobleck, alias-free": autoencoder(
        decoder=node("oobleck", {**SMALL, "latent_dim": 4, "antialias_activation": True})
    ),
    "coder oobleck, mono to stereo": autoencoder(
        encoder=node("oobleck", {**SMALL, "latent_dim": 4, "in_channels": 1}),
        in_channels=1,
        out_channels=2,
    ),
    "coder seanet": autoencoder(encoder=node("seanet", SEANET), decoder=node("seanet", SEANET)),
    "coder seanet, every switch": autoencoder(
        encoder=node("seanet", {**SEANET, "causal": True, "lstm": 0, "true_skip": True}),
        decoder=node(
            "seanet",
            {**SEANET, "norm": "time_group_norm", "activation": "LeakyReLU",
             "activation_params": {"negative_slope": 0.1}, "final_activation": "Tanh"},
        ),
    ),
    "coder dac": autoencoder(
        encoder=node("dac", {"in_channels": 2, "d_model": 4, "strides": [2, 4], "latent_dim": 4}),
        decoder=node("dac", {"out_channels": 2, "channels": 16, "rates": [4, 2], "latent_dim": 4}),
    ),
    "coder dac, as wide as its last stage": autoencoder(
        encoder=node("dac", {"in_channels": 2, "d_model": 4, "strides": [2, 4]}),
        decoder=node("dac", {"out_channels": 2, "channels": 16, "rates": [4, 2], "latent_dim": 16}),
    ),
    "coder local_attn": autoencoder(
        encoder=node("local_attn", {**LOCAL, "in_channels": 2, "out_channels": 4}),
        decoder=node(
            "local_attn",
            {"in_channels": 4, "out_channels": 2, "embed_dims": [64, 32], "heads": [2, 1],
             "depths": [1, 1], "ratios": [4, 2]},
        ),
    ),
    "coder taae": autoencoder(encoder=node("taae", TAAE), decoder=node("taae", TAAE)),
    "coder taae, every switch": autoencoder(
        encoder=node("taae", {**TAAE, "conformer": True, "use_dilated_conv": True}),
        decoder=node("taae", {**TAAE, "layer_scale": False, "sliding_window": [3, 3]}),
    ),
    # bottlenecks
    "bottleneck tanh": autoencoder(bottleneck=node("tanh")),
    "bottleneck vae": autoencoder(bottleneck=node("vae")),
    "bottleneck l2_norm": autoencoder(bottleneck=node("l2_norm")),
    "bottleneck wasserstein": autoencoder(bottleneck=node("wasserstein")),
    "bottleneck wasserstein, with noise": autoencoder(
        bottleneck=node("wasserstein", {"noise_augment_dim": 3, "use_tanh": True})
    ),
    "bottleneck rvq": autoencoder(bottleneck=node("rvq", {"dim": 4, "codebook_size": 8})),
    "bottleneck rvq, every switch": autoencoder(
        bottleneck=node(
            "rvq",
            {"dim": 4, "codebook_size": 8, "codebook_dim": 2, "quantize_dropout": True,
             "shared_codebook": True, "use_cosine_sim": True, "num_quantizers": 3},
        )
    ),
    "bottleneck rvq_vae": autoencoder(bottleneck=node("rvq_vae", {"dim": 4, "codebook_size": 8})),
    "bottleneck dac_rvq": autoencoder(bottleneck=CODES),
    "bottleneck dac_rvq, on decoding": autoencoder(
        bottleneck=node("dac_rvq", {**CODEBOOKS, "quantize_on_decode": True})
    ),
    "bottleneck dac_rvq_vae": autoencoder(bottleneck=node("dac_rvq_vae", CODEBOOKS)),
    "bottleneck fsq": autoencoder(bottleneck=node("fsq", {"levels": [5, 5], "num_codebooks": 2})),
    "bottleneck fsq, projected": autoencoder(
        bottleneck=node("fsq", {"levels": [8, 5], "dim": 4, "keep_num_codebooks_dim": True})
    ),
    "bottleneck dithered_fsq": autoencoder(
        bottleneck=node("dithered_fsq", {"dim": 4, "levels": 5})
    ),
    "bottleneck dithered_fsq, by channel": autoencoder(
        bottleneck=node("dithered_fsq", {"dim": 2, "levels": [7, 3], "num_codebooks": 2})
    ),
    # pretransforms
    "pretransform autoencoder": conditional(node("adp_1d", ADP), pretransform=LATENTS),
    "pretransform wavelet": autoencoder(
        pretransform=node("wavelet", {"channels": 2, "levels": 2, "wavelet": "bior4.4"})
    ),
    "pretransform pqmf": autoencoder(pretransform=node("pqmf", {"num_bands": 8, "channels": 2})),
    "pretransform dac_pretrained": conditional(
        node("adp_1d", ADP), pretransform=node("dac_pretrained", {"model_type": "24khz"})
    ),
    "pretransform audiocraft_pretrained": language_model({}, node("audiocraft_pretrained", {})),
    "pretransform patched": autoencoder(
        pretransform=node("patched", {"channels": 2, "patch_size": 4}, enable_grad=True)
    ),
    "pretransform patched, oversampled": autoencoder(
        pretransform=node("patched", {"channels": 1, "patch_size": 4, "oversampling": 2})
    ),
    # conditioners
    "conditioner int": conditioned("int", {"max_val": 9}),
    "conditioner number": conditioned("number", {"min_val": -1, "output_dim": 16}),
    "conditioner list": conditioned("list", {"options": ["a", "b", 3]}),
    "conditioner t5": conditioned("t5", {"t5_model_name": "t5-small", "max_length": 8}),
    "conditioner t5, trained": conditioned("t5", {"enable_grad": True, "project_out": True}),
    "conditioner clap_text": conditioned("clap_text", {"clap_ckpt_path": "/clap.ckpt"}),
    "conditioner clap_text, by token": conditioned(
        "clap_text",
        {"clap_ckpt_path": "/clap.ckpt", "use_text_features": True, "feature_layer_ix": -2,
         "finetune": True, "enable_fusion": False, "audio_model_type": "HTSAT-tiny"},
    ),
    "conditioner clap_audio": conditioned("clap_audio", {"clap_ckpt_path": "/clap.ckpt"}),
    "conditioner phoneme": conditioned("phoneme", {"project_out": True, "max_length": 9}),
    "conditioner lut": conditioned("lut", {"tokenizer_name": "t5-small", "max_length": 8}),
    "conditioner lut, every switch": conditioned(
        "lut",
        {"tokenizer_name": "t5-small", "use_abs_pos_emb": True, "special_tokens": ["[a]", "[b]"]},
    ),
    "conditioner pretransform": conditioned(
        "pretransform",
        {"sample_rate": 44100, "output_dim": 4, "pretransform_config": LATENTS},
    ),
    "conditioner pretransform, the model's": conditional(
        node("adp_1d", {**ADP, "in_channels": 4}),
        [node("pretransform", {"sample_rate": 44100, "output_dim": 4,
                               "use_model_pretransform": True}, id="a")],
        pretransform=LATENTS,
    ),
    "conditioner source_mix": conditioned(
        "source_mix",
        {"sample_rate": 44100, "pretransform_config": LATENTS, "source_keys": ["bass", "drums"]},
    ),
    "conditioner source_mix, every switch": conditioned(
        "source_mix",
        {"sample_rate": 44100, "pretransform_config": LATENTS, "source_keys": ["bass"],
         "pre_encoded": True, "allow_null_source": True, "source_length": 8,
         "save_pretransform": True},
    ),
    # diffusion transformers
    "dit": dit({}),
    "dit, unconditional": document("diffusion_uncond", node("dit", {"in_channels": 2, **DIT})),
    "dit, unconditional, on latents": document(
        "diffusion_uncond",
        node("dit", {"in_channels": 4, **DIT, "diffusion_objective": "rectified_flow"},
             pretransform=LATENTS),
    ),
    "dit, every condition": dit(
        {"cond_token_dim": 16, "project_cond_tokens": False, "global_cond_dim": 16,
         "prepend_cond_dim": 16, "input_concat_dim": 4, "global_cond_type": "adaLN"},
        diffusion_objective="rectified_flow",
    ),
    "dit, shifted timesteps": dit(
        {}, diffusion_objective="rectified_flow",
        distribution_shift_options={"max_shift": 2.0, "use_sine": True},
    ),
    "dit, conformer": dit({"conformer": True, "layer_scale": True, "patch_size": 2}),
    "dit, attention": dit({"attn_kwargs": {"qk_norm": "ln", "differential": True,
                                           "feat_scale": True}}),
    "dit, feed-forward": dit({"ff_kwargs": {"use_conv": True, "glu": False, "mult": 2}}),
    "dit, norms": dit({"norm_kwargs": {"fix_scale": True, "eps": 1e-3}}),
    "dit, no norms": dit({"remove_norms": True}),
    "dit, dynamic tanh of queries": dit({"attn_kwargs": {"qk_norm": "dyt"}}),
    "dit, positions": dit({"rotary_pos_emb": False, "add_rope": True, "use_abs_pos_emb": True,
                           "abs_pos_emb_max_length": 50}),
    "dit, sinusoidal positions": dit({"rotary_pos_emb": False, "use_sinusoidal_emb": True}),
    "dit, memory and window": dit({"num_memory_tokens": 3, "sliding_window": [4, 4],
                                   "final_cross_attn_ix": 0, "zero_init_branch_outputs": False}),
    "dit, timestep as channel": dit({"timestep_cond_type": "input_concat",
                                     "timestep_embed_dim": 1}),
    # U-Nets
    "adp_uncond_1d": document("diffusion_uncond", node("adp_uncond_1d", ADP)),
    "adp_uncond_1d, every switch": document(
        "diffusion_uncond",
        node("adp_uncond_1d", {**HEADS, "patch_size": 2, "use_nearest_upsample": True,
                               "use_skip_scale": False, "kernel_multiplier_downsample": 4}),
    ),
    "adp_1d": conditional(node("adp_1d", ADP)),
    "adp_1d, every condition": conditional(
        node("adp_1d", {**HEADS, "context_features": 16, "context_channels": [3, 0]})
    ),
    "adp_cfg_1d": conditional(
        node("adp_cfg_1d", {**HEADS, "context_embedding_features": 16,
                            "context_embedding_max_length": 4})
    ),
    "adp_cfg_1d, every condition": conditional(
        node("adp_cfg_1d", {**HEADS, "context_embedding_features": 16, "context_features": 16,
                            "context_embedding_max_length": 4, "use_xattn_time": True,
                            "attention_features": 8})
    ),
    "DAU1d": document("diffusion_uncond", node("DAU1d", DANCE)),
    "DAU1d, every switch": document(
        "diffusion_uncond",
        node("DAU1d", {**DANCE, "learned_resample": True, "strides": [4], "conv_bias": False}),
    ),
    # other model types
    "inpainting": document(
        "diffusion_cond_inpaint",
        {"io_channels": 2, "conditioning": {"cond_dim": 16, "configs": []},
         "diffusion": node("dit", {"io_channels": 2, **DIT, **INPAINTED},
                           input_concat_ids=["inpaint_mask", "inpaint_masked_input"])},
        {"learning_rate": 1e-4, "inpainting": {"mask_kwargs": {"max_mask_segments": 4}},
         "demo": {"demo_cfg_scales": [3], "num_demos": 2}},
    ),
    "diffusion autoencoder dit": document(
        "diffusion_autoencoder",
        {"encoder": node("oobleck", {**SMALL, "latent_dim": 4}), "latent_dim": 4,
         "decoder": node("oobleck", {**SMALL, "latent_dim": 4, "out_channels": 3}),
         "downsampling_ratio": 8, "io_channels": 2, "bottleneck": node("tanh"),
         "diffusion": node("dit", {"io_channels": 2, **DIT, "input_concat_dim": 3,
                                   "diffusion_objective": "v"})},
        {"learning_rate": 1e-4, "demo": {"demo_steps": 5}},
    ),
    "diffusion autoencoder adp_1d": document(
        "diffusion_autoencoder",
        {"encoder": node("oobleck", {**SMALL, "latent_dim": 4}), "latent_dim": 4,
         "downsampling_ratio": 8, "io_channels": 2,
         "diffusion": node("adp_1d", {**ADP, "context_channels": [4]})},
    ),
    "diffusion autoencoder DAU1d": document(
        "diffusion_autoencoder",
        {"encoder": node("oobleck", {**SMALL, "latent_dim": 4}), "latent_dim": 4,
         "downsampling_ratio": 8, "io_channels": 2,
         "diffusion": node("DAU1d", {**DANCE, "cond_dim": 4, "cond_noise_aug": True})},
    ),
    **{f"lm, {pattern}": language_model({"codebook_pattern": pattern}, TOKENS)
       for pattern in ("parallel", "delay", "unroll", "musiclm")},
    "lm, every switch": language_model(
        {"config": {"cross_attn_cond_dim": 16, "project_cross_attn_cond": True,
                    "prepend_cond_dim": 16, "attn_kwargs": {"qk_norm": "l2"},
                    "ff_kwargs": {"no_bias": True}, "use_sinusoidal_emb": True}},
        TOKENS,
        {"learning_rate": 1e-4, "use_ema": True, "demo": {"num_demos": 2}},
    ),
    # training
    "training of an autoencoder, by default": autoencoder(
        {"learning_rate": 1e-4}, bottleneck=node("vae")
    ),
    "training of an autoencoder, with an average": autoencoder({**losses(), "use_ema": True}),
    "training of an autoencoder, in mono": autoencoder(
        losses(), in_channels=1, out_channels=1,
        encoder=node("oobleck", {**SMALL, "latent_dim": 4, "in_channels": 1}),
        decoder=node("oobleck", {**SMALL, "latent_dim": 4, "out_channels": 1}),
    ),
    "training of an autoencoder, every loss": autoencoder(
        {
            **losses(
                spectral={"config": {**STFT, "perceptual_weighting": True, "w_lin_mag": 0.5},
                          "weights": {"mrstft": 2.0}, "decay": 0.9},
                time={"weights": {"l2": 0.5}, "decay": 0.9},
                mrmel={"weights": {"mrmel": 0.5},
                       "config": {"n_mels": [8], "window_lengths": [128], "pow": 1.0,
                                  "log_weight": 1.0, "mag_weight": 0.0}},
                hubert={"weights": {"hubert": 0.0}},
                bottleneck={"type": "kl", "weights": {"kl": 1e-4}},
            ),
            "eval_loss_configs": {"stft": {"fft_size": 128}, "sisdr": {}, "mel": {"n_mels": 16}},
            "demo": {"demo_every": 5},
            "warmup_steps": 9, "encoder_freeze_on_warmup": True, "latent_mask_ratio": 0.1,
        },
        bottleneck=node("vae"),
    ),
    "discriminator encodec": autoencoder(
        judged("encodec", {"filters": 4, "n_ffts": [64], "hop_lengths": [16], "win_lengths": [64]})
    ),
    "discriminator oobleck": autoencoder(judged("oobleck", {"in_channels": 2})),
    "discriminator dac": autoencoder(judged("dac", {"use_hinge": True})),
    "training of diffusion, unconditional": document(
        "diffusion_uncond", node("adp_uncond_1d", ADP),
        {"learning_rate": 1e-4, "demo": {"demo_every": 5, "demo_steps": 3}},
    ),
    "training of diffusion, conditional": conditional(
        node("adp_1d", {**ADP, "context_features": 16}, global_cond_ids=["a"]),
        [node("number", {}, id="a")],
        training={
            "learning_rate": 1e-4, "mask_padding": True, "cfg_dropout_prob": 0.2,
            "timestep_sampler": "log_snr", "timestep_sampler_options": {"mean_logsnr": -1.0},
            "demo": {
                "num_demos": 2, "demo_cfg_scales": [3, 6], "demo_cond": [{"a": 0}, {"a": 1}],
                "cond_display_configs": [
                    {"id": "a", "type": "audio"},
                    {"id": "b", "type": "audio_dict", "config": {"pre_encoded": True}},
                ],
            },
        },
    ),
    "training of diffusion, by default": conditional(
        node("adp_1d", ADP), training={"learning_rate": 1e-4}
    ),
    "ARC convnext": adversarial("convnext", {"channels": 8, "c_mults": [1], "strides": [2]}),
    "ARC conv": adversarial("conv", {}),
    **{f"optimizer {tag}": tuned(node(tag, {"lr": 0.01}))
       for tag in ("Adam", "AdamW", "FusedAdam", "Adamax", "NAdam", "RAdam", "Adadelta",
                   "Adafactor", "Adagrad", "RMSprop", "SGD", "ASGD", "Rprop")},
    "optimizer AdamW, every switch": tuned(
        node("AdamW", {"lr": 0.01, "betas": [0.8, 0.99], "weight_decay": 0.1, "amsgrad": True})
    ),
    **{f"scheduler {tag}": scheduled(tag, config) for tag, config in {
        "InverseLR": {"inv_gamma": 100, "power": 0.5, "warmup": 0.9},
        "ConstantLR": {},
        "LinearLR": {},
        "StepLR": {"step_size": 5},
        "MultiStepLR": {"milestones": [3, 6]},
        "ExponentialLR": {"gamma": 0.99},
        "PolynomialLR": {},
        "CosineAnnealingLR": {"T_max": 9},
        "CosineAnnealingWarmRestarts": {"T_0": 9},
        "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1},
        "OneCycleLR": {"max_lr": 0.1, "total_steps": 9},
    }.items()},
    # data
    "dataset audio_dir": {"dataset_type": "audio_dir", "datasets": [FOLDER], "drop_last": False},
    "dataset pre_encoded": {"dataset_type": "pre_encoded", "datasets": [FOLDER]},
    "dataset pre_encoded, every switch": {
        "dataset_type": "pre_encoded", "datasets": [FOLDER], "latent_crop_length": 8,
        "min_length_sec": 1, "max_length_sec": 9, "random_crop": True, "latent_extension": "npz",
    },
    "dataset wds": {"dataset_type": "wds", "datasets": [FOLDER]},
    "dataset wds, every switch": {
        "dataset_type": "wds", "datasets": [FOLDER], "remove_silence": True, "volume_norm": True,
        "silence_threshold": [0.1, 0.2], "volume_norm_param": [-20, 1], "epoch_steps": 10,
        "pre_encoded": True, "latent_crop_length": 8, "resampled_shards": False,
    },
    "dataset s3": {
        "dataset_type": "s3",
        "datasets": [{"id": "a", "s3_path": "s3://bucket/prefix/", "profile": "me"}],
    },
}  # fmt: skip
