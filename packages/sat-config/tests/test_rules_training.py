"""Rules within training blocks, and between training and the rest of a document."""

import json

import pytest
from audio_forms import changed, codes, form, read
from audio_forms import optimizer_group as group

from sat_config import convert, rules
from sat_config.audio import inpainting, loss
from sat_config.audio import training as blocks
from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.audio.diffusion import DiffusionCondConfig
from sat_config.audio.diffusion_autoencoder import DiffusionAutoencoderConfig
from sat_config.audio.discriminator import DiscriminatorNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.lm import LMModelConfig
from sat_config.audio.optimizer import OptimizerGroup
from sat_config.audio.scheduler import SchedulerNode

WEIGHTS = {"weights": {"adversarial": 0.1, "feature_matching": 5.0}}
LAYER = {"dit_hidden_layer": 1}
FFT = {"fft_sizes": [64, 32], "hop_sizes": [16, 8], "win_lengths": [64, 32]}
LOSSES = {
    "spectral": {"config": FFT, "weights": {"mrstft": 1.0}},
    "time": {"weights": {}},
}
AUTOENCODER = {
    "model_type": "autoencoder",
    "sample_rate": 44100,
    "sample_size": 4096,
    "model": {
        "encoder": {"type": "oobleck", "config": {"latent_dim": 8, "strides": [2, 4, 8, 8]}},
        "decoder": {"type": "oobleck", "config": {"latent_dim": 4, "strides": [2, 4, 8, 8]}},
        "bottleneck": {"type": "vae"},
        "latent_dim": 4,
        "downsampling_ratio": 512,
        "io_channels": 2,
    },
}
MELS = {"n_mels": [20], "window_lengths": [64], "pow": 1.0, "log_weight": 1.0, "mag_weight": 0.0}
CURVE = {"type": "OneCycleLR", "config": {"max_lr": 1e-3, "epochs": 2, "steps_per_epoch": 50}}
ENCODEC = {"type": "encodec", "config": {"filters": 8}, **WEIGHTS}
DAC = {"type": "dac", "config": {}, **WEIGHTS}
TEACHER = {"teacher_model": AUTOENCODER, "teacher_model_ckpt": "/weights/teacher.ckpt"}
RATE = {"learning_rate": 1e-4}
CHOSEN = {"optimizer_configs": {"autoencoder": group()}}

BROKEN_ALONE = [
    ("SAT-E043", loss.SpectralConfig, FFT, {"hop_sizes": [16]}),
    ("SAT-E043", loss.SpectralConfig, FFT, {"win_lengths": [64, 33]}),
    ("SAT-E045", DiscriminatorNode, ENCODEC, {"config__hop_lengths": [1]}),
    ("SAT-W045", DiscriminatorNode, ENCODEC, {"config__filters_scale": 2}),
    ("SAT-W045", DiscriminatorNode, ENCODEC, {"config__max_filters": 4}),
    ("SAT-E048", blocks.AutoencoderTraining, {**RATE, **TEACHER}, {"teacher_model_ckpt": ""}),
    ("SAT-E048", blocks.AutoencoderTraining, {**RATE, **TEACHER}, {"teacher_model": None}),
    ("SAT-E050", inpainting.MaskConfig, {}, {"mask_type_probabilities": [0.5, 0.5]}),
    ("SAT-E050", inpainting.MaskConfig, {}, {"mask_type_probabilities": [0.5, 0.5, 0.1]}),
    ("SAT-E201", blocks.LMTraining, RATE, {"learning_rate": None}),
    ("SAT-E201", blocks.AutoencoderTraining, RATE, {"learning_rate": None}),
    ("SAT-E201", blocks.DiffusionInpaintTraining, RATE, {"learning_rate": None}),
    ("SAT-W202", blocks.LMTraining, RATE, {"optimizer_configs": {"lm": group()}}),
    (
        "SAT-E203",
        blocks.AutoencoderTraining,
        {**CHOSEN, "loss_configs": LOSSES},
        {"loss_configs__discriminator": ENCODEC},
    ),
    (
        "SAT-W204",
        blocks.AutoencoderTraining,
        {**CHOSEN, "loss_configs": LOSSES},
        {"optimizer_configs__discriminator": group()},
    ),
    ("SAT-E204", OptimizerGroup, group(), {"optimizer__config__differentiable": True}),
    ("SAT-E205", OptimizerGroup, group(foreach=True), {"optimizer__config__fused": True}),
    ("SAT-E206", OptimizerGroup, group("SGD"), {"optimizer__config__nesterov": True}),
    (
        "SAT-E206",
        OptimizerGroup,
        group("SGD", nesterov=True, momentum=0.9),
        {"optimizer__config__dampening": 0.1},
    ),
    ("SAT-E207", OptimizerGroup, group(scheduler="CyclicLR"), {"optimizer__type": "ASGD"}),
    ("SAT-E207", OptimizerGroup, group(scheduler="OneCycleLR"), {"optimizer__type": "Rprop"}),
    ("SAT-E208", SchedulerNode, CURVE, {"config__epochs": None}),
    ("SAT-E210", OptimizerGroup, group("FusedAdam"), {"optimizer__config__amsgrad": True}),
    ("SAT-E211", loss.MelLoss, {"weights": {"mrmel": 0}}, {"weights__mrmel": 1}),
    (
        "SAT-E211",
        loss.MelLoss,
        {"weights": {"mrmel": 1}, "config": MELS},
        {"config__n_mels": [20, 40]},
    ),
    ("SAT-E212", loss.SpectralConfig, FFT, {"n_bins": [20, 10]}),
    ("SAT-E212", loss.SpectralConfig, FFT, {"scale": "mel"}),
    ("SAT-E212", loss.SpectralConfig, {**FFT, "scale": "mel", "n_bins": [9, 9]}, {"n_bins": [9]}),
    (
        "SAT-E212",
        loss.SpectralConfig,
        {**FFT, "scale": "mel", "n_bins": [9, 9]},
        {"n_bins": [9, 99]},
    ),
    ("SAT-E213", DiscriminatorNode, ENCODEC, {"config__activation": "ELU"}),
    ("SAT-W217", DiscriminatorNode, DAC, {"config__rates": [2]}),
    ("SAT-E217", DiscriminatorNode, DAC, {"config__bands": [[0.5, 0.1]]}),
    ("SAT-E217", DiscriminatorNode, DAC, {"config__bands": [[0.5, 0.501]]}),
    ("SAT-E217", DiscriminatorNode, DAC, {"config__periods": [], "config__fft_sizes": []}),
    ("SAT-W218", blocks.DiffusionCondTraining, RATE, {"mask_padding_dropout": 0.1}),
    ("SAT-W218", blocks.DiffusionCondTraining, RATE, {"clip_grad_norm": 1.0}),
    ("SAT-W218", blocks.DiffusionCondTraining, RATE, {"trim_config": {}}),
    (
        "SAT-W218",
        blocks.DiffusionCondTraining,
        RATE,
        {"timestep_sampler_options": {"mean_logsnr": 0.0}},
    ),
    (
        "SAT-W218",
        blocks.DiffusionCondTraining,
        {**RATE, "arc": {"discriminator": form("arc_head", "conv")}},
        {"timestep_sampler": "log_snr"},
    ),
    ("SAT-W224", loss.EvalSTFT, {}, {"perceptual_weighting": True}),
    ("SAT-W224", loss.EvalSTFT, {"n_bins": 20}, {"scale": "mel"}),
    ("SAT-E224", loss.EvalSTFT, {"sample_rate": 44100}, {"scale": "mel"}),
    ("SAT-E224", loss.EvalSTFT, {}, {"n_bins": 2000}),
    ("SAT-E226", loss.EvalMel, {}, {"fft_size": 512}),
    ("SAT-E226", loss.EvalSTFT, {}, {"win_length": 2048}),
]


@pytest.mark.parametrize(("code", "kind", "table", "change"), BROKEN_ALONE)
def test_rule_of_a_node(code, kind, table, change):
    assert codes(read(table, kind)) == []
    assert codes(read(changed(table, **change), kind)) == [code]


class Auto(AudioExperiment, kw_only=True, tag="autoencoder"):
    model: AutoencoderConfig
    training: blocks.AutoencoderTraining | None = None


class Cond(AudioExperiment, kw_only=True, tag="diffusion_cond"):
    model: DiffusionCondConfig
    training: blocks.DiffusionCondTraining | None = None


class DiffAuto(AudioExperiment, kw_only=True, tag="diffusion_autoencoder"):
    model: DiffusionAutoencoderConfig
    training: blocks.DiffusionAutoencoderTraining | None = None


class Language(AudioExperiment, kw_only=True, tag="lm"):
    model: LMModelConfig
    training: blocks.LMTraining | None = None


KEYS = {"sample_rate": 44100, "sample_size": 4096}
FOLDER = [{"id": "a", "path": "/data"}]
AUDIO = {"dataset_type": "audio_dir", "datasets": FOLDER}
LATENTS = {"dataset_type": "pre_encoded", "datasets": FOLDER}
SHARDS = {"dataset_type": "wds", "datasets": FOLDER, "pre_encoded": True}
AUTO = {**AUTOENCODER, "training": {**RATE, "loss_configs": LOSSES}}
COND = {
    "model_type": "diffusion_cond",
    **KEYS,
    "model": {
        "io_channels": 2,
        "diffusion": {
            "type": "dit",
            "config": {
                "io_channels": 2,
                "embed_dim": 64,
                "depth": 2,
                "num_heads": 2,
                "cond_token_dim": 16,
            },
            "cross_attention_cond_ids": ["prompt", "seconds"],
        },
        "conditioning": {
            "cond_dim": 16,
            "configs": [
                {"id": "prompt", "type": "int", "config": {"min_val": 0, "max_val": 9}},
                {"id": "seconds", "type": "number", "config": {"min_val": 0, "max_val": 9}},
            ],
            "default_keys": {"seconds": "seconds_total"},
        },
    },
    "training": {
        **RATE,
        "demo": {
            "num_demos": 2,
            "demo_cfg_scales": [1],
            "demo_cond": [{"prompt": "a", "seconds": 1}, {"prompt": "b", "seconds_total": 1}],
        },
    },
}
ARC = changed(
    COND,
    model__diffusion__diffusion_objective="rf_denoiser",
    training__learning_rate=None,
    training__optimizer_configs={"diffusion": group(), "discriminator": group()},
    training__arc={
        "use_model_as_teacher": True,
        "teacher_model_ckpt": "/weights/teacher.ckpt",
        "use_model_as_discriminator": True,
        "discriminator": {"type": "conv", **LAYER},
        "ode_warmup": {"warmup_steps": 10},
    },
)
DIFF_AUTO = {
    "model_type": "diffusion_autoencoder",
    **KEYS,
    "model": {
        "latent_dim": 2,
        "downsampling_ratio": 1,
        "io_channels": 2,
        "diffusion": {
            "type": "dit",
            "config": {
                "io_channels": 2,
                "embed_dim": 64,
                "depth": 2,
                "num_heads": 2,
                "input_concat_dim": 2,
                "diffusion_objective": "v",
            },
        },
    },
    "training": RATE,
}
SHORT = {"lm": group(scheduler="OneCycleLR")}

BROKEN_TOGETHER = [
    ("SAT-E041", Auto, AUTO, {"dataset": LATENTS}),
    ("SAT-E041", Cond, {**COND, "dataset": AUDIO}, {"training__pre_encoded": True}),
    ("SAT-E041", Cond, {**COND, "dataset": AUDIO}, {"val_dataset": SHARDS}),
    (
        "SAT-E044",
        Auto,
        changed(
            AUTO,
            training__loss_configs__discriminator={
                "type": "oobleck",
                "config": {"in_channels": 2},
                **WEIGHTS,
            },
        ),
        {"training__loss_configs__discriminator__config__in_channels": None},
    ),
    ("SAT-E049", Cond, ARC, {"model__diffusion__diffusion_objective": "v"}),
    ("SAT-E049", Cond, ARC, {"training__arc__teacher_model": {**COND, "training": None}}),
    (
        "SAT-E049",
        Cond,
        changed(ARC, training__arc__discriminator__contrastive=True),
        {"batch_size": 1},
    ),
    (
        "SAT-E049",
        Cond,
        changed(
            ARC,
            model__diffusion__cross_attention_cond_ids=["seconds"],
            model__conditioning__configs=COND["model"]["conditioning"]["configs"][1:],
            training__demo=None,
        ),
        {"training__arc__discriminator__contrastive": True},
    ),
    ("SAT-E049", Cond, ARC, {"training__arc__use_model_as_discriminator": None}),
    ("SAT-E049", Cond, ARC, {"training__arc__use_model_as_discriminator": False}),
    ("SAT-E049", Cond, ARC, {"training__arc__discriminator__dit_hidden_layer": 2}),
    ("SAT-E049", Cond, ARC, {"training__arc__discriminator_base_model": AUTOENCODER}),
    ("SAT-E049", Cond, ARC, {"training__arc__teacher_model_ckpt": None}),
    ("SAT-E049", Cond, ARC, {"training__optimizer_configs__discriminator": None}),
    (
        "SAT-E049",
        Cond,
        changed(ARC, training__arc__discriminator__type="convnext"),
        {"training__arc__use_model_as_teacher": None, "training__arc__teacher_model_ckpt": None},
    ),
    ("SAT-E061", Cond, COND, {"training__demo__num_demos": 3}),
    ("SAT-E061", Cond, COND, {"training__demo__demo_cond": None}),
    ("SAT-E214", Cond, ARC, {"gradient_clip_val": 1.0, "training__clip_grad_norm": 1.0}),
    ("SAT-E214", Auto, AUTO, {"gradient_clip_val": 1.0, "training__clip_grad_norm": 1.0}),
    (
        "SAT-E215",
        Auto,
        changed(AUTO, **{f"training__{key}": value for key, value in TEACHER.items()}),
        {
            "training__teacher_model__model__latent_dim": 2,
            "training__teacher_model__model__encoder__config__latent_dim": 4,
            "training__teacher_model__model__decoder__config__latent_dim": 2,
        },
    ),
    ("SAT-E216", DiffAuto, DIFF_AUTO, {"training__use_reconstruction_loss": True}),
    (
        "SAT-W219",
        Auto,
        AUTO,
        {"training__loss_configs__bottleneck": {"weights": {"mmd": 10}}},
    ),
    (
        "SAT-E220",
        Cond,
        COND,
        {"training__demo__demo_cond": [{"prompt": "a", "seconds": 1}, {"prompt": "b"}]},
    ),
    ("SAT-W225", Auto, {**AUTO, "dataset": AUDIO}, {"training__eval_loss_configs": {"mel": {}}}),
    (
        "SAT-E230",
        Cond,
        changed(
            COND,
            training__learning_rate=None,
            training__optimizer_configs={"diffusion": group("FusedAdam")},
        ),
        {"accelerator": "cpu"},
    ),
    (
        "SAT-E209",
        Cond,
        changed(
            COND,
            training__learning_rate=None,
            training__optimizer_configs={"diffusion": group(scheduler="OneCycleLR")},
            max_steps=100,
        ),
        {"max_steps": 101},
    ),
]


@pytest.mark.parametrize(("code", "kind", "table", "change"), BROKEN_TOGETHER)
def test_rule_of_a_document(code, kind, table, change):
    assert codes(convert.convert(table, kind)) == []
    assert codes(convert.convert(changed(table, **change), kind)) == [code]


@pytest.mark.parametrize(
    ("kind", "table", "change", "fix"),
    [
        (Cond, COND, {"training__demo__num_demos": 3}, ("training.demo.num_demos", "2")),
        (
            Cond,
            ARC,
            {"training__arc__discriminator__dit_hidden_layer": 7},
            ("training.arc.discriminator.dit_hidden_layer", "1"),
        ),
        (
            Cond,
            {**COND, "dataset": AUDIO},
            {"training__pre_encoded": True},
            ("training.pre_encoded", "false"),
        ),
    ],
)
def test_fix_mends_what_it_names(kind, table, change, fix):
    table = changed(table, **change)
    ((_, path, broken),) = rules.broken(convert.convert(table, kind))
    assert (".".join(map(str, path)), broken.fix) == fix
    mended = changed(table, **{"__".join(map(str, path)): json.loads(broken.fix)})
    assert codes(convert.convert(mended, kind)) == []


def test_demo_of_a_batch_needs_no_conditions():
    table = changed(COND, training__demo__demo_cond=None, training__demo__demo_cond_from_batch=True)
    assert codes(convert.convert(table, Cond)) == []


def test_arc_head_of_an_odd_width_is_refused():
    model = changed(ARC, model__diffusion__config__embed_dim=80)
    assert codes(convert.convert(model, Cond)) == ["SAT-E049"]
    model = changed(model, training__arc__discriminator__type="convnext")
    assert codes(convert.convert(model, Cond)) == []


def test_softnorm_without_its_weight_is_a_warning():
    softnorm = {"type": "softnorm", "config": {"dim": 4}}
    model = changed(AUTO, model__bottleneck=softnorm, model__encoder__config__latent_dim=4)
    assert "SAT-W219" in codes(convert.convert(model, Auto))
    model = changed(model, training__loss_configs__bottleneck={"weights": {"softnorm": 0.1}})
    assert "SAT-W219" not in codes(convert.convert(model, Auto))
