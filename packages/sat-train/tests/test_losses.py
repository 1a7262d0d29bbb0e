import pytest
import torch

from sat_train.distance import SpectralDistance
from sat_train.losses.stft import MultiResolutionSTFTLoss, STFTLoss, SumAndDifferenceSTFTLoss
from sat_train.methods.autoencoder import SpectralLoss

SIZES = {"fft_sizes": [128, 64], "hop_sizes": [32, 16], "win_lengths": [128, 64]}


def noise(*shape):
    return 0.1 * torch.randn(*shape)


def test_loss_of_equal_signals_is_zero():
    audio = noise(2, 2, 400)
    assert MultiResolutionSTFTLoss(**SIZES)(audio, audio) == 0


def test_loss_of_silence_is_finite_and_has_finite_gradients():
    silence = torch.zeros(1, 2, 400, requires_grad=True)
    loss = MultiResolutionSTFTLoss(**SIZES)(silence, noise(1, 2, 400))
    loss.backward()
    assert loss.isfinite()
    assert silence.grad.isfinite().all()


def test_loss_is_the_mean_over_items():
    loss = STFTLoss(fft_size=64, hop_size=16, win_length=64)
    got, want = noise(3, 1, 200), noise(3, 1, 200)
    alone = [loss(got[i : i + 1], want[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(got, want), torch.stack(alone).mean())


def test_shortest_signal_is_long_enough_and_one_less_is_not():
    loss = MultiResolutionSTFTLoss(**SIZES)
    enough = noise(1, 1, loss.shortest_signal)
    assert loss(enough, enough) == 0
    with pytest.raises(RuntimeError):
        loss(enough[..., 1:], enough[..., 1:])


def test_different_numbers_of_resolutions_are_refused():
    with pytest.raises(ValueError, match="one entry per resolution each; got 2, 1 and 2"):
        MultiResolutionSTFTLoss(**{**SIZES, "hop_sizes": [32]})


def test_sum_and_difference_hears_a_flipped_channel():
    loss = MultiResolutionSTFTLoss(**SIZES)
    stereo = SumAndDifferenceSTFTLoss(loss, sum_weight=1.0, difference_weight=1.0)
    audio = noise(1, 2, 400)
    flipped = audio * torch.tensor([1.0, -1.0]).view(1, 2, 1)
    assert loss(flipped, audio) == 0
    assert stereo(flipped, audio) > 0.1


def test_spectral_loss_of_stereo_adds_sum_and_difference_to_the_channels():
    loss = MultiResolutionSTFTLoss(**SIZES)
    got, want = noise(1, 2, 400), noise(1, 2, 400)
    stereo = SumAndDifferenceSTFTLoss(loss, sum_weight=1.0, difference_weight=1.0)
    expected = loss(got, want) + stereo(got, want)
    torch.testing.assert_close(SpectralLoss(loss, channels=2)(got, want), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_spectral_loss_of_other_channels_is_the_plain_one(channels):
    loss = MultiResolutionSTFTLoss(**SIZES)
    got, want = noise(1, channels, 400), noise(1, channels, 400)
    assert SpectralLoss(loss, channels=channels)(got, want) == loss(got, want)


def test_distance_takes_signals_shorter_than_its_transforms():
    audio = noise(1, 2, 100)
    assert SpectralDistance()(audio, audio) == 0
    assert SpectralDistance()(torch.zeros_like(audio), audio) > 1


def test_distance_grows_with_the_error():
    distance, audio = SpectralDistance(), noise(1, 1, 4000)
    error = noise(1, 1, 4000)
    near, far = (distance(audio + scale * error, audio) for scale in (0.01, 1.0))
    assert near < far / 2
