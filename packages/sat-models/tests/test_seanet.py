import msgspec
import pytest
import torch
from torch import nn
from torch.nn.utils import spectral_norm

from sat_config.audio.decoder import SEANetDecoderNode
from sat_config.audio.encoder import SEANetEncoderNode
from sat_models.decoders.base import build_decoder
from sat_models.encoders.base import build_encoder
from sat_models.layers.spectral_norm import SpectralNormConv1d, SpectralNormConvTranspose1d

SIZES = {"n_filters": 2, "dimension": 3, "lstm": 0}


def encoder(**config):
    mapping = {"type": "seanet", "config": {**SIZES, "ratios": [2, 3], **config}}
    return build_encoder(msgspec.convert(mapping, SEANetEncoderNode)).eval()


def decoder(**config):
    mapping = {"type": "seanet", "config": {**SIZES, "ratios": [3, 2], **config}}
    return build_decoder(msgspec.convert(mapping, SEANetDecoderNode)).eval()


NAMES = {
    "none": {"conv.bias", "conv.weight"},
    "weight_norm": {"conv.bias", "conv.weight_g", "conv.weight_v"},
    "spectral_norm": {"conv.bias", "conv.weight_orig", "conv.weight_u", "conv.weight_v"},
    "time_layer_norm": {"conv.bias", "conv.weight"},
    "layer_norm": {"conv.bias", "conv.weight", "norm.bias", "norm.weight"},
    "time_group_norm": {"conv.bias", "conv.weight", "norm.bias", "norm.weight"},
}


@pytest.mark.parametrize("norm", NAMES)
def test_norms_have_the_names_of_encodec(norm):
    assert set(encoder(norm=norm).model[0].conv.state_dict()) == NAMES[norm]
    transposed = set(decoder(norm=norm).model[2].convtr.state_dict())
    assert transposed == {name.replace("conv.", "convtr.") for name in NAMES[norm]}


@pytest.mark.parametrize("norm", NAMES)
def test_every_norm_keeps_lengths(norm):
    latents = encoder(norm=norm)(torch.randn(1, 1, 60))
    assert latents.shape == (1, 3, 10)
    assert decoder(norm=norm)(latents).shape == (1, 1, 60)


def test_layer_norm_normalises_over_channels():
    conv = encoder(norm="layer_norm", norm_params={"elementwise_affine": False}).model[0]
    y = conv(torch.randn(1, 1, 60))
    torch.testing.assert_close(y.mean(1), torch.zeros(1, 60), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["constant", "replicate"])
def test_causal_networks_do_not_see_the_future(mode):
    network = encoder(causal=True, pad_mode=mode)
    x = torch.randn(1, 1, 60)
    later = x.clone()
    later[..., 36:] = 0
    torch.testing.assert_close(network(later)[..., :6], network(x)[..., :6])
    upward = decoder(causal=True, pad_mode=mode)
    z = torch.randn(1, 3, 10)
    changed = z.clone()
    changed[..., 6:] = 0
    torch.testing.assert_close(upward(changed)[..., :36], upward(z)[..., :36])


@pytest.mark.parametrize("mode", ["reflect", "constant", "replicate", "circular"])
def test_every_pad_mode_keeps_lengths(mode):
    latents = encoder(pad_mode=mode)(torch.randn(1, 1, 60))
    assert latents.shape == (1, 3, 10)


def test_partial_frames_are_rounded_up():
    assert encoder()(torch.randn(1, 1, 61)).shape == (1, 3, 11)


def test_signal_shorter_than_its_reflection_is_encoded():
    assert encoder()(torch.randn(1, 1, 2)).shape == (1, 3, 1)


def test_strides_are_in_the_order_of_the_stages():
    widths = [conv.stride for conv in encoder().model if getattr(conv, "stride", 1) > 1]
    assert widths == [2, 3]


def test_activations_take_their_parameters():
    network = encoder(activation="LeakyReLU", activation_params={"negative_slope": 0.3})
    slopes = {act.negative_slope for act in network.modules() if isinstance(act, nn.LeakyReLU)}
    assert slopes == {0.3}


def test_final_activation_limits_the_signal():
    plain = decoder()
    limited = decoder(final_activation="Sigmoid")
    limited.load_state_dict(plain.state_dict())
    z = torch.randn(1, 3, 4)
    torch.testing.assert_close(limited(z), plain(z).sigmoid())


def test_causal_network_refuses_to_normalise_over_time():
    with pytest.raises(ValueError, match="time_group_norm looks at all times"):
        encoder(causal=True, norm="time_group_norm")


def test_uneven_trim_needs_causality():
    with pytest.raises(ValueError, match=r"trim_right_ratio is 0\.5"):
        decoder(trim_right_ratio=0.5)


@pytest.mark.parametrize(
    ("own", "plain"),
    [
        (
            SpectralNormConv1d(3, 4, kernel_size=5, stride=2, dilation=1),
            nn.Conv1d(3, 4, 5, stride=2),
        ),
        (
            SpectralNormConvTranspose1d(3, 4, kernel_size=5, stride=2),
            nn.ConvTranspose1d(3, 4, 5, stride=2),
        ),
    ],
    ids=["conv", "transposed"],
)
def test_spectral_norm_equals_that_of_torch_in_training_and_after(own, plain):
    theirs = spectral_norm(plain)
    theirs.load_state_dict(own.state_dict())
    x = torch.randn(2, 3, 16)
    for _ in range(2):
        torch.testing.assert_close(own(x), theirs(x))
    own(x).sum().backward()
    theirs(x).sum().backward()
    torch.testing.assert_close(own.weight_orig.grad, theirs.weight_orig.grad)
    own.eval(), theirs.eval()
    torch.testing.assert_close(own(x), theirs(x))
