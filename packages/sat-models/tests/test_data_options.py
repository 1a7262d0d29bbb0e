"""What an audio dataset may be told: which files, how often, and what is done to them."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sat_config.audio.dataset import AudioDirNode, Folder
from sat_models.audio import loudness
from sat_models.data import audio_dir
from sat_models.data.batch import BadItem
from sat_models.data.build import build_dataset
from sat_models.data.dataset import Draw
from sat_models.data.ledger import Ledger
from sat_models.data.order import Weighted
from sat_models.data.shaping import normalize_loudness, shorten_silences
from sat_models.errors import DataError

RATE, SIZE = 8000, 4000


def noise(frames, level=0.5, seed=0):
    return np.random.default_rng(seed).uniform(-level, level, (frames, 2))


def write(folder, name, audio):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, audio, RATE)


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    for number, name in enumerate(("bass/one.wav", "bass/two.wav", "lead/Bassoon.wav", "x.wav")):
        write(folder, name, noise(3 * SIZE, seed=number))
    return folder


def entry(folder, name="m", **options):
    return Folder(id=name, path=str(folder), **options)


def build(*entries, ledger=None, **options):
    return build_dataset(
        AudioDirNode(datasets=entries, **{"phase_flip": 0.0, **options}),
        sample_rate=RATE,
        sample_size=SIZE,
        channels=2,
        seed=1,
        training=True,
        ledger=ledger or Ledger(None, on_bad_file="error"),
    )


def names(dataset):
    return [source.relpath for source in dataset.sources]


def test_keywords_choose_by_the_name_of_the_file_alone(music):
    assert names(build(entry(music, keywords=("BASS",)))) == ["lead/Bassoon.wav"]
    assert names(build(entry(music, keywords=("one", "x")))) == ["bass/one.wav", "x.wav"]
    with pytest.raises(DataError, match=r"no audio file .*, named after one of flute"):
        build(entry(music, keywords=("flute",)))


def test_file_list_chooses_and_a_name_that_is_not_there_is_told(music, tmp_path):
    (tmp_path / "list.txt").write_text("x.wav\n\nbass/one.wav\n")
    chosen = entry(music, filelist_path=str(tmp_path / "list.txt"))
    assert names(build(chosen)) == ["x.wav", "bass/one.wav"]
    (tmp_path / "list.txt").write_text("x.wav\ngone.wav\n")
    with pytest.raises(DataError, match=r"gone\.wav: no such file"):
        build(chosen)
    (music / "filelist.txt").write_text("x.wav\n")
    assert names(build(entry(music))) == ["x.wav"]
    (music / "filelist.txt").write_text("\n")
    with pytest.raises(DataError, match="the file list names nothing"):
        build(entry(music))


def test_captions_beside_a_file_become_metadata(music):
    (music / "x.json").write_text(json.dumps({"prompt": "from json", "bpm": 120, "path": "lie"}))
    (music / "bass" / "one.txt").write_text("a deep bass\n")
    (music / "bass" / "one.json").write_text(json.dumps({"prompt": "not this", "key": "C"}))
    dataset = build(entry(music))
    found = {dataset[at].item.id: dataset[at].item.metadata for at in range(4)}
    assert found["m/bass/one.wav"]["prompt"] == "a deep bass"
    assert found["m/bass/one.wav"]["key"] == "C"
    assert found["m/x.wav"]["prompt"] == "from json"
    assert found["m/x.wav"]["path"] == str(music / "x.wav")
    assert "prompt" not in found["m/bass/two.wav"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.json", b"{", "x.json: no metadata: Input data was truncated"),
        ("x.json", b"[1]", "x.json: holds list, not a table of metadata"),
        ("x.txt", b"\xff\xfe", "x.txt: no metadata: 'utf-8' codec"),
    ],
)
def test_caption_that_cannot_be_read_spoils_its_item(music, name, content, reason):
    (music / name).write_bytes(content)
    item = build(entry(music))[3]
    assert isinstance(item, BadItem)
    assert reason in item.reason


def test_weights_say_how_often_files_come(music, tmp_path):
    for number in range(6):
        write(tmp_path / "rare", f"{number}.wav", noise(SIZE, seed=number))
    dataset = build(entry(music, "often", weight=3.0), entry(tmp_path / "rare", "rare", weight=1.0))
    counts = Counter()
    for seed in range(30):
        drawn = dataset.order.draw(np.random.default_rng(seed))
        assert len(drawn) == 10
        per_epoch = Counter(drawn.tolist())
        assert {per_epoch[index] for index in range(4)} <= {1, 2}
        assert {per_epoch[index] for index in range(4, 10)} <= {0, 1}
        counts.update("often" if index < 4 else "rare" for index in drawn.tolist())
    assert counts["often"] == pytest.approx(300 * 12 / 18, rel=0.03)


def test_equal_weights_draw_every_item_once(music):
    order = build(entry(music, weight=2.5)).order
    assert sorted(order.draw(np.random.default_rng(0)).tolist()) == [0, 1, 2, 3]
    drawn = Weighted(np.full(1000, 0.1)).draw(np.random.default_rng(0))
    assert len(drawn) == 1000
    assert max(Counter(drawn.tolist()).values()) <= 2


def test_silent_crop_is_left_out_with_its_place(tmp_path):
    audio = noise(4 * SIZE)
    audio[SIZE:] *= 1e-5
    write(tmp_path, "fades.wav", audio)
    dataset = build(entry(tmp_path))
    items = [dataset[Draw(epoch, 0)] for epoch in range(20)]
    bad = [item for item in items if isinstance(item, BadItem)]
    assert 0 < len(bad) < 20
    assert all(item.offset >= SIZE for item in bad)
    assert bad[0].reason.startswith("is silent: the crop's peak is -")
    quiet = build(entry(tmp_path), silence_peak_db=-120.0)
    assert not any(isinstance(quiet[Draw(epoch, 0)], BadItem) for epoch in range(20))


def test_silence_at_the_end_is_stripped(tmp_path):
    write(tmp_path, "a.wav", np.concatenate([noise(SIZE // 2), np.zeros((SIZE, 2))]))
    sample = build(entry(tmp_path), strip_silence=True)[0]
    assert int(sample.padding_mask.sum()) == SIZE // 2
    assert sample.item.seconds_total == 1.0
    write(tmp_path, "a.wav", np.zeros((SIZE, 2)))
    item = build(entry(tmp_path), strip_silence=True)[0]
    assert item.reason.endswith("is silent from beginning to end")


def test_long_silences_are_shortened_from_their_middle():
    loud = torch.ones(2, 10)
    audio = torch.cat([loud, torch.linspace(0, 0.009, 100).repeat(2, 1), 2 * loud], dim=1)
    short = shorten_silences(audio, threshold=0.01, longest=20, kept=6)
    assert short.shape == (2, 26)
    torch.testing.assert_close(short[0, 10:13], audio[0, 10:13])
    torch.testing.assert_close(short[0, 13:16], audio[0, 107:110])
    assert torch.equal(shorten_silences(audio, threshold=0.01, longest=100, kept=6), audio)
    one_side = torch.cat([audio[:1], torch.ones(1, audio.shape[1])])
    assert torch.equal(shorten_silences(one_side, threshold=0.01, longest=20, kept=6), one_side)


def test_silences_are_removed_before_the_crop(tmp_path):
    gap = np.zeros((2 * RATE, 2))
    write(tmp_path, "a.wav", np.concatenate([noise(RATE // 10), gap, noise(RATE // 10, seed=1)]))
    sample = build(entry(tmp_path), remove_silence=True, silence_threshold=(0.001, 0.1))[0]
    assert int(sample.padding_mask.sum()) == pytest.approx(0.3 * RATE, abs=20)


def test_loudness_follows_the_standard():
    time = torch.arange(5 * 48_000) / 48_000
    tone = torch.sin(2 * torch.pi * 997 * time).repeat(2, 1)
    # ITU-R BS.1770-4: a 997 Hz sine at 0 dB of full scale in one front channel reads -3.01 LKFS.
    assert loudness(tone[:1], sample_rate=48_000) == pytest.approx(-3.01, abs=0.05)
    assert loudness(tone, sample_rate=48_000) == pytest.approx(0.0, abs=0.05)
    assert loudness(tone[:, :4800], sample_rate=48_000) == pytest.approx(0.0, abs=0.1)
    at_8k = torch.sin(2 * torch.pi * 997 * torch.arange(3 * 8000) / 8000).repeat(2, 1)
    assert loudness(at_8k, sample_rate=8000) == pytest.approx(0.0, abs=0.1)
    assert loudness(0 * tone, sample_rate=48_000) == -float("inf")


def test_crops_are_brought_to_a_loudness(tmp_path):
    write(tmp_path, "a.wav", noise(2 * RATE, 0.01))
    dataset = build(entry(tmp_path), volume_norm=True, volume_norm_param=(-16.0, 0.0))
    assert loudness(dataset[0].values, sample_rate=RATE) == pytest.approx(-16, abs=0.1)
    varied = build(entry(tmp_path), volume_norm=True, volume_norm_param=(-16.0, 3.0))
    levels = [loudness(varied[Draw(n, 0)].values, sample_rate=RATE) for n in range(12)]
    assert all(-19.2 < level < -12.8 for level in levels)
    assert max(levels) - min(levels) > 2


def test_what_would_clip_is_turned_down_and_silence_stays():
    audio = torch.zeros(2, RATE)
    audio[:, ::400] = 0.5
    assert normalize_loudness(audio, target=0.0, sample_rate=RATE).abs().max() == pytest.approx(
        0.95
    )
    silent = torch.full((2, RATE), 1e-4)
    assert torch.equal(normalize_loudness(silent, target=-16.0, sample_rate=RATE), silent)


def test_second_look_at_a_folder_opens_nothing_and_a_changed_file_is_seen(music, monkeypatch):
    opened = []
    probe = audio_dir.probe

    def counting(path):
        opened.append(str(path))
        return probe(path)

    monkeypatch.setattr(audio_dir, "probe", counting)
    build(entry(music))
    assert len(opened) == 4
    build(entry(music))
    assert len(opened) == 4
    write(music, "x.wav", noise(SIZE))
    write(music, "y.wav", noise(SIZE))
    dataset = build(entry(music))
    assert sorted(opened[4:]) == [f"{music}/x.wav", f"{music}/y.wav"]
    assert {source.relpath: source.info.frames for source in dataset.sources}["x.wav"] == SIZE


def test_failures_are_not_kept(music):
    (music / "x.wav").write_bytes(b"no audio")
    with pytest.raises(DataError):
        build(entry(music))
    with pytest.raises(DataError):
        build(entry(music))


def test_damaged_index_is_made_anew(music):
    build(entry(music))
    (index,) = Path(os.environ["SAT_CACHE_DIR"]).rglob("*.msgpack")
    index.write_bytes(b"damaged")
    assert len(build(entry(music))) == 4
    assert index.stat().st_size > 100
