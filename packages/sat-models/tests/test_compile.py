"""Encoders and decoders are one graph for torch.compile, except LSTMs, which torch cannot trace.

Machine code of such graphs takes a minute to make: `benchmarks/autoencoders.py compiled` does it.
"""

import msgspec
import pytest
import torch

from sat_config.audio.decoder import DecoderNode
from sat_config.audio.encoder import EncoderNode
from sat_config.registry import current
from sat_models.decoders.base import build_decoder
from sat_models.encoders.base import build_encoder

TAAE = {
    "channels": 8,
    "latent_dim": 6,
    "c_mults": [1],
    "strides": [2],
    "transformer_depths": [1],
    "sliding_window": [3, 4],
    "conformer": True,
    "use_snake": True,
    "checkpointing": True,
}
LOCAL = {
    "embed_dims": [8],
    "heads": [2],
    "depths": [1],
    "ratios": [2],
    "local_attn_window_size": 3,
}
SIZES = {"channels": 4, "latent_dim": 6, "c_mults": [1], "strides": [2]}
SNAKE = {"use_snake": True, "antialias_activation": True}
SEANET = {"n_filters": 2, "dimension": 6, "ratios": [2], "lstm": 0}

ENCODERS = {
    "oobleck": {**SIZES, **SNAKE},
    "seanet": SEANET,
    "dac": {"d_model": 4, "strides": [2]},
    "local_attn": {"in_channels": 2, "out_channels": 6, **LOCAL},
    "taae": TAAE,
}
DECODERS = {
    "oobleck": {**SIZES, **SNAKE},
    "seanet": SEANET,
    "dac": {"latent_dim": 6, "channels": 8, "rates": [2]},
    "local_attn": {"in_channels": 6, "out_channels": 2, **LOCAL},
    "taae": TAAE,
}
CASES = [
    pytest.param(base, build, tag, config, id=f"{base.__name__}-{tag}")
    for base, build, configs in (
        (EncoderNode, build_encoder, ENCODERS),
        (DecoderNode, build_decoder, DECODERS),
    )
    for tag, config in configs.items()
]


@pytest.mark.compiled
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own
@pytest.mark.parametrize(("base", "build", "tag", "config"), CASES)
def test_whole_graph_compiles_and_gives_the_same(base, build, tag, config):
    torch.compiler.reset()
    member = current().families[base].members[tag]
    module = build(msgspec.convert({"type": tag, "config": config}, member))
    channels = module.in_channels if base is EncoderNode else module.latent_dim
    x = torch.randn(1, channels, 24)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    y = compiled(x)
    torch.testing.assert_close(y, module(x))
    y.sum().backward()
