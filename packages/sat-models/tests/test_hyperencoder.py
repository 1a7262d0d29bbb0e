import copy

import pytest
import torch
from torch import nn

import sat_config
from sat_config.errors import UserError
from sat_models.build import build_model
from sat_models.layers import tiles
from sat_models.layers.feed_forward import TokenConv
from sat_models.layers.spectral_norm import SpectralNormConv1d
from sat_models.layers.weight_norm import same_length_conv
from sat_models.models.chunks import decode_in_chunks
from sat_models.models.hypernetwork import AdaptedLayer, Factors, Hypernetwork, layer_widths

SIZES = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
SEANET = {"n_filters": 2, "dimension": 3, "ratios": [4, 2], "lstm": 1}
LOCAL = {
    "embed_dims": [8, 8],
    "heads": [2, 2],
    "depths": [1, 1],
    "ratios": [4, 2],
    "local_attn_window_size": 3,
}
TAAE = {
    "channels": 8,
    "latent_dim": 3,
    "c_mults": [1, 2],
    "strides": [2, 4],
    "transformer_depths": [1, 1],
    "sliding_window": [3, 4],
    "checkpointing": False,
}
DECODERS = {
    "oobleck": {"type": "oobleck", "config": {**SIZES, "latent_dim": 3}},
    "oobleck-nearest": {
        "type": "oobleck",
        "config": {**SIZES, "latent_dim": 3, "use_nearest_upsample": True},
    },
    "seanet": {"type": "seanet", "config": {**SEANET, "channels": 2}},
    "seanet-spectral": {
        "type": "seanet",
        "config": {**SEANET, "channels": 2, "norm": "spectral_norm"},
    },
    "dac": {
        "type": "dac",
        "config": {"latent_dim": 3, "channels": 8, "rates": [4, 2], "out_channels": 2},
    },
    "local_attn": {
        "type": "local_attn",
        "config": {"in_channels": 3, "out_channels": 2, **LOCAL},
    },
    "taae": {"type": "taae", "config": {"out_channels": 2, **TAAE}},
}
every_decoder = pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS.keys())


def build(decoder=DECODERS["oobleck"], *, bottleneck=None, **hypernetwork):
    bottleneck = bottleneck or {"type": "vae"}
    twice = 2 if bottleneck["type"] == "vae" else 1
    model = {
        "encoder": {
            "type": "oobleck",
            "config": {**SIZES, "in_channels": 2, "latent_dim": 3 * twice},
        },
        "decoder": decoder,
        "bottleneck": bottleneck,
        "latent_dim": 3,
        "downsampling_ratio": 8,
        "io_channels": 2,
        "hypernetwork": {"summary_dim": 8, "hidden_sizes": [8], "init_scale": 0.5, **hypernetwork},
    }
    root = {"model_type": "hyperencoder", "sample_rate": 8000, "sample_size": 64}
    return build_model(sat_config.decode({**root, "model": model})).eval()


def latents(batch=2, frames=12):
    return torch.randn(batch, 3, frames)


@every_decoder
@pytest.mark.parametrize("layers", ["upsampling", "all"])
def test_swapping_the_weights_of_two_clips_changes_both(decoder, layers):
    model, z = build(decoder, layers=layers), latents()
    adaptation = model.adapt(z)
    swapped = tuple(Factors(u=f.u.flip(0), v=f.v.flip(0)) for f in adaptation)
    own, other = (model.decode_with(weights, z) for weights in (adaptation, swapped))
    torch.testing.assert_close(own, model.decode(z))
    assert ((own - other).abs().amax(dim=(1, 2)) > 1e-6).all()


@every_decoder
def test_one_upsampling_layer_per_stage_adapts(decoder):
    assert len(build(decoder).adapt(latents())) == 2


@every_decoder
def test_items_do_not_depend_on_the_rest_of_the_batch(decoder):
    model, z = build(decoder, layers="all"), latents()
    together = model.decode(z)
    alone = torch.cat([model.decode(item) for item in z.split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@every_decoder
def test_without_changes_it_is_the_plain_autoencoder(decoder):
    model, z = build(decoder, layers="all", init_scale=0.0), latents()
    torch.testing.assert_close(model.decode(z), model.decoder(z))


def layer_examples():
    return {
        "linear": (nn.Linear(3, 5), lambda w: w.weight),
        "conv": (nn.Conv1d(3, 5, 3), lambda w: w.weight),
        "transposed": (nn.ConvTranspose1d(3, 5, 4, stride=2), lambda w: w.weight),
        "token": (TokenConv(3, 5, kernel_size=3, bias=False), lambda w: w.weight),
        "normalised": (
            same_length_conv(3, 5, kernel_size=3, dilation=1, bias=True),
            lambda w: w.kernel(),
        ),
        "spectral": (
            SpectralNormConv1d(3, 5, kernel_size=3, stride=1, dilation=1).eval(),
            lambda w: w.kernel(),
        ),
    }


@pytest.mark.parametrize("name", list(layer_examples()))
def test_change_is_that_of_the_weight_itself(name):
    layer, weight_of = layer_examples()[name]
    last = isinstance(layer, nn.Linear | TokenConv)
    x = torch.randn(2, 7, 3) if last else torch.randn(2, 3, 7)
    assert layer_widths(layer) == (3, 5)
    factors = Factors(u=torch.randn(2, 4, 5), v=torch.randn(2, 4, 3))
    adapted = AdaptedLayer(layer)
    plain = layer(x)
    adapted.factors = factors
    found = layer(x)
    adapted.factors = None
    torch.testing.assert_close(layer(x), plain)
    for item in range(2):
        scale = 1 + torch.einsum("ro,ri->oi", factors.u[item], factors.v[item])
        scale = scale.T if name == "transposed" else scale
        weight = weight_of(layer).detach()
        changed = weight * scale.reshape(*scale.shape, *(1,) * (weight.ndim - 2))
        own = copy.deepcopy(layer)
        if name in ("normalised", "spectral"):
            own = nn.Conv1d(3, 5, 3, padding=1 if name == "normalised" else 0)
            own.bias.data = layer.bias.data
        own.weight.data = changed
        torch.testing.assert_close(found[item], own(x[item : item + 1])[0], rtol=1e-4, atol=1e-5)


def test_changes_start_as_large_as_init_scale():
    network = Hypernetwork(
        6,
        layer_widths=[(400, 500)],
        attend=False,
        summary_dim=32,
        embedding_dim=8,
        hidden_sizes=(64,),
        rank=4,
        init_scale=0.01,
    )
    with torch.no_grad():
        (factors,) = network(torch.randn(64, 6, 10))
    change = torch.einsum("bro,bri->boi", factors.u, factors.v)
    assert change.std() == pytest.approx(0.01, rel=0.2)
    assert factors.v.std() == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("summary", ["mean", "attention"])
def test_gradients_reach_every_weight(summary):
    model = build(summary=summary, hidden_sizes=[]).train()
    result = model(torch.randn(2, 2, 64))
    (result.audio.square().sum() + result.losses["kl"]).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.abs().sum() > 0 for p in model.hypernetwork.to_u.parameters())


def test_chunks_are_decoded_with_the_weights_of_the_whole():
    model, z = build(), latents(frames=100)
    chunked = decode_in_chunks(model, z, chunk=50, overlap=44)
    torch.testing.assert_close(chunked, model.decode(z), rtol=1e-4, atol=1e-5)


def test_pieces_that_stay_in_the_cache_see_the_weights_of_their_items(monkeypatch):
    model, z = build(layers="all"), latents(frames=200)
    whole = model.decode(z).detach()
    monkeypatch.setattr(tiles, "PIECE_BYTES", 1)
    monkeypatch.setattr(tiles, "MARGINS_PER_PIECE", 1)
    with torch.no_grad():
        pieces = model.decode(z)
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5)


def test_codes_decode_with_the_weights_of_their_latents():
    fsq = {"type": "fsq", "config": {"levels": [5, 4, 3], "keep_num_codebooks_dim": True}}
    model = build(bottleneck=fsq)
    audio = torch.randn(2, 2, 96)
    decoded = model.decode(model.encode(audio).latents)
    torch.testing.assert_close(model.decode_tokens(model.encode_tokens(audio)), decoded)


def test_copy_adapts_by_itself():
    model, z = build(), latents()
    other = copy.deepcopy(model)
    for parameter in other.hypernetwork.to_u.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(other.decode(z), other.decoder(z))
    assert not torch.equal(model.decode(z), other.decode(z))


def test_state_dict_round_trip_gives_the_same_audio():
    model, other, z = build(), build(), latents()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(model.decode(z), other.decode(z))


def test_layers_are_chosen_by_pattern():
    model = build(layers=["layers.1.*", "layers.0"])
    assert len(model.adapt(latents())) == 8


def test_pattern_that_fits_nothing_is_refused_with_the_names():
    with pytest.raises(UserError, match=r"'layer\.1' fits no layer of the decoder; it has layers"):
        build(layers=["layer.1"])


def test_recomputation_is_refused():
    taae = {"type": "taae", "config": {"out_channels": 2, **TAAE, "checkpointing": True}}
    with pytest.raises(UserError, match="checkpointing to false"):
        build(taae)


@pytest.mark.compiled
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own
def test_decoding_compiles_as_one_graph():
    torch.compiler.reset()
    model, z = build(), latents()
    decode = torch.compile(model.decode, fullgraph=True, backend="eager")
    torch.testing.assert_close(decode(z), model.decode(z))
