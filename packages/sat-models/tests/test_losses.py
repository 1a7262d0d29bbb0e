import dataclasses
import math

import msgspec
import pytest
import torch
from torchaudio.models import wav2vec2_model

from sat_config.audio.loss import EvalMel, EvalSTFT, HubertConfig, MelConfig, SpectralConfig
from sat_models.errors import CheckpointError
from sat_models.losses.bands import mel_bands
from sat_models.losses.build import (
    build_mel_loss,
    build_mel_measure,
    build_spectral_loss,
    build_speech_loss,
    build_stft_measure,
)
from sat_models.losses.discrepancy import discrepancy
from sat_models.losses.features import CONVOLUTIONS, SpeechFeatureLoss, load_speech_network
from sat_models.losses.mel import MultiResolutionMelLoss
from sat_models.losses.pointwise import l1_distance, l2_distance, stereo_image_distance
from sat_models.losses.ratios import sd_sdr_db, si_sdr_db, snr_db
from sat_models.losses.stft import (
    MultiResolutionSTFTLoss,
    SpectralTerms,
    STFTLoss,
    SumAndDifferenceSTFTLoss,
)
from sat_models.losses.weight import LossWeight
from sat_models.losses.weighting import AWeighting, a_weighting_taps
from sat_models.losses.windows import COSINE_SUMS, make_window

RATE = 16_000
TERMS = SpectralTerms(
    convergence=1.0,
    log_magnitude=1.0,
    linear_magnitude=0.0,
    phase=0.0,
    distance="L1",
    floor=1e-8,
    log_factor=1.0,
    log_offset=0.0,
    scale_invariant=False,
    reduction="mean",
    per_signal=False,
)
EVERY_TERM = dataclasses.replace(TERMS, linear_magnitude=1.0, phase=1.0)


def stft_loss(terms=TERMS, *, size=64, bands=None, weighting=None):
    return STFTLoss(
        fft_size=size,
        hop_size=size // 4,
        win_length=size,
        window="hann_window",
        terms=terms,
        bands=bands,
        weighting=weighting,
    )


def several(terms=TERMS, weighting=None):
    return MultiResolutionSTFTLoss(
        [stft_loss(terms, size=size) for size in (32, 64)], weighting=weighting
    )


def mel_loss():
    return MultiResolutionMelLoss(
        sample_rate=RATE,
        num_bands=[10, 5],
        win_lengths=[128, 64],
        exponent=2.0,
        log_weight=1.0,
        magnitude_weight=1.0,
    )


def speech_network():
    torch.manual_seed(0)
    return wav2vec2_model(
        extractor_mode="layer_norm",
        extractor_conv_layer_config=[(8, 4, 2)],
        extractor_conv_bias=False,
        encoder_embed_dim=8,
        encoder_projection_dropout=0.5,
        encoder_pos_conv_kernel=4,
        encoder_pos_conv_groups=2,
        encoder_num_layers=2,
        encoder_num_heads=2,
        encoder_attention_dropout=0.5,
        encoder_ff_interm_features=8,
        encoder_ff_interm_dropout=0.5,
        encoder_dropout=0.5,
        encoder_layer_norm_first=True,
        encoder_layer_drop=0.5,
        aux_num_out=None,
    )


def speech_loss(layers=None):
    return SpeechFeatureLoss(speech_network(), layers=layers)


LOSSES = {
    "one": stft_loss,
    "several": several,
    "every-term": lambda: several(EVERY_TERM),
    "squared": lambda: several(dataclasses.replace(EVERY_TERM, distance="L2")),
    "scaled": lambda: several(dataclasses.replace(EVERY_TERM, scale_invariant=True)),
    "weighted": lambda: several(weighting=AWeighting(sample_rate=RATE)),
    "bands": lambda: stft_loss(bands=mel_bands(sample_rate=RATE, fft_size=64, num_bands=6)),
    "stereo": lambda: SumAndDifferenceSTFTLoss(several(), sum_weight=1.0, difference_weight=0.5),
    "mel": mel_loss,
    "speech": speech_loss,
    "speech-convolutions": lambda: speech_loss(CONVOLUTIONS),
    "l1": lambda: l1_distance,
    "l2": lambda: l2_distance,
    "image": lambda: stereo_image_distance,
    "discrepancy": lambda: lambda x, y: discrepancy(x[:, 0], y[:, 0], bandwidths=[1.0]),
}


@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES.keys())
def test_loss_is_zero_for_a_copy_and_finite_with_gradients_elsewhere(make):
    loss = make()
    x, y = torch.randn(2, 2, 400, requires_grad=True), torch.randn(2, 2, 400)
    assert loss(y, y).abs() < 1e-5
    value = loss(x, y)
    assert value.shape == ()
    assert value > 0
    value.backward()
    assert x.grad.isfinite().all()
    assert x.grad.any()


@pytest.mark.parametrize("make", [several, mel_loss], ids=["stft", "mel"])
def test_spectral_loss_of_silence_is_finite(make):
    x = torch.zeros(1, 2, 400, requires_grad=True)
    value = make()(x, torch.randn(1, 2, 400))
    value.backward()
    assert value.isfinite()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", ["every-term", "weighted", "bands", "mel"])
def test_spectral_loss_is_computed_in_single_precision(name):
    loss = LOSSES[name]()
    x, y = torch.randn(2, 2, 400).bfloat16(), torch.randn(2, 2, 400).bfloat16()
    want = loss(x.float(), y.float())
    torch.testing.assert_close(loss(x, y), want, rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(loss(x.float(), y.float()), want, rtol=0, atol=0)


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["every-term", "weighted", "bands", "stereo", "mel"])
def test_spectral_loss_is_one_graph(name):
    loss = LOSSES[name]()
    x, y = torch.randn(2, 2, 400), torch.randn(2, 2, 400)
    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, y), loss(x, y))


@pytest.mark.parametrize("name", ["one", "several", "weighted", "bands", "mel"])
def test_spectral_loss_adds_nothing_to_a_checkpoint(name):
    assert LOSSES[name]().state_dict() == {}


def test_scale_invariant_loss_ignores_the_level_of_each_target():
    terms = dataclasses.replace(TERMS, scale_invariant=True, floor=1e-20)
    loss, x, y = stft_loss(terms), torch.randn(2, 2, 400), torch.randn(2, 2, 400)
    louder = y * torch.tensor([[1.0, 3.0], [0.5, 7.0]])[..., None]
    torch.testing.assert_close(loss(x, louder), loss(x, y))


def test_loss_per_signal_averages_to_the_whole():
    x, y = torch.randn(2, 2, 400), torch.randn(2, 2, 400)
    values = several(dataclasses.replace(EVERY_TERM, per_signal=True))(x, y)
    assert values.shape == (4,)
    torch.testing.assert_close(values.mean(), several(EVERY_TERM)(x, y))
    torch.testing.assert_close(values[1], several(EVERY_TERM)(x[:1, 1:], y[:1, 1:]))


def test_loss_without_reduction_keeps_bins_and_frames():
    loss = stft_loss(dataclasses.replace(TERMS, reduction="none"))
    assert loss(torch.randn(2, 2, 400), torch.randn(2, 2, 400)).shape == (4, 33, 26)
    with pytest.raises(ValueError, match="'mean' or 'sum'"):
        MultiResolutionSTFTLoss([loss], weighting=None)


def test_loss_without_terms_is_refused():
    with pytest.raises(ValueError, match="weight 0"):
        stft_loss(dataclasses.replace(TERMS, convergence=0.0, log_magnitude=0.0))


def test_empty_bands_are_refused_where_their_logarithm_is_needed():
    bands = mel_bands(sample_rate=RATE, fft_size=64, num_bands=30)
    with pytest.raises(ValueError, match=r"\d+ of 30 bands contain no bin"):
        stft_loss(bands=bands)
    stft_loss(dataclasses.replace(TERMS, log_offset=1.0), bands=bands)


def test_multi_resolution_loss_needs_a_resolution():
    with pytest.raises(ValueError, match="at least one"):
        MultiResolutionSTFTLoss([], weighting=None)


def test_sum_and_difference_needs_stereo():
    with pytest.raises(ValueError, match="two channels; got 1"):
        LOSSES["stereo"]()(torch.randn(1, 1, 400), torch.randn(1, 1, 400))


def test_mel_loss_needs_sizes_for_every_resolution():
    with pytest.raises(ValueError, match="2 and 1"):
        MultiResolutionMelLoss(
            sample_rate=RATE,
            num_bands=[10, 5],
            win_lengths=[128],
            exponent=1.0,
            log_weight=1.0,
            magnitude_weight=1.0,
        )


# What scipy.signal.windows.get_window gives for 5 samples.
WINDOWS = {
    "barthann": [0.0, 0.35857354, 0.87942646, 0.87942646, 0.35857354],
    "bartlett": [0.0, 0.4, 0.8, 0.8, 0.4],
    "blackman": [0.0, 0.20077014, 0.84922986, 0.84922986, 0.20077014],
    "blackmanharris": [6.0e-05, 0.10301149, 0.79383351, 0.79383351, 0.10301149],
    "bohman": [0.0, 0.17912389, 0.83431145, 0.83431145, 0.17912389],
    "boxcar": [1.0, 1.0, 1.0, 1.0, 1.0],
    "cosine": [0.25881905, 0.70710678, 0.96592583, 0.96592583, 0.70710678],
    "exponential": [0.082085, 0.22313016, 0.60653066, 0.60653066, 0.22313016],
    "flattop": [-0.00042105, -0.06771425, 0.60687215, 0.60687215, -0.06771425],
    "hamming": [0.08, 0.39785218, 0.91214782, 0.91214782, 0.39785218],
    "hann": [0.0, 0.3454915, 0.9045085, 0.9045085, 0.3454915],
    "lanczos": [0.0, 0.50455115, 0.93548928, 0.93548928, 0.50455115],
    "nuttall": [0.0003628, 0.11051525, 0.7982581, 0.7982581, 0.11051525],
    "parzen": [0.00925926, 0.25, 0.86111111, 0.86111111, 0.25],
    "taylor": [0.30634693, 0.66206478, 0.95700213, 0.95700213, 0.66206478],
    "triang": [0.16666667, 0.5, 0.83333333, 0.83333333, 0.5],
    "tukey": [0.0, 0.9045085, 1.0, 1.0, 0.9045085],
}


@pytest.mark.parametrize("name", WINDOWS)
def test_window_is_scipys(name):
    want = torch.tensor(WINDOWS[name])
    torch.testing.assert_close(make_window(name, 5), want, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(make_window(name, 1), torch.ones(1))


def test_windows_are_torchs():
    torch.testing.assert_close(make_window("kaiser_window", 9), torch.kaiser_window(9))
    for name in ("hann", "hamming", "blackman"):
        assert name in COSINE_SUMS
        torch.testing.assert_close(make_window(name, 9), make_window(f"{name}_window", 9))


def test_unknown_window_is_refused_naming_the_others():
    with pytest.raises(ValueError, match=r"no window 'round'; .* barthann, .* tukey"):
        make_window("round", 5)


def test_mel_bands_are_librosas():
    bands = mel_bands(sample_rate=8000, fft_size=8, num_bands=3)  # as librosa.filters.mel has it
    want = [
        [0.0, 0.00053487, 0.0, 0.0, 0.0],
        [0.0, 0.00085101, 0.00023411, 0.0, 0.0],
        [0.0, 0.0, 0.00057935, 0.00039287, 0.0],
    ]
    torch.testing.assert_close(bands, torch.tensor(want), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("hertz", "decibels"), [(200, -10.9), (500, -3.2), (1000, 0.0), (2000, 1.2)]
)
def test_a_weighting_follows_the_standard(hertz, decibels):
    taps = a_weighting_taps(RATE).double()
    angle = 2 * math.pi * hertz / RATE * (torch.arange(len(taps)) - len(taps) // 2)
    gain = (taps * torch.cos(angle)).sum()
    assert float(20 * gain.abs().log10()) == pytest.approx(decibels, abs=0.2)


def test_a_weighting_keeps_length_and_channels_apart():
    audio = torch.zeros(2, 2, 300)
    audio[1, 0, 150] = 1.0
    filtered = AWeighting(sample_rate=RATE)(audio)
    torch.testing.assert_close(filtered[1, 0, 100:201], a_weighting_taps(RATE))
    assert not filtered[0].any()
    assert not filtered[1, 1].any()


@pytest.mark.parametrize("function", [si_sdr_db, sd_sdr_db, snr_db])
def test_ratio_is_that_of_the_energies(function):
    target = torch.tensor([1.0, -1.0, 1.0, -1.0]).expand(2, 3, 4)
    noise = torch.tensor([0.1, 0.1, -0.1, -0.1])
    value = function(target + noise, target, zero_mean=False, epsilon=1e-12)
    torch.testing.assert_close(value, torch.full((2, 3), 20.0), rtol=1e-4, atol=1e-3)


def test_only_the_scale_invariant_ratio_forgives_a_wrong_level():
    target = torch.randn(1, 1, 100)
    options = {"zero_mean": True, "epsilon": 1e-8}
    half = 0.5 * target + 3.0
    assert si_sdr_db(half, target, **options) > 60
    assert float(sd_sdr_db(half, target, **options)) == pytest.approx(0.0, abs=1e-3)
    assert float(snr_db(half, target, **options)) == pytest.approx(6.02, abs=1e-2)


def test_masked_values_do_not_count_and_may_be_infinite():
    x = torch.tensor([[[1.0, float("inf")], [3.0, 5.0]]])
    mask = torch.tensor([[True, False]])
    assert l1_distance(x, torch.zeros_like(x), mask=mask) == 2.0
    assert l2_distance(x, torch.zeros_like(x), mask=mask) == 5.0
    assert l1_distance(x, torch.zeros_like(x), mask=torch.zeros_like(mask)) == 0.0


def test_stereo_image_ignores_level_and_sees_polarity():
    x = torch.randn(2, 2, 10)
    assert stereo_image_distance(3 * x, x) < 1e-6
    assert float(stereo_image_distance(-x, x)) == pytest.approx(1.0)


def test_discrepancy_is_small_between_samples_of_one_distribution():
    x, y = torch.randn(300, 4), torch.randn(200, 4)
    near = discrepancy(x, y, bandwidths=[1.0])
    assert 0 < near < discrepancy(x, y + 1, bandwidths=[1.0]) / 5


def test_weight_decays_before_every_use_and_is_stored():
    weight = LossWeight(2.0, decay=0.5)
    values = [float(weight(torch.tensor(3.0))) for _ in range(2)]
    assert values == [3.0, 1.5]
    other = LossWeight(2.0, decay=0.5)
    other.load_state_dict(weight.state_dict())
    assert float(other(torch.tensor(4.0))) == 1.0


def test_constant_weight_is_the_configured_one():
    weight = LossWeight(2.0, decay=1.0)
    weight.load_state_dict({"weight": torch.tensor(9.0)})
    assert float(weight(torch.tensor(3.0))) == 6.0


def test_weight_can_change_before_the_backward_pass():
    weight, x = LossWeight(1.0, decay=0.5), torch.ones((), requires_grad=True)
    (weight(x) + weight(x)).backward()
    assert float(x.grad) == 0.75


def test_speech_network_is_frozen_and_never_drops_out():
    loss = speech_loss().train()
    x, y = torch.randn(2, 1, 200, requires_grad=True), torch.randn(2, 1, 200)
    torch.testing.assert_close(loss(x, y), loss(x, y), rtol=0, atol=0)
    loss(x, y).backward()
    assert all(p.grad is None for p in loss.parameters())


def test_speech_layers_are_averaged():
    x, y = torch.randn(2, 1, 200), torch.randn(2, 1, 200)
    each = torch.stack([speech_loss([i])(x, y) for i in range(2)])
    torch.testing.assert_close(speech_loss()(x, y), each.mean())
    torch.testing.assert_close(speech_loss([1, 0])(x, y), each.mean())


def test_speech_network_without_weights_says_where_they_belong(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(CheckpointError, match=r"checkpoints/wavlm_large.pth; put the file"):
        load_speech_network("WAVLM_LARGE")


def test_speech_network_is_read_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        "sat_models.losses.features.SPEECH_NETWORKS", {"tiny": (speech_network, "tiny.pth")}
    )
    stored = speech_network()
    torch.nn.init.ones_(stored.encoder.feature_projection.projection.bias)
    (tmp_path / "checkpoints").mkdir()
    torch.save(stored.state_dict(), tmp_path / "checkpoints" / "tiny.pth")
    loaded = load_speech_network("tiny").state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in stored.state_dict().items())


def spectral_node(**changes):
    return msgspec.convert(
        {"fft_sizes": [64], "hop_sizes": [16], "win_lengths": [32]} | changes, SpectralConfig
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"perceptual_weighting": True, "window": "hann"},
        {"scale": "mel", "n_bins": [6], "w_lin_mag": 0.5},
        {"mag_distance": "L2", "scale_invariance": True, "w_phs": 0.1, "log_eps": 1.0},
    ],
)
def test_spectral_loss_of_a_node(changes):
    loss = build_spectral_loss(spectral_node(**changes), sample_rate=RATE)
    x, y = torch.randn(2, 2, 400), torch.randn(2, 2, 400)
    assert loss(x, y) > 0
    assert (loss.weighting is not None) == changes.get("perceptual_weighting", False)
    assert (loss.resolutions[0].bands is not None) == ("n_bins" in changes)


def test_measures_of_a_validation():
    x, y = torch.randn(2, 1, 1200), torch.randn(2, 1, 1200)
    stft = build_stft_measure(EvalSTFT(fft_size=64, win_length=64), sample_rate=RATE)
    mel = build_mel_measure(EvalMel(n_mels=20), sample_rate=RATE)
    bands = build_stft_measure(
        EvalSTFT(scale="mel", n_bins=20, sample_rate=RATE), sample_rate=2 * RATE
    )
    assert stft(x, y) > 0
    torch.testing.assert_close(bands(x, y), mel(x, y))


def test_mel_and_feature_losses_of_nodes(tmp_path, monkeypatch):
    node = MelConfig(n_mels=(8,), window_lengths=(128,), pow=2.0, log_weight=1.0, mag_weight=0.0)
    loss = build_mel_loss(node, sample_rate=RATE)
    torch.testing.assert_close(loss.exponent, 2.0)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(CheckpointError, match="HUBERT_LARGE"):
        build_speech_loss(HubertConfig())
