import math

import torch

from sat_train.plots import save_spectrograms, spectrogram_db


def test_full_scale_sine_is_at_0_db_in_its_bin():
    audio = torch.sin(2 * math.pi * 1000 * torch.arange(8000) / 8000)[None]
    level = spectrogram_db(audio, size=256)
    middle = level[:, level.shape[1] // 2]
    assert middle.argmax() == 1000 / 8000 * 256
    assert abs(middle.max()) < 0.1


def test_silence_is_finite():
    assert spectrogram_db(torch.zeros(2, 500), size=64).isfinite().all()


def test_picture_is_written_for_very_short_audio(tmp_path):
    clips = {"original": torch.randn(2, 10), "reconstruction": torch.randn(2, 10)}
    save_spectrograms(tmp_path / "p.png", clips, sample_rate=8000)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]
