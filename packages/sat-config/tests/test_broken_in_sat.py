"""What stable-audio-tools knows and cannot do: the page about it says what a document may have."""

import pathlib
import re

import pytest

from sat_config import loading, registry
from sat_config.audio import arc, inpainting, lm, loss, preencode
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.conditioner import ConditionerNode
from sat_config.audio.dataset import DatasetNode
from sat_config.audio.decoder import DecoderNode
from sat_config.audio.demo import CondDisplayNode
from sat_config.audio.diffusion import DiffusionBackboneNode, DiffusionUncondNode
from sat_config.audio.discriminator import DiscriminatorNode
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.pretransform import PretransformNode
from sat_config.run import Experiment

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "reference" / "broken-in-sat.md"

WEIGHTS = {"adversarial": 0.1, "feature_matching": 5.0}
SIZES = {"filters": 8, "n_ffts": [64], "hop_lengths": [16], "win_lengths": [64]}
SPECTRUM = {"fft_sizes": [64], "hop_sizes": [16], "win_lengths": [64]}
LOCAL = {"in_channels": 2, "out_channels": 4, "embed_dims": [64], "heads": [1], "depths": [2],
         "ratios": [2]}  # fmt: skip
CODES = {"dim": 4, "num_quantizers": 2, "codebook_size": 16}
DAC_CODES = {"input_dim": 4, "n_codebooks": 2, "codebook_size": 16, "codebook_dim": 4}
DIT = {"io_channels": 2, "embed_dim": 64, "depth": 2, "num_heads": 2}
ADP = {"in_channels": 2, "channels": 32, "multipliers": [1, 1], "factors": [2], "num_blocks": [1],
       "attentions": [0]}  # fmt: skip
SOURCE = {"use_model_pretransform": True, "output_dim": 8, "sample_rate": 44100}
MIXED = {**SOURCE, "source_keys": ["drums"]}
CONDITION = {"id": "a"}


def node(type, **config):
    return {"type": type, "config": config}


def conditional(**changes):
    """A conditional model with a pretransform of 8 channels."""
    model = {
        "io_channels": 8,
        "diffusion": {"type": "dit", "config": {**DIT, "io_channels": 8}},
        "conditioning": {"cond_dim": 8, "configs": []},
        "pretransform": node("patched", patch_size=4, channels=2),
    }
    root = {"model_type": "diffusion_cond", "sample_rate": 44100, "sample_size": 4096}
    return {**root, "model": {**model, **changes}, "training": {"learning_rate": 1e-4}}


def with_conditioner(type, **config):
    entry = {**node(type, **config), **CONDITION}
    return conditional(conditioning={"cond_dim": 8, "configs": [entry]})


def with_unet(**changes):
    table = conditional(diffusion={"type": "adp_1d", "config": {**ADP, "in_channels": 8}})
    return {**table, "training": {"learning_rate": 1e-4, **changes}}


def with_masks():
    ids = ["inpaint_mask", "inpaint_masked_input"]
    config = {**DIT, "io_channels": 8, "input_concat_dim": 9}
    diffusion = {"type": "dit", "config": config, "input_concat_ids": ids}
    data = {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": "/a"}]}
    table = conditional(diffusion=diffusion)
    masks = {"mask_kwargs": {}}
    blocks = {"learning_rate": 1e-4, "inpainting": masks}
    return {**table, "model_type": "diffusion_cond_inpaint", "training": blocks,
            "dataset": data, "val_dataset": data}  # fmt: skip


def odd_strides():
    config = {"channels": 8, "c_mults": [1], "strides": [3], "latent_dim": 4}
    return {
        "model_type": "autoencoder",
        "sample_rate": 44100,
        "sample_size": 48,
        "model": {
            "latent_dim": 4,
            "downsampling_ratio": 3,
            "io_channels": 2,
            "encoder": node("oobleck", in_channels=2, **config),
            "decoder": node("oobleck", out_channels=2, **config),
        },
    }


def member_of(head, tag):
    return lambda: set() if tag in registry.current().families[head].members else {"no member"}


def tried(tree, head=AudioExperiment):
    def found():
        report = loading._check_mapping(tree, "<t>", head, may_run=True)
        return {problem.code for problem in report.problems}

    return found


TAAE = {"out_channels": 2, "channels": 128, "c_mults": [1, 2], "strides": [2, 2],
        "transformer_depths": [1, 1], "latent_dim": 8, "use_snake": True}  # fmt: skip
HEAD = {"type": "conv", "dit_hidden_layer": 1, "weights": {}}

ROWS = {
    "model type `hyperencoder`": (member_of(AudioExperiment, "hyperencoder"), set()),
    "model type `lm`": (member_of(AudioExperiment, "lm"), set()),
    "model type `diffusion_autoencoder` with a decoder": (
        member_of(AudioExperiment, "diffusion_autoencoder"), set()),
    "model type `diffusion_uncond`": (member_of(AudioExperiment, "diffusion_uncond"), set()),
    "encoder `local_attn`": (tried(node("local_attn", **LOCAL), EncoderNode), set()),
    "decoder `taae` with snake across widths": (
        tried(node("taae", **TAAE), DecoderNode), {"SAT-W010"}),
    "odd strides": (
        tried(odd_strides()), {"SAT-W008"}),
    "bottleneck `softnorm`": (member_of(BottleneckNode, "softnorm"), set()),
    "bottleneck `fsq` with one codebook": (
        tried(node("fsq", levels=[5, 5]), BottleneckNode), {"SAT-W013"}),
    "bottlenecks `rvq`, `rvq_vae`: tokens to latents": (
        tried(node("rvq", **CODES), BottleneckNode), set()),
    "bottleneck `dithered_fsq`: tokens to latents": (
        tried(node("dithered_fsq", dim=4, levels=5), BottleneckNode), set()),
    "`dac_rvq` with `quantize_on_decode`": (
        tried(node("dac_rvq", **DAC_CODES, quantize_on_decode=True), BottleneckNode), set()),
    "pretransform `pqmf`": (member_of(PretransformNode, "pqmf"), set()),
    "pretransform `dac_pretrained` for language models": (
        member_of(PretransformNode, "dac_pretrained"), set()),
    "pretransform `audiocraft_pretrained`, `scale`": (
        tried(node("audiocraft_pretrained", scale=2.0), PretransformNode), {"inert-key"}),
    "conditioner `clap_audio`": (member_of(ConditionerNode, "clap_audio"), set()),
    "conditioner `int` from another number than 0": (
        tried({**node("int", min_val=3, max_val=9), **CONDITION}, ConditionerNode), {"SAT-W035"}),
    "conditioner `pretransform` of another width": (
        tried(with_conditioner("pretransform", **{**SOURCE, "output_dim": 16})),
        {"SAT-W032"}),
    "conditioner `source_mix` of the same width": (
        tried(with_conditioner("source_mix", **MIXED)), {"SAT-W032"}),
    "network `DAU1d` without conditions": (member_of(DiffusionUncondNode, "DAU1d"), set()),
    "network `DAU1d` with conditions": (
        tried(node("DAU1d"), DiffusionBackboneNode), {"bad-tag"}),
    "`dit` with `timestep_cond_type` `input_concat`": (
        tried(node("dit", **DIT, timestep_cond_type="input_concat"), DiffusionBackboneNode),
        {"SAT-E129"}),
    "`adp` with `use_stft`": (
        tried(node("adp_1d", **ADP, use_stft=True), DiffusionBackboneNode), {"SAT-E123"}),
    "discriminator `encodec`, loss `rpgan`": (
        tried({**node("encodec", **SIZES, loss_type="rpgan"), "weights": WEIGHTS},
              DiscriminatorNode), set()),
    "discriminator `encodec`, `filters_scale` above 1": (
        tried({**node("encodec", **SIZES, filters_scale=2), "weights": WEIGHTS},
              DiscriminatorNode), {"SAT-W045"}),
    "discriminator `dac`, `rates`": (
        tried({**node("dac", rates=[2]), "weights": WEIGHTS}, DiscriminatorNode), {"SAT-W217"}),
    "discriminator `big_vgan`": (
        tried({**node("big_vgan"), "weights": WEIGHTS}, DiscriminatorNode), {"bad-tag"}),
    "measure `pesq`": (tried({"pesq": {}}, loss.AutoencoderEvals), set()),
    "spectral loss with scale `chroma`": (
        tried({**SPECTRUM, "scale": "chroma", "n_bins": [12]}, loss.SpectralConfig),
        {"bad-value"}),
    "`mask_padding` with a U-Net": (tried(with_unet(mask_padding=True)), {"SAT-E040"}),
    "inpainting with a validation set": (tried(with_masks()), set()),
    "`arc` with masks of an `audio_dir`": (
        tried({"mask_kwargs": {}}, inpainting.Inpainting), set()),
    "run key `recover`": (tried({"recover": True}, Experiment), set()),
    "run key `project`": (tried({"project": "a"}, Experiment), set()),
    "run key `save_top_k`": (tried({"save_top_k": 3}, Experiment), set()),
    "run key `name`": (tried({"name": "a"}, Experiment), set()),
    "pre-encoding key `limit_batches`": (
        tried({"output_path": "a", "limit_batches": 3}, preencode.Preencode), set()),
    "pre-encoding from `wds`": (member_of(DatasetNode, "wds"), set()),
    "`dithered_fsq.dither_inference`": (
        tried(node("dithered_fsq", dim=4, levels=5, dither_inference=False), BottleneckNode),
        {"inert-key"}),
    "`dac_pretrained.chunked`": (
        tried(node("dac_pretrained", model_type="44khz", chunked=False), PretransformNode),
        {"inert-key"}),
    "`phoneme.max_length`": (
        tried({**node("phoneme", max_length=9), **CONDITION}, ConditionerNode), {"inert-key"}),
    "`arc.sampling`": (tried({"discriminator": HEAD, "sampling": {"a": 1}}, arc.ARC),
                       {"inert-key"}),
    "`arc.discriminator.loss_type`": (
        tried({**HEAD, "config": {"loss_type": "hinge"}}, arc.ARCHeadNode), {"inert-key"}),
    "`lm.global_cond_ids`": (
        tried({**node("continuous_transformer", embed_dim=64, depth=1),
               "global_cond_ids": ["a"]}, lm.LMBackboneNode), {"inert-key"}),
    "demo display `display_mix` of an `audio_dict`": (
        tried({**node("audio_dict", display_mix=True), **CONDITION}, CondDisplayNode),
        {"inert-key"}),
}  # fmt: skip


def rows():
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^\| (.+?) \| .+ \| (accepted|refused|idle)\b.* \|$", text, re.MULTILINE)
    return dict(found)


def test_page_and_tests_name_the_same_settings():
    assert list(rows()) == list(ROWS)


@pytest.mark.parametrize("setting", ROWS)
def test_setting_is_what_the_page_says(setting):
    try_it, expected = ROWS[setting]
    assert try_it() == expected
