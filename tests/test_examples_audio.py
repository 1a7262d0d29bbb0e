"""The example clips agree with their manifest and can be rendered again."""

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
AUDIO = EXAMPLES / "audio"
MANIFEST = json.loads((AUDIO / "manifest.json").read_text(encoding="utf-8"))
CLIPS = MANIFEST["clips"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The rendering script, loaded as a module with its own folder importable."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    spec = importlib.util.spec_from_file_location("render_audio", EXAMPLES / "render_audio.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_manifest_lists_every_file() -> None:
    files = {path.relative_to(AUDIO).as_posix() for path in AUDIO.rglob("*.flac")}
    assert sorted(clip["file"] for clip in CLIPS) == sorted(files)
    assert [clip["split"] for clip in CLIPS].count("train") == 11
    assert [clip["split"] for clip in CLIPS].count("heldout") == 1
    assert MANIFEST["licence"] == "CC0-1.0"


def test_clips_are_small_together() -> None:
    assert sum((AUDIO / clip["file"]).stat().st_size for clip in CLIPS) <= 2_000_000


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip["file"])
def test_clip_matches_its_entry(clip: dict) -> None:
    pcm, rate = soundfile.read(AUDIO / clip["file"], dtype="int16", always_2d=True)
    assert rate == clip["sample_rate"] == 44_100
    assert pcm.shape[1] == clip["channels"] == 2
    assert len(pcm) / rate == pytest.approx(clip["seconds"], abs=1e-4)
    assert hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest() == clip["sha256"]
    assert clip["file"].startswith(clip["split"] + "/")


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip["file"])
def test_clip_is_clean(clip: dict) -> None:
    level, _ = soundfile.read(AUDIO / clip["file"])
    assert -3.1 <= 20 * np.log10(np.abs(level).max()) <= -1.0
    assert np.abs(level.mean(axis=0)).max() < 1e-3
    assert np.abs(level[[0, -1]]).max() < 1e-3


def test_rendering_again_gives_the_same_samples(script: ModuleType) -> None:
    tune = next(tune for tune in script.all_tunes() if tune.name == "pluck_waltz")
    again = script.render(tune, MANIFEST["seed"])
    kept, _ = soundfile.read(AUDIO / "train" / "pluck_waltz.flac", dtype="int16")
    assert np.abs(again.astype(int) - kept).max() <= 1
