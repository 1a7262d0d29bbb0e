"""What autoencoders, their parts and pretransforms know of themselves."""

import pytest
from audio_forms import codes, form, oobleck, read

import sat_config
from sat_config import convert, schema
from sat_config.audio import autoencoder, diffusion_autoencoder
from sat_config.audio.autoencoder import HyperencoderConfig
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.decoder import DecoderNode
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.pretransform import PretransformNode

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
DAC_RVQ = {
    "n_codebooks": 2,
    "codebook_size": 16,
    "input_dim": 6,
    "codebook_dim": [3, 4],
    "quantizer_dropout": 0.5,
    "quantize_on_decode": True,
}


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
        ({"type": "audiocraft_pretrained", "config": {}}, 640, 128, 1, (4, 2048)),
        (
            {"type": "audiocraft_pretrained", "config": {"model_type": "a/b"}},
            None,
            None,
            None,
            (None, None),
        ),
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


@pytest.mark.parametrize(
    ("tag", "model_type", "rate"),
    [
        ("dac_pretrained", "44khz", 44_100),
        ("dac_pretrained", "16khz", 16_000),
        ("audiocraft_pretrained", "facebook/encodec_24khz", 24_000),
        ("audiocraft_pretrained", "a/b", None),
    ],
)
def test_published_codec_knows_its_rate(tag, model_type, rate):
    node = {"type": tag, "config": {"model_type": model_type}}
    assert read(node, PretransformNode).sample_rate == rate
    assert read(form("pretransform", "patched"), PretransformNode).sample_rate is None


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
