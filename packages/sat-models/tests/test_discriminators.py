import dataclasses

import msgspec
import pytest
import torch
from torch import nn

from sat_config.audio.arc import ARCHeadNode
from sat_config.audio.discriminator import (
    DiscriminatorNode,
)
from sat_config.registry import current
from sat_models.discriminators.arc import ConvHead, ConvNeXtHead, build_arc_head
from sat_models.discriminators.base import Discriminator, Judgement, build_discriminator
from sat_models.discriminators.conv import NormedConv1d, NormedConv2d
from sat_models.discriminators.dac import DACDiscriminator
from sat_models.discriminators.encodec import EncodecDiscriminator, STFTDiscriminatorSizes
from sat_models.discriminators.gan import (
    HingeLoss,
    LeastSquaresLoss,
    RelativisticLoss,
    ZeroHingeLoss,
)
from sat_models.discriminators.oobleck import _Network, _Periods
from sat_models.discriminators.resample import SincResample

SIZES = STFTDiscriminatorSizes(
    filters=4,
    max_filters=1024,
    filters_scale=1,
    out_channels=1,
    kernel_size=(3, 9),
    stride=(1, 1),
    dilations=(1, 2),
    normalized=True,
    magnitude_power=0.0,
    make_activation=lambda: nn.LeakyReLU(0.2),
)
GAN_LOSSES = [HingeLoss(), ZeroHingeLoss(), LeastSquaresLoss(), RelativisticLoss()]


def encodec(sizes=SIZES, *, gan_loss=GAN_LOSSES[0], normalize_features=False):
    return EncodecDiscriminator(
        2,
        fft_sizes=[64, 32],
        hop_sizes=[16, 8],
        win_lengths=[64, 32],
        sizes=sizes,
        gan_loss=gan_loss,
        normalize_features=normalize_features,
    )


def dac(**changes):
    options = {"periods": [], "rates": [], "fft_sizes": [64], "bands": [(0.0, 0.5), (0.5, 1.0)]}
    return DACDiscriminator(2, sample_rate=8000, gan_loss=GAN_LOSSES[2], **options | changes)


DISCRIMINATORS = {
    "encodec": encodec,
    "encodec-relative": lambda: encodec(gan_loss=RelativisticLoss(), normalize_features=True),
    "encodec-wide": lambda: encodec(dataclasses.replace(SIZES, filters_scale=2, max_filters=12)),
    "encodec-capped": lambda: encodec(dataclasses.replace(SIZES, max_filters=3)),
    "encodec-power": lambda: encodec(dataclasses.replace(SIZES, magnitude_power=-0.5)),
    "dac": dac,
}


def every(examples):
    return pytest.mark.parametrize("make", examples.values(), ids=examples.keys())


@every(DISCRIMINATORS)
def test_losses_are_finite_scalars_with_gradients(make):
    network = make()
    reals, fakes = torch.randn(2, 2, 300), torch.randn(2, 2, 300, requires_grad=True)
    given = network.generator_losses(reals, fakes)
    (given.adversarial + given.feature_matching).backward()
    assert fakes.grad.isfinite().all()
    assert fakes.grad.any()

    fakes.grad = None
    network.zero_grad()
    loss = network.discriminator_loss(reals, fakes)
    loss.backward()
    assert loss.shape == ()
    assert fakes.grad is None
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@every(DISCRIMINATORS)
def test_features_of_a_copy_match(make):
    network, audio = make(), torch.randn(2, 2, 300)
    assert network.generator_losses(audio, audio).feature_matching == 0


@pytest.mark.compiled
@every(DISCRIMINATORS)
def test_discriminator_is_one_graph_and_takes_bfloat16(make):
    network, audio = make(), torch.randn(2, 2, 300)
    want = network(audio)
    got = torch.compile(network, backend="eager", fullgraph=True)(audio)
    torch.testing.assert_close(got.scores, want.scores)
    half = network.bfloat16()(audio.bfloat16())
    assert all(score.dtype == torch.bfloat16 for score in half.scores)
    torch.testing.assert_close(half.scores[0].float(), want.scores[0], rtol=0.2, atol=0.1)


@pytest.mark.parametrize("gan", GAN_LOSSES, ids=lambda gan: type(gan).__name__)
def test_gan_loss_rewards_its_player(gan):
    low, high = torch.full((4,), -0.5), torch.full((4,), 0.5)
    assert gan.discriminator(high, low) < gan.discriminator(low, high)
    assert gan.generator(low, high) < gan.generator(high, low)


class Fixed(Discriminator):
    """Scores the mean; its one feature is the signal."""

    def forward(self, audio):
        return Judgement((audio.mean((1, 2)),), ((audio,),))


def test_losses_are_those_of_the_scores():
    network = Fixed(gan_loss=LeastSquaresLoss())
    reals, fakes = torch.full((2, 1, 4), 0.5), torch.full((2, 1, 4), 0.25)
    assert network.discriminator_loss(reals, fakes) == 0.5**2 + 0.25**2
    given = network.generator_losses(reals, fakes)
    assert given.adversarial == 0.75**2
    assert given.feature_matching == 0.25


def test_normalized_features_do_not_depend_on_their_size():
    network = encodec(normalize_features=True)
    real, fake = torch.randn(2, 4, 9), torch.randn(2, 4, 9)
    distances = [network.feature_distance(scale * real, scale * fake) for scale in (1e3, 1e6)]
    torch.testing.assert_close(*distances, rtol=1e-4, atol=0)


def test_encodec_widths_grow_up_to_the_limit():
    sizes = dataclasses.replace(SIZES, filters=4, filters_scale=2, max_filters=20)
    assert sizes.widths == [4, 8, 16, 20]


def test_encodec_needs_all_sizes_of_a_resolution():
    with pytest.raises(ValueError, match="got 2, 1 and 2"):
        EncodecDiscriminator(
            1,
            fft_sizes=[64, 32],
            hop_sizes=[16],
            win_lengths=[64, 32],
            sizes=SIZES,
            gan_loss=GAN_LOSSES[0],
            normalize_features=False,
        )


def test_dac_spectrum_has_a_frame_per_hop():
    network = dac().discriminator.discriminators[0]
    assert network(torch.randn(3, 2, 300))[0].shape == (6, 32, 19, 16)  # 300 / 16, rounded up


def test_dac_ignores_level_and_offset():
    network, audio = dac(), torch.randn(1, 2, 300)
    moved = 0.1 * audio + torch.tensor([0.3, -0.2])[:, None]
    torch.testing.assert_close(network(moved).scores, network(audio).scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"fft_sizes": []}, "got none"), ({"bands": [(0.0, 0.02)]}, r"hold a bin, but of 33 bins")],
)
def test_dac_without_anything_to_look_at_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dac(**changes)


def test_oobleck_folds_a_waveform_into_periods():
    periods = _Periods(1, [3])
    seen = []
    periods.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    periods.layers[0].net = nn.ModuleList([nn.Conv2d(1, 1, 1)])
    periods(torch.arange(7.0).view(1, 1, 7))
    assert seen[0].tolist() == [[[[0, 1, 2], [3, 4, 5], [6, 0, 0]]]]


def test_oobleck_network_shows_what_convolutions_return():
    score, features = _Network(2, folded=False)(torch.randn(3, 2, 1024))
    assert score.shape == (3,)
    assert [f.shape[1:] for f in features] == [(32, 256), (64, 64), (128, 16), (256, 4), (1, 4)]


@pytest.mark.parametrize(("new", "length"), [(4, 100), (2, 50), (3, 75), (6, 150)])
def test_resampling_keeps_a_constant_and_its_duration(new, length):
    audio = torch.ones(2, 3, 100)
    resampled = SincResample(old_rate=4, new_rate=new)(audio)
    torch.testing.assert_close(resampled, torch.ones(2, 3, length))


def test_resampling_removes_what_the_slower_rate_cannot_hold():
    time = torch.arange(1000)
    low, high = torch.cos(0.1 * time), torch.cos(3.0 * time)
    resampled = SincResample(old_rate=2, new_rate=1)((low + high)[None, None])[0, 0]
    torch.testing.assert_close(resampled[50:-50], low[::2][50:-50], rtol=0, atol=2e-3)


HEADS = {
    "conv": lambda: ConvHead(32, soft_clip_scale=None),
    "conv-clipped": lambda: ConvHead(32, soft_clip_scale=0.1),
    "convnext": lambda: ConvNeXtHead(
        32,
        widths=[4, 8, 8],
        strides=[2, 3],
        num_blocks=[1, 2],
        kernel_size=5,
        expansion=2,
        gated=False,
    ),
}


@pytest.mark.compiled
@every(HEADS)
def test_head_scores_and_is_one_graph(make):
    head, features = make(), torch.randn(2, 32, 64)
    scores = head(features)
    assert scores.shape[:2] == (2, 1)
    scores.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    compiled = torch.compile(head, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(features), scores)
    assert head.bfloat16()(features.bfloat16()).dtype == torch.bfloat16


def test_conv_head_limits_its_scores():
    head = ConvHead(32, soft_clip_scale=0.1)
    assert head(100 * torch.randn(2, 32, 80)).abs().max() <= 0.1


def test_conv_head_says_what_it_needs():
    with pytest.raises(ValueError, match="multiple of 32 channels; got 40"):
        ConvHead(40, soft_clip_scale=None)
    with pytest.raises(ValueError, match="at least 64 tokens; got 63"):
        ConvHead(32, soft_clip_scale=None)(torch.randn(1, 32, 63))


@pytest.mark.parametrize(
    ("normed", "plain", "shape"),
    [(NormedConv1d, nn.Conv1d, (2, 4, 20)), (NormedConv2d, nn.Conv2d, (2, 4, 9, 20))],
)
def test_fresh_normed_convolution_is_torchs(normed, plain, shape):
    options = {"stride": 2, "padding": 1, "groups": 2}
    convs = []
    for kind in (normed, plain):
        torch.manual_seed(3)
        convs.append(kind(4, 6, 3, **options))
    x = torch.randn(shape)
    torch.testing.assert_close(convs[0](x), convs[1](x))
    assert list(convs[0].state_dict()) == ["bias", "weight_g", "weight_v"]


ENCODEC = {"filters": 4, "n_ffts": [64], "hop_lengths": [16], "win_lengths": [64]}
WEIGHTS = {"adversarial": 1.0, "feature_matching": 1.0}
NODES = {
    "encodec": {"type": "encodec", "config": ENCODEC},
    "encodec-elu": {
        "type": "encodec",
        "config": {**ENCODEC, "activation": "ELU", "activation_params": {"alpha": 0.5}},
    },
    "dac": {"type": "dac", "config": {"periods": [], "fft_sizes": [64], "use_hinge": True}},
}
HEAD_NODES = {
    "conv": {"type": "conv", "dit_hidden_layer": 1},
    "convnext": {"type": "convnext", "dit_hidden_layer": 1, "config": {"channels": 2}},
}


def node_of(base, example):
    return msgspec.convert(example, current().families[base].members[example["type"]])


@pytest.mark.parametrize("example", NODES.values(), ids=NODES.keys())
def test_discriminator_of_a_node(example):
    node = node_of(DiscriminatorNode, {**example, "weights": WEIGHTS})
    network = build_discriminator(node, channels=2, sample_rate=8000)
    assert network.discriminator_loss(torch.randn(2, 2, 300), torch.randn(2, 2, 300)).isfinite()
    other = build_discriminator(node, channels=2, sample_rate=8000)
    other.load_state_dict(network.state_dict())
    audio = torch.randn(1, 2, 300)
    torch.testing.assert_close(other(audio).scores, network(audio).scores)


def test_oobleck_of_a_node_takes_the_channels_that_it_names():
    node = node_of(
        DiscriminatorNode, {"type": "oobleck", "config": {"in_channels": 2}, "weights": WEIGHTS}
    )
    with torch.device("meta"):  # 50 million weights
        state = build_discriminator(node, channels=1, sample_rate=8000).state_dict()
    first = state["multi_discriminator.discriminators.0.layers.0.net.0.weight_v"]
    assert first.shape == (32, 2, 15)


@pytest.mark.parametrize("example", HEAD_NODES.values(), ids=HEAD_NODES.keys())
def test_head_of_a_node(example):
    head = build_arc_head(node_of(ARCHeadNode, example), in_channels=32)
    assert head(torch.randn(1, 32, 600)).shape[:2] == (1, 1)
