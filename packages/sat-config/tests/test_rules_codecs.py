"""Rules between the parts of autoencoders, of pretransforms, and of experiments with them."""

import types

import msgspec
import pytest
from audio_forms import codes, oobleck, read

from sat_config import convert, rules
from sat_config.audio import diffusion, diffusion_autoencoder
from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.decoder import DecoderNode
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.experiment import AudioExperiment, AutoencoderExperiment
from sat_config.audio.pretransform import PretransformNode

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
DAC_RVQ = {
    "n_codebooks": 2,
    "codebook_size": 16,
    "input_dim": 6,
    "codebook_dim": [3, 4],
    "quantizer_dropout": 0.5,
    "quantize_on_decode": True,
}


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
        "SAT-E112",
        BottleneckNode,
        node("rvq", {"reinmax": True}),
        node("rvq", {"reinmax": True, "straight_through": True}),
    ),
    (
        "SAT-W113",
        BottleneckNode,
        node("rvq", {"quantize_dropout_multiple_of": 2}),
        node("rvq", {"quantize_dropout_multiple_of": 2, "quantize_dropout": True}),
    ),
    (
        "SAT-W113",
        BottleneckNode,
        node("rvq", {"sample_codebook_temp": 0.5}),
        node("rvq", {"sample_codebook_temp": 0.5, "straight_through": True}),
    ),
    (
        "SAT-E114",
        PretransformNode,
        node("audiocraft_pretrained", {"model_type": "facebook/encodec_48khz"}),
        node("audiocraft_pretrained", {}),
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
    unknown = node("audiocraft_pretrained", {"model_type": "a/b"})
    assert codes(latent_experiment(unknown, sample_size=61)) == []


def test_published_codec_hears_its_own_rate_and_has_weights():
    first = node("dac_pretrained", {"model_type": "16khz"})
    keys = {"audio_channels": 1, "sample_size": 640}
    assert codes(latent_experiment(first, **keys)) == ["SAT-E115"]
    assert codes(latent_experiment(first, **keys, sample_rate=16_000)) == []
    trained = latent_experiment(first, **keys, sample_rate=16_000)
    trained = msgspec.structs.replace(trained, training=types.SimpleNamespace())
    assert codes(trained) == ["SAT-W117"]
    assert codes(msgspec.structs.replace(trained, pretransform_ckpt_path="/dac.pth")) == []


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
