import math

import torch
from matplotlib.axes import Axes

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


def test_latents_are_drawn_below_the_clips(tmp_path, monkeypatch):
    seen = []
    original = Axes.imshow
    monkeypatch.setattr(
        Axes, "imshow", lambda *a, **k: (seen.append((a[1], k)), original(*a, **k))[1]
    )
    clips = {"original": torch.randn(2, 4000), "reconstruction": torch.randn(2, 4000)}
    latents = torch.arange(12).reshape(3, 4) - 5
    save_spectrograms(tmp_path / "p.png", clips, sample_rate=8000, latents=latents)
    values, settings = seen[-1]
    assert len(seen) == 3
    assert values.tolist() == latents.tolist()
    assert settings["extent"] == (0, 0.5, -0.5, 2.5)
    assert (settings["vmin"], settings["vmax"]) == (-6, 6)
