"""Published codecs, with small weights made here in the form that published files have."""

import math

import msgspec
import pytest
import torch

from sat_config.audio.pretransform import (
    AudiocraftPretrainedNode,
    DACPretrainedNode,
    PretransformNode,
)
from sat_config.registry import current
from sat_models.checkpoint import load_weights, open_checkpoint
from sat_models.errors import CheckpointError, MissingBuilderError
from sat_models.pretransforms.audiocraft_pretrained import AudiocraftPretransform
from sat_models.pretransforms.base import build_pretransform
from sat_models.pretransforms.dac_pretrained import (
    DACPretrainedPretransform,
    DACSizes,
    published_sizes,
)
from sat_models.pretransforms.encodec import EncodecSizes

AUDIO = torch.randn(2, 1, 48, generator=torch.Generator().manual_seed(1))


def dac():
    sizes = DACSizes(
        sample_rate=8000,
        width=4,
        strides=(2, 4),
        latent_dim=8,
        decoder_width=16,
        num_codebooks=2,
        codebook_size=12,
        codebook_dim=4,
    )
    return DACPretrainedPretransform(
        sizes, name="a codec", scale=1.0, quantize_on_decode=True, enable_grad=False
    )


def encodec():
    sizes = EncodecSizes(
        sample_rate=8000,
        channels=1,
        width=4,
        strides=(2, 4),
        latent_dim=8,
        num_codebooks=2,
        codebook_size=12,
        lstm_layers=1,
        causal=False,
        true_skip=True,
    )
    return AudiocraftPretransform(sizes, name="a codec", enable_grad=False)


CODECS = pytest.mark.parametrize(
    ("make", "prefix"), [(dac, "model."), (encodec, "model.model.")], ids=["dac", "encodec"]
)


def publish(pretransform, prefix, path):
    """A file as its authors publish it: without what SAT puts before the names."""
    state = {k.removeprefix(prefix): v for k, v in pretransform.state_dict().items()}
    torch.save({"state_dict": state, "metadata": {"kwargs": {"sample_rate": 8000}}}, path)


@CODECS
def test_codec_without_weights_refuses_to_work(make, prefix):
    codec = make()
    with pytest.raises(CheckpointError, match="weights of a codec have not been loaded"):
        codec.encode(AUDIO)
    with pytest.raises(CheckpointError, match="nothing is downloaded"):
        codec.decode_tokens(torch.zeros(1, 2, 3, dtype=torch.long))


@CODECS
def test_published_file_fills_the_codec(make, prefix, tmp_path):
    source, codec = make(), make()
    publish(source, prefix, tmp_path / "weights.pth")
    report = load_weights(codec, open_checkpoint(tmp_path / "weights.pth"))
    assert report.complete
    source.load_state_dict(source.state_dict())
    torch.testing.assert_close(codec.encode(AUDIO), source.encode(AUDIO))


@CODECS
def test_codec_inside_a_model_is_filled_with_the_model(make, prefix, tmp_path):
    model, other = (torch.nn.ModuleDict({"pretransform": make()}) for _ in range(2))
    torch.save(model.state_dict(), tmp_path / "model.ckpt")
    load_weights(other, open_checkpoint(tmp_path / "model.ckpt"))
    assert other["pretransform"].encode(AUDIO).isfinite().all()


@CODECS
def test_first_codes_alone_decode(make, prefix):
    codec = make()
    codec.load_state_dict(codec.state_dict())
    tokens = codec.encode_tokens(AUDIO)
    assert codec.decode_tokens(tokens[:, :1]).shape == AUDIO.shape


def test_encodec_names_are_those_of_the_hub():
    names = set(encodec().state_dict())
    assert {
        "model.model.encoder.layers.0.conv.weight_g",
        "model.model.encoder.layers.1.block.3.conv.bias",
        "model.model.encoder.layers.7.lstm.weight_ih_l0",
        "model.model.decoder.layers.3.conv.weight_v",
        "model.model.quantizer.layers.1.codebook.embed_avg",
    } <= names


@pytest.mark.parametrize(
    ("config", "strides", "latent_dim", "codebooks"),
    [
        ({}, (2, 4, 8, 8), 1024, 9),
        ({"model_bitrate": "16kbps"}, (2, 4, 8, 8), 128, 18),
        ({"model_type": "24khz"}, (2, 4, 5, 8), 1024, 32),
        ({"model_type": "16khz"}, (2, 4, 5, 8), 1024, 12),
    ],
)
def test_published_dac_sizes(config, strides, latent_dim, codebooks):
    node = msgspec.convert({"type": "dac_pretrained", "config": config}, DACPretrainedNode)
    sizes = published_sizes(node)
    assert (sizes.strides, sizes.latent_dim, sizes.num_codebooks) == (
        strides,
        latent_dim,
        codebooks,
    )
    assert math.prod(sizes.strides) == node.hop_length


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        {"type": "dac_pretrained", "config": {}},
        {"type": "dac_pretrained", "config": {"model_type": "16khz"}},
        {"type": "audiocraft_pretrained", "config": {"model_type": "facebook/encodec_32khz"}},
        {"type": "audiocraft_pretrained", "config": {"model_type": "facebook/encodec_24khz"}},
    ],
)
def test_published_codecs_are_built_in_full_size(config):
    members = current().families[PretransformNode].members
    node = msgspec.convert(config, members[config["type"]])
    with torch.device("meta"):
        codec = build_pretransform(node, sample_rate=44_100)
    for fact in ("hop_length", "latent_dim", "sample_rate", "num_quantizers", "codebook_size"):
        assert getattr(codec, fact) == getattr(node, fact), fact
    assert sum(p.numel() for p in codec.parameters()) > 10_000_000


def test_unknown_encodec_is_refused_with_those_that_are_known():
    config = {"type": "audiocraft_pretrained", "config": {"model_type": "dac_44khz"}}
    node = msgspec.convert(config, AudiocraftPretrainedNode)
    with pytest.raises(MissingBuilderError, match=r"'dac_44khz'.*facebook/encodec_32khz.*dac_pre"):
        build_pretransform(node, sample_rate=44_100)
