"""Every encoder, decoder, bottleneck and pretransform learns: twenty steps on real clips."""

import copy
from pathlib import Path

import pytest
import torch

import sat_config
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.decoder import DecoderNode
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.pretransform import PretransformNode
from sat_config.registry import current
from sat_models import build_model
from sat_models.audio import read_audio

CLIPS = Path(__file__).parents[3] / "examples" / "audio"
RATE, SAMPLES, STEPS = 8000, 1024, 20

OOBLECK = {"channels": 8, "c_mults": [1, 2], "strides": [2, 2], "latent_dim": 8}
SEANET = {"channels": 1, "n_filters": 4, "ratios": [2, 2], "lstm": 1, "dimension": 8}
LOCAL = {"embed_dims": [16], "heads": [2], "depths": [1], "ratios": [4]}
TAAE = {
    "channels": 16,
    "latent_dim": 8,
    "c_mults": [1],
    "strides": [4],
    "transformer_depths": [1],
    "sliding_window": [7, 8],
}
CODERS = {
    "oobleck": (
        {"type": "oobleck", "config": {**OOBLECK, "in_channels": 1}},
        {"type": "oobleck", "config": {**OOBLECK, "out_channels": 1, "final_tanh": False}},
    ),
    "seanet": ({"type": "seanet", "config": SEANET}, {"type": "seanet", "config": SEANET}),
    "dac": (
        {"type": "dac", "config": {"d_model": 8, "strides": [4], "latent_dim": 8}},
        {"type": "dac", "config": {"latent_dim": 8, "channels": 16, "rates": [4]}},
    ),
    "local_attn": (
        {"type": "local_attn", "config": {**LOCAL, "in_channels": 1, "out_channels": 8}},
        {"type": "local_attn", "config": {**LOCAL, "in_channels": 8, "out_channels": 1}},
    ),
    "taae": (
        {"type": "taae", "config": {**TAAE, "in_channels": 1}},
        {"type": "taae", "config": {**TAAE, "out_channels": 1}},
    ),
}


RATES = {
    "oobleck": 2e-2,
    "autoencoder": 5e-3,
    "seanet": 2e-2,
    "dac": 3e-3,
    "local_attn": 1e-2,
    "taae": 1e-2,
}
"""Learning rates that suit them."""

RVQ = {"dim": 8, "codebook_size": 32, "num_quantizers": 2, "kmeans_iters": 2}
DAC_RVQ = {"input_dim": 8, "n_codebooks": 2, "codebook_size": 32, "codebook_dim": 4}
BOTTLENECKS = {
    "tanh": {"scale": 3.0},
    "vae": {},
    "rvq": RVQ,
    "dac_rvq": DAC_RVQ,
    "rvq_vae": RVQ,
    "dac_rvq_vae": DAC_RVQ,
    "l2_norm": {},
    "wasserstein": {},
    "fsq": {"levels": [8] * 8},
    "dithered_fsq": {"dim": 8, "levels": 9},
    "softnorm": {"dim": 8},
}
INNER = {
    "encoder": {"type": "oobleck", "config": {**OOBLECK, "in_channels": 1, "latent_dim": 4}},
    "decoder": {"type": "oobleck", "config": {**OOBLECK, "out_channels": 1, "latent_dim": 4}},
    "latent_dim": 4,
    "downsampling_ratio": 4,
    "io_channels": 1,
}
PRETRANSFORMS = {
    "autoencoder": {"type": "autoencoder", "config": INNER, "enable_grad": True},
    "wavelet": {
        "type": "wavelet",
        "config": {"channels": 1, "levels": 2, "wavelet": "bior2.2"},
    },
    "pqmf": {"type": "pqmf", "config": {"num_bands": 4, "channels": 1, "attenuation": 80}},
    "patched": {"type": "patched", "config": {"channels": 1, "patch_size": 4}},
}
PUBLISHED = {"dac_pretrained", "audiocraft_pretrained"}
"""Frozen codecs whose weights somebody else has learned."""


def example(kind, name):
    """A document with one part of interest, the others being plain."""
    if kind == "coder":
        encoder, decoder = CODERS[name]
        return document(encoder, decoder)
    encoder, decoder = copy.deepcopy(CODERS["taae"])
    if kind == "bottleneck":
        config = {"config": BOTTLENECKS[name]} if BOTTLENECKS[name] else {}
        node = {"type": name, **config}
        double = 2 if name in ("vae", "rvq_vae", "dac_rvq_vae") else 1
        encoder["config"]["latent_dim"] = 8 * double
        return document(encoder, decoder, bottleneck=node)
    for coder, channels in ((encoder, "in_channels"), (decoder, "out_channels")):
        coder["config"] |= {channels: 4, "strides": [1]}
    return document(encoder, decoder, pretransform=PRETRANSFORMS[name])


def document(encoder, decoder, bottleneck=None, pretransform=None):
    model = {
        "encoder": encoder,
        "decoder": decoder,
        "latent_dim": 8,
        "downsampling_ratio": 4,
        "io_channels": 1,
    }
    if bottleneck is not None:
        model["bottleneck"] = bottleneck
    if pretransform is not None:
        model["pretransform"] = pretransform
    return {
        "model_type": "autoencoder",
        "sample_rate": RATE,
        "sample_size": SAMPLES,
        "audio_channels": 1,
        "model": model,
    }


def clips(folder):
    files = sorted(path for path in (CLIPS / folder).iterdir() if path.suffix == ".flac")
    return torch.stack(
        [
            read_audio(path, start=RATE, num_samples=SAMPLES, sample_rate=RATE, channels=1)
            for path in files[:5]
        ]
    )


CASES = [
    *(("coder", name) for name in CODERS),
    *(("bottleneck", name) for name in BOTTLENECKS),
    *(("pretransform", name) for name in PRETRANSFORMS),
]


def error(model, audio):
    with torch.no_grad():
        return (model.eval()(audio).audio - audio).square().mean().item()


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda part: part)
def test_twenty_steps_beat_the_start_and_silence(kind, name):
    model = build_model(sat_config.decode(example(kind, name)))
    train, held = clips("train"), clips("heldout")
    start = error(model, held)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=RATES.get(name, 1e-2), betas=(0.8, 0.95))
    model.train()
    for _ in range(STEPS):
        result = model(train)
        loss = (result.audio - train).square().mean() + 1e-4 * sum(result.losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    end = error(model, held)
    assert end < start
    assert end < held.square().mean().item()


def test_every_type_is_there():
    families = current().families
    assert set(families[EncoderNode].members) == set(CODERS)
    assert set(families[DecoderNode].members) == set(CODERS)
    assert set(families[BottleneckNode].members) == set(BOTTLENECKS)
    assert set(families[PretransformNode].members) == set(PRETRANSFORMS) | PUBLISHED
