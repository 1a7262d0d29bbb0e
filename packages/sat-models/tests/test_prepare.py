import pytest
import torch

from sat_models.prepare import fit_length, mix_channels, prepare_audio, prepare_batch


@pytest.mark.parametrize(("found", "wanted"), [(1, 1), (2, 1), (1, 2), (2, 2), (6, 2), (1, 6)])
def test_channels_become_as_many_as_wanted(found, wanted):
    assert mix_channels(torch.randn(3, found, 5), channels=wanted).shape == (3, wanted, 5)


def test_to_mono_averages_and_to_stereo_takes_the_first_two():
    audio = torch.tensor([[1.0], [2.0], [6.0]])
    assert mix_channels(audio, channels=1).tolist() == [[3.0]]
    assert mix_channels(audio, channels=2).tolist() == [[1.0], [2.0]]


def test_too_few_channels_are_refused():
    with pytest.raises(ValueError, match="one channel or at least 6, got 2"):
        mix_channels(torch.zeros(2, 5), channels=6)


def test_length_is_cut_or_filled_with_zeros():
    audio = torch.tensor([1.0, 2.0, 3.0])
    assert fit_length(audio, num_samples=2).tolist() == [1.0, 2.0]
    assert fit_length(audio, num_samples=4).tolist() == [1.0, 2.0, 3.0, 0.0]


def test_audio_is_resampled_before_it_is_cut():
    audio = prepare_audio(
        torch.ones(1, 80), source_rate=8000, sample_rate=4000, num_samples=50, channels=2
    )
    assert audio.shape == (1, 2, 50)
    assert audio[0, 0, 10:30].allclose(torch.ones(20), atol=0.05)
    assert audio[0, 0, 40:].abs().max() == 0


def test_batch_is_as_long_as_its_longest_clip_rounded_up():
    clips = [torch.ones(1, 30), torch.ones(2, 80)]
    batch = prepare_batch(
        clips, source_rates=[8000, 16000], sample_rate=8000, channels=2, multiple=16
    )
    assert batch.shape == (2, 2, 48)
    assert batch[0, :, :30].eq(1).all()


def test_batch_without_a_rate_for_each_clip_is_refused():
    with pytest.raises(ValueError, match="a rate per clip, got 1 for 2"):
        prepare_batch(
            [torch.ones(1, 3)] * 2, source_rates=[8000], sample_rate=8000, channels=1, multiple=1
        )
