import pytest
import torch

from sat_config.audio.loss import SpectralConfig
from sat_models.losses.build import build_spectral_loss
from sat_models.losses.stft import SumAndDifferenceSTFTLoss
from sat_train.distance import SpectralDistance
from sat_train.methods.reconstruction import SpectralLoss

SIZES = SpectralConfig(fft_sizes=(128, 64), hop_sizes=(32, 16), win_lengths=(128, 64))


def noise(*shape):
    return 0.1 * torch.randn(*shape)


def test_spectral_loss_of_stereo_adds_sum_and_difference_to_the_channels():
    loss = build_spectral_loss(SIZES, sample_rate=8000)
    got, want = noise(1, 2, 400), noise(1, 2, 400)
    stereo = SumAndDifferenceSTFTLoss(loss, sum_weight=1.0, difference_weight=1.0)
    expected = loss(got, want) + stereo(got, want)
    torch.testing.assert_close(SpectralLoss(loss, channels=2).with_sides(got, want), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_spectral_loss_of_other_channels_is_the_plain_one(channels):
    loss = build_spectral_loss(SIZES, sample_rate=8000)
    got, want = noise(1, channels, 400), noise(1, channels, 400)
    assert SpectralLoss(loss, channels=channels).with_sides(got, want) == loss(got, want)


def test_distance_takes_signals_shorter_than_its_transforms():
    audio = noise(1, 2, 100)
    assert SpectralDistance()(audio, audio) == 0
    assert SpectralDistance()(torch.zeros_like(audio), audio) > 1


def test_distance_grows_with_the_error():
    distance, audio = SpectralDistance(), noise(1, 1, 4000)
    error = noise(1, 1, 4000)
    near, far = (distance(audio + scale * error, audio) for scale in (0.01, 1.0))
    assert near < far / 2
