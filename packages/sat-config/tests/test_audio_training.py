"""Training blocks and all below them, and the rules between them."""

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import sat_config
from sat_config import convert, encode, jsonschema, registry, rules, schema
from sat_config.audio import arc, demo, inpainting, loss
from sat_config.audio import training as blocks
from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.audio.demo import CondDisplayNode
from sat_config.audio.diffusion import DiffusionCondConfig
from sat_config.audio.diffusion_autoencoder import DiffusionAutoencoderConfig
from sat_config.audio.discriminator import DiscriminatorNode, DiscriminatorWeights
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.lm import LMModelConfig
from sat_config.audio.optimizer import OptimizerGroup, OptimizerNode
from sat_config.audio.scheduler import SchedulerNode

SHARED = Path(__file__).resolve().parents[4] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the corpus is not here")

FAMILIES = {
    "optimizer": OptimizerNode,
    "scheduler": SchedulerNode,
    "loss_configs.discriminator": DiscriminatorNode,
    "arc.discriminator": arc.ARCHeadNode,
    "demo.cond_display_configs": CondDisplayNode,
}
BLOCKS = {
    "autoencoder": blocks.AutoencoderTraining,
    "diffusion_uncond": blocks.DiffusionUncondTraining,
    "diffusion_cond": blocks.DiffusionCondTraining,
    "diffusion_cond_inpaint": blocks.DiffusionInpaintTraining,
    "diffusion_autoencoder": blocks.DiffusionAutoencoderTraining,
    "lm": blocks.LMTraining,
}

# ------------------------------------------------------------------------------------------ forms

WEIGHTS = {"weights": {"adversarial": 0.1, "feature_matching": 5.0}}
LAYER = {"dit_hidden_layer": 1}
REQUIRED = {
    "CosineAnnealingLR": {"T_max": 100},
    "CosineAnnealingWarmRestarts": {"T_0": 10},
    "CyclicLR": {"base_lr": 1e-5, "max_lr": 1e-3},
    "ExponentialLR": {"gamma": 0.999996},
    "MultiStepLR": {"milestones": [10, 20]},
    "OneCycleLR": {"max_lr": 1e-3, "total_steps": 100},
    "StepLR": {"step_size": 10},
    "encodec": {"filters": 32},
}


def members(family: str) -> dict[str, type[msgspec.Struct]]:
    return registry.current().families[FAMILIES[family]].members


def least(family: str, tag: str) -> dict:
    node: dict = {"type": tag, "config": REQUIRED.get(tag, {})}
    if family == "loss_configs.discriminator":
        node |= WEIGHTS
    if family == "arc.discriminator":
        node |= LAYER
    if family == "demo.cond_display_configs":
        node |= {"id": "audio"}
    return node


NODES = [(family, tag) for family in FAMILIES for tag in members(family)]


def group(optimizer: str = "AdamW", scheduler: str | None = None, **config) -> dict:
    made: dict = {"optimizer": {"type": optimizer, "config": config}}
    if scheduler:
        made["scheduler"] = least("scheduler", scheduler)
    return made


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
TERMS = {
    "window": "blackmanharris",
    "w_sc": 0.5,
    "w_log_mag": 0.5,
    "w_lin_mag": 0.5,
    "w_phs": 0.5,
    "perceptual_weighting": True,
    "scale_invariance": True,
    "eps": 1e-6,
    "reduction": "sum",
    "mag_distance": "L2",
    "log_eps": 1e-3,
    "log_fac": 2.0,
    "retain_batch_dim": True,
    "output": "loss",
    "device": "cpu",
}
ONE = {"fft_size": 64, "hop_size": 16, "win_length": 64}
FULL = {
    "autoencoder": {
        "learning_rate": 1e-4,
        "optimizer_configs": {
            "autoencoder": group(scheduler="InverseLR"),
            "discriminator": group(scheduler="ExponentialLR"),
        },
        "loss_configs": {
            "discriminator": {"type": "encodec", "config": {"filters": 16}, **WEIGHTS},
            "spectral": {
                "type": "mrstft",
                "config": {**FFT, **TERMS, "scale": "mel", "n_bins": [20, 10]},
                "weights": {"mrstft": 1.0},
                "decay": 0.9999,
            },
            "time": {"type": "l1", "weights": {"l1": 0.1, "l2": 0.2}, "decay": 0.99},
            "mrmel": {"type": "mrmel", "config": MELS, "weights": {"mrmel": 1.0}},
            "hubert": {
                "type": "hubert",
                "config": {"model_name": "WAVLM_LARGE", "feature_ids": [-1]},
                "weights": {"hubert": 0.1},
                "decay": 0.99,
            },
            "bottleneck": {"type": "kl", "weights": {"kl": 1e-4, "mmd": 10, "softnorm": 0.1}},
        },
        "eval_loss_configs": {
            "pesq": {},
            "stft": {**ONE, **TERMS, "sample_rate": 44100, "scale": "chroma", "n_bins": 12},
            "sisdr": {"zero_mean": False, "eps": 1e-6, "reduction": "sum"},
            "mel": {**ONE, **TERMS, "n_mels": 20},
        },
        "warmup_steps": 1000,
        "warmup_mode": "full",
        "encoder_freeze_on_warmup": True,
        "clip_grad_norm": 1.0,
        "use_ema": True,
        "force_input_mono": True,
        "latent_mask_ratio": 0.05,
        "teacher_model": AUTOENCODER,
        "teacher_model_ckpt": "/weights/teacher.ckpt",
        "demo": {"demo_every": 500},
    },
    "diffusion_uncond": {
        "learning_rate": 1e-4,
        "pre_encoded": True,
        "demo": {"demo_every": 500, "demo_steps": 50, "num_demos": 4},
    },
    "diffusion_cond": {
        "learning_rate": 1e-4,
        "optimizer_configs": {
            "diffusion": group(scheduler="StepLR"),
            "discriminator": group("AdamW8bit", "CosineAnnealingLR"),
        },
        "use_ema": False,
        "mask_padding": True,
        "mask_padding_dropout": 0.1,
        "log_loss_info": True,
        "pre_encoded": True,
        "cfg_dropout_prob": 0.2,
        "timestep_sampler": "log_snr",
        "timestep_sampler_options": {"mean_logsnr": 0.0, "std_logsnr": 1.0},
        "p_one_shot": 0.1,
        "inpainting": {
            "mask_kwargs": {"max_mask_segments": 3, "mask_type_probabilities": [0.2, 0.2, 0.6]}
        },
        "arc": {
            "teacher_model": AUTOENCODER,
            "use_model_as_teacher": True,
            "teacher_model_ckpt": "/weights/teacher.ckpt",
            "discriminator_base_model": AUTOENCODER,
            "use_model_as_discriminator": True,
            "discriminator_base_ckpt": "/weights/base.ckpt",
            "discriminator": {
                "type": "convnext",
                "config": {
                    "channels": 8,
                    "c_mults": [1, 2],
                    "strides": [2, 2],
                    "num_blocks": [1, 2],
                    "conv_args": {"kernel_size": 5, "mult": 2, "glu": True},
                    "loss_type": "lsgan",
                },
                **LAYER,
                "contrastive": True,
                "include_grad_penalties": True,
                "weights": {"generator": 1.0, "discriminator": 2.0, "contrastive": 3.0},
            },
            "noise_dist": {"generator": "one_shot", "discriminator": "logsnr_uniform"},
            "ode_warmup": {"warmup_steps": 5, "refresh_rate": 2, "sampling_steps": 8, "cfg": 2.0},
            "sampling": {"steps": 8},
        },
        "clip_grad_norm": 1.0,
        "trim_config": {"trim_prob": 0.5, "type": "random_item"},
        "demo": {
            "demo_every": 500,
            "demo_steps": 50,
            "num_demos": 1,
            "demo_cfg_scales": [1, 3.5],
            "demo_cond": [{"prompt": "rain", "seconds_start": 0, "stems": ["a", "b"]}],
            "demo_cond_from_batch": True,
            "display_audio_cond": True,
            "cond_display_configs": [
                {"id": "a", "type": "audio", "config": {"pre_encoded": True, "display_mix": True}},
                {
                    "id": "b",
                    "type": "audio_dict",
                    "config": {"pre_encoded": True, "display_mix": True},
                },
            ],
        },
        "use_reconstruction_loss": True,
        "loss_configs": {"diffusion": {"type": "mse"}},
    },
    "diffusion_autoencoder": {
        "learning_rate": 1e-4,
        "use_reconstruction_loss": True,
        "demo": {"demo_every": 500, "demo_steps": 50},
    },
    "lm": {
        "learning_rate": 1e-4,
        "optimizer_configs": {"lm": group(scheduler="OneCycleLR")},
        "use_ema": True,
        "pre_encoded": True,
        "demo": {
            "demo_every": 500,
            "num_demos": 1,
            "demo_cfg_scales": [1, 3],
            "demo_cond": [{"prompt": "rain"}],
        },
    },
}
FULL["diffusion_cond_inpaint"] = {
    **FULL["diffusion_cond"],
    "demo": {"demo_every": 500, "demo_steps": 50, "num_demos": 2, "demo_cfg_scales": [1]},
}


def read(table: dict, kind: type):
    """Decode without judging rules."""
    found = schema.struct_slot(kind).struct_for(table)
    assert found is not None
    return convert.convert(table, found)


def codes(value: object) -> list[str]:
    return sorted(rule.code for rule, _, _ in rules.broken(value))


def changed(table: dict, **changes) -> dict:
    """A copy with `a__b=value` set; None removes."""
    table = copy.deepcopy(table)
    for way, value in changes.items():
        *above, last = way.split("__")
        inner = table
        for key in above:
            inner = inner.setdefault(key, {})
        inner.pop(last, None)
        if value is not None:
            inner[last] = value
    return table


# ------------------------------------------------------------------------------------------ nodes


@pytest.mark.parametrize(("family", "tag"), NODES)
def test_node_survives_a_round_trip(family, tag):
    decoded = sat_config.decode(least(family, tag), type=FAMILIES[family])
    assert read(encode.plain(decoded), FAMILIES[family]) == decoded


@pytest.mark.parametrize(("family", "tag"), NODES)
def test_node_is_closed_to_unknown_keys(family, tag):
    node = changed(least(family, tag), config__no_such_key=1)
    with pytest.raises(sat_config.ConfigError, match="no_such_key"):
        sat_config.decode(node, type=FAMILIES[family])


@pytest.mark.parametrize("model_type", BLOCKS)
@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_block_survives_a_round_trip(model_type):
    kind = BLOCKS[model_type]
    for block in ({"learning_rate": 1e-4}, FULL[model_type]):
        decoded = sat_config.decode(block, type=kind)
        assert convert.convert(encode.plain(decoded), kind) == decoded


@pytest.mark.parametrize("model_type", BLOCKS)
def test_full_block_names_every_key(model_type):
    assert set(_unnamed(FULL[model_type], schema.struct_slot(BLOCKS[model_type]))) == set()


def _unnamed(value: object, slot: schema.Slot) -> Iterator[str]:
    """Keys below a slot that the table leaves out; other documents and tagged nodes apart."""
    if isinstance(value, list) and slot.item is not None:
        for item in value:
            yield from _unnamed(item, slot.item)
    cls = slot.struct_for(value) if isinstance(value, dict) else None
    if cls is None or issubclass(cls, AudioExperiment | OptimizerNode | SchedulerNode):
        return
    if issubclass(cls, DiscriminatorNode):
        return
    for key, field in schema.fields(cls).items():
        if key not in value:
            yield f"{cls.__name__}.{key}"
        else:
            yield from _unnamed(value[key], field.slot)


@pytest.mark.parametrize(
    ("family", "node", "place"),
    [
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
        ("loss_configs.discriminator", {"type": "encodec", "config": {}, **WEIGHTS}, "filters"),
        ("loss_configs.discriminator", {"type": "oobleck", "config": {}}, "weights"),
        (
            "loss_configs.discriminator",
            {"type": "encodec", "config": {"filters": 8, "loss_type": "rpgan"}, **WEIGHTS},
            "hinge",
        ),
        ("arc.discriminator", {"type": "conv"}, "dit_hidden_layer"),
        ("demo.cond_display_configs", {"type": "audio"}, "id"),
    ],
)
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
            "mel",
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


# ---------------------------------------------------------------------------------------- refusals


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
        ("loss_configs.discriminator", "hil", "0.0.20"),
        ("arc.discriminator", "dilated_conv", "0.0.20"),
    ],
)
def test_refused_tag_says_why(family, tag, words):
    with pytest.raises(sat_config.ConfigError) as caught:
        sat_config.decode({**least(family, tag)}, type=FAMILIES[family])
    (problem,) = caught.value.problems
    assert problem.code == "bad-tag"
    assert problem.suggestion is None
    assert words in (problem.note or "")


def test_misspelt_tag_gets_a_suggestion():
    with pytest.raises(sat_config.ConfigError) as caught:
        sat_config.decode({"type": "adamw", "config": {}}, type=OptimizerNode)
    assert caught.value.problems[0].suggestion == '"AdamW"'


def test_refused_tag_has_no_member():
    for family in FAMILIES:
        entry = registry.current().families[FAMILIES[family]]
        assert not entry.refused.keys() & entry.members.keys()
    with pytest.raises(registry.RegistryError, match="AdamW"):
        registry.refuse(OptimizerNode, "AdamW", "no")
    with pytest.raises(registry.RegistryError, match="Adam"):
        registry.refuse(OptimizerGroup, "Adam", "no family")


# ------------------------------------------------------------------------------------ documentation


def _structs() -> Iterator[type[msgspec.Struct]]:
    waiting: list[type] = [*BLOCKS.values(), *FAMILIES.values()]
    seen = set()
    while waiting:
        cls = waiting.pop()
        if cls in seen or issubclass(cls, AudioExperiment):
            continue
        seen.add(cls)
        yield cls
        head = registry.current().families.get(cls)
        waiting += head.members.values() if head else ()
        waiting += (inner for field in schema.fields(cls).values() for inner in field.slot.structs)
        for field in schema.fields(cls).values():
            waiting += field.slot.item.structs if field.slot.item else ()


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
            assert name in jsonschema.descriptions(cls), (cls, name)


# ------------------------------------------------------------------------------------------- facts


def test_losses_left_out_are_those_of_sat():
    losses = blocks.AutoencoderTraining(learning_rate=1e-4).loss_configs
    assert losses.discriminator.config.n_ffts == (2048, 1024, 512, 256, 128, 64, 32)
    assert losses.discriminator.config.hop_lengths == (512, 256, 128, 64, 32, 16, 8)
    assert losses.discriminator.weights == DiscriminatorWeights(
        adversarial=0.1, feature_matching=5.0
    )
    assert losses.spectral.config.perceptual_weighting
    assert losses.spectral.weights.mrstft == 1.0
    assert losses.time.weights == loss.TimeWeights(l1=0.0)


def test_usual_optimizers_are_those_of_sat():
    made = blocks.AutoencoderTraining(learning_rate=2e-4).optimizers
    assert made.autoencoder == made.discriminator
    assert made.autoencoder.optimizer.config.betas == (0.8, 0.99)
    assert made.autoencoder.optimizer.config.lr == 2e-4
    made = blocks.LMTraining(learning_rate=1e-4).optimizers
    assert made.lm.optimizer.config.betas == (0.9, 0.95)
    assert made.lm.optimizer.config.weight_decay == 0.1
    made = blocks.DiffusionCondTraining(learning_rate=1e-4).optimizers
    assert type(made.diffusion.optimizer).__struct_config__.tag == "Adam"
    assert made.diffusion.scheduler is None


@pytest.mark.parametrize("model_type", ["autoencoder", "diffusion_cond", "lm"])
@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_chosen_optimizers_win(model_type):
    block = sat_config.decode(FULL[model_type], type=BLOCKS[model_type])
    assert block.optimizers is block.optimizer_configs
    with pytest.raises(ValueError, match="learning_rate"):
        _ = BLOCKS[model_type]().optimizers


# ------------------------------------------------------------------------------------------- rules

CURVE = {"type": "OneCycleLR", "config": {"max_lr": 1e-3, "epochs": 2, "steps_per_epoch": 50}}
ENCODEC = {"type": "encodec", "config": {"filters": 8}, **WEIGHTS}
DAC = {"type": "dac", "config": {}, **WEIGHTS}
VGAN = {"type": "big_vgan", "config": {}, **WEIGHTS}
TEACHER = {"teacher_model": AUTOENCODER, "teacher_model_ckpt": "/weights/teacher.ckpt"}
RATE = {"learning_rate": 1e-4}
CHOSEN = {"optimizer_configs": {"autoencoder": group()}}

BROKEN_ALONE = [
    ("SAT-E043", loss.SpectralConfig, FFT, {"hop_sizes": [16]}),
    ("SAT-E043", loss.SpectralConfig, FFT, {"win_lengths": [64, 33]}),
    ("SAT-E045", DiscriminatorNode, ENCODEC, {"config__hop_lengths": [1]}),
    ("SAT-E045", DiscriminatorNode, ENCODEC, {"config__filters_scale": 2}),
    ("SAT-E045", DiscriminatorNode, ENCODEC, {"config__max_filters": 4}),
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
    ("SAT-E217", DiscriminatorNode, DAC, {"config__rates": [2]}),
    ("SAT-E217", DiscriminatorNode, DAC, {"config__bands": [[0.5, 0.1]]}),
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
        {**RATE, "arc": {"discriminator": least("arc.discriminator", "conv")}},
        {"timestep_sampler": "log_snr"},
    ),
    ("SAT-E224", loss.EvalSTFT, {}, {"perceptual_weighting": True}),
    ("SAT-E224", loss.EvalSTFT, {"sample_rate": 44100}, {"scale": "mel"}),
    ("SAT-E224", loss.EvalSTFT, {}, {"n_bins": 2000}),
    ("SAT-E226", loss.EvalMel, {}, {"fft_size": 512}),
    ("SAT-E226", loss.EvalSTFT, {}, {"win_length": 2048}),
    ("SAT-E228", DiscriminatorNode, VGAN, {"config__cqtd_n_octaves": [9]}),
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


# -------------------------------------------------------------------------------- inert keys


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (blocks.DiffusionCondTraining, {**RATE, "use_reconstruction_loss": True}),
        (blocks.DiffusionCondTraining, {**RATE, "loss_configs": {"diffusion": {}}}),
        (loss.EvalSTFT, {"device": "cpu"}),
        (demo.StemsDisplayNode, {"type": "audio_dict", "id": "a", "config": {"display_mix": True}}),
    ],
)
def test_key_without_effect_is_a_warning(kind, table):
    with pytest.warns(sat_config.ConfigWarning, match="has no effect"):
        sat_config.decode(table, type=kind)


# ----------------------------------------------------------------------------- files of the public


def _corpus_blocks() -> Iterator[tuple[str, type, dict]]:
    for entry in json.loads((SHARED / "corpus/index.json").read_text()):
        if entry["kind"] != "model" or entry["status"] != "upstream":
            continue
        document = json.loads((SHARED / "corpus" / entry["file"]).read_text())
        if document.get("training") is not None:
            yield entry["file"], BLOCKS[document["model_type"]], document["training"]


@needs_shared
def test_blocks_of_public_files_decode():
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sat_config.ConfigWarning)
        for where, kind, block in _corpus_blocks():
            try:
                sat_config.decode(block, type=kind)
            except sat_config.ConfigError as error:
                pytest.fail(f"{where}: {error}")
            count += 1
    assert count > 60


STRUCTS = {
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
    "demo.autoencoder": demo.AutoencoderDemo,
    "demo.diffusion_uncond": demo.DiffusionUncondDemo,
    "demo.diffusion_cond": demo.DiffusionCondDemo,
    "demo.diffusion_cond_inpaint": demo.InpaintDemo,
    "demo.diffusion_autoencoder": demo.DiffusionAutoencoderDemo,
    "demo.lm": demo.LMDemo,
    **{f"training.{name}": block for name, block in BLOCKS.items()},
}
NOT_TAKEN = {
    "config.scale_fn",  # a function
    "config.weight",  # hubert: SAT fails when it is given
    "config.(rejected)",
    "(fixed)",
    "config.**",
    "mask_kwargs.**",
    "**",
}
OTHERWISE = {
    ("training.autoencoder", "warmup_mode"): "adv",  # what SAT fixes
    ("training.autoencoder", "clip_grad_norm"): 0.0,
    ("training.autoencoder", "loss_configs"): "SAT's own set",
    ("loss_configs", "bottleneck"): "its own default",
    ("loss_configs.time", "weights.l1"): 0.0,  # null and 0 are one
    ("loss_configs.time", "weights.l2"): 0.0,
    ("demo.diffusion_cond", "demo_cond"): [],  # SAT's {} fails
    ("demo.diffusion_cond", "cond_display_configs"): [],
    **{(f"training.diffusion_{kind}", "demo"): None for kind in ("cond", "cond_inpaint")},
    ("arc.discriminator", "type"): "a tag",
}


def _struct_of(row: dict) -> type[msgspec.Struct] | None:
    family, tag = row["node"], row["type"]
    if family in FAMILIES:
        return members(family).get(tag) if tag else FAMILIES[family]
    return STRUCTS.get(f"{family}.{tag}") or STRUCTS.get(family)


def _field(cls: type[msgspec.Struct], param: str) -> schema.Field:
    *above, last = param.split(".")
    for key in above:
        cls = schema.fields(cls)[key].slot.structs[0]
    return schema.fields(cls)[last]


@needs_shared
def test_keys_and_defaults_are_those_of_the_reference():
    count = 0
    for row in json.loads((SHARED / "reference/config-reference.json").read_text()):
        cls, param = _struct_of(row), row["param"]
        if cls is None or not param or param in NOT_TAKEN or param == "type":
            continue
        if cls in FAMILIES.values() and param.startswith("config"):
            continue
        field = _field(cls, param)
        where = (
            f"{row['node']}.{row['type']}" if row["node"] in ("training", "demo") else row["node"],
            param,
        )
        if where not in OTHERWISE:
            assert field.required == row["required"], where
        if not field.required and not row["required"]:
            default = json.loads(msgspec.json.encode(field.default))
            wanted = OTHERWISE.get(where, row["default"])
            if isinstance(wanted, list) and None in wanted:
                assert default is None, where  # TOML has no null to put in a list
            elif isinstance(default, dict):
                assert wanted in ({}, None) or isinstance(wanted, str) or _same(default, wanted), (
                    where
                )
            elif default is not None or wanted not in ({}, False):
                assert default == wanted, where
        count += 1
    assert count > 300


def _same(default: dict, wanted: object) -> bool:
    return {key: value for key, value in default.items() if value is not None} == wanted


@needs_shared
def test_every_tag_of_the_reference_is_a_member_or_refused():
    for row in json.loads((SHARED / "reference/config-reference.json").read_text()):
        if row["node"] in FAMILIES and row["type"]:
            entry = registry.current().families[FAMILIES[row["node"]]]
            assert row["type"] in entry.members or row["type"] in entry.refused, row
