import os

import numpy as np
import pytest
import soundfile
import torch

from sat_config.audio.dataset import AudioDirNode, Folder
from sat_models.audio import read_audio
from sat_models.data.audio_dir import find_audio
from sat_models.data.batch import BadItem
from sat_models.data.build import build_dataset
from sat_models.data.dataset import Draw
from sat_models.data.ledger import Ledger
from sat_models.errors import DataError

RATE = 8000
SIZE = 1000


def write(path, frames, channels=2, rate=RATE):
    """Noise that is loud, so that a flipped or moved crop differs everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(frames)
    soundfile.write(path, rng.uniform(-0.9, 0.9, (frames, channels)), rate)
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "music"
    write(folder / "long.wav", 20 * SIZE)
    write(folder / "b" / "short.flac", 300, channels=1)
    write(folder / "other rate.WAV", 44_100, rate=44_100)
    return folder


def node(*folders, **options):
    named = tuple(Folder(id=f"f{n}", path=str(folder)) for n, folder in enumerate(folders))
    return AudioDirNode(datasets=named, **options)


def build(node, *, training=True, seed=1, ledger=None, channels=2):
    return build_dataset(
        node,
        sample_rate=RATE,
        sample_size=SIZE,
        channels=channels,
        seed=seed,
        training=training,
        ledger=ledger or Ledger(None, on_bad_file="error"),
    )


def test_find_audio_lists_each_folder_sorted_without_hidden_and_other_files(folder, tmp_path):
    for name in (".hidden.wav", ".trash/a.wav", "notes.txt", "x.mp3", "y.OPUS", "z.aif", "wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    other = write(tmp_path / "more" / "a.ogg", 100).parent
    found = find_audio(node(other, folder))
    assert [file.id for file in found] == [
        "f0/a.ogg",
        "f1/b/short.flac",
        "f1/long.wav",
        "f1/other rate.WAV",
        "f1/x.mp3",
        "f1/y.OPUS",
        "f1/z.aif",
    ]
    assert found[1].path == f"{folder}/b/short.flac"


def test_find_audio_follows_links_once(folder, tmp_path):
    outside = write(tmp_path / "outside" / "c.wav", 100).parent
    os.symlink(outside, folder / "link")
    os.symlink(folder, folder / "back")
    names = [file.relpath for file in find_audio(node(folder))]
    assert names == ["b/short.flac", "link/c.wav", "long.wav", "other rate.WAV"]


def test_folder_that_is_missing_or_empty_is_named(tmp_path):
    with pytest.raises(DataError, match=r"dataset 'f0': .*/nowhere is not a folder"):
        find_audio(node(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"dataset 'f0': no audio file in .* looked for \.wav"):
        find_audio(node(tmp_path))


def test_two_folders_with_one_id_are_refused(folder):
    twice = AudioDirNode(datasets=(Folder(id="a", path=str(folder)),) * 2)
    with pytest.raises(DataError, match="two entries of the dataset have the id 'a'"):
        find_audio(twice)


def test_crops_change_with_epoch_and_seed_and_come_back(folder):
    dataset = build(node(folder))
    starts = {dataset[Draw(epoch, 1)].item.start_sample for epoch in range(20)}
    assert len(starts) > 15
    assert max(starts) <= 19 * SIZE
    assert {dataset[Draw(epoch, 1)].item.start_sample for epoch in range(20)} == starts
    assert build(node(folder), seed=2)[1].item != dataset[1].item
    assert torch.equal(dataset[1].values, dataset[Draw(0, 1)].values)


def test_crop_is_that_part_of_the_file_and_says_so(folder):
    dataset = build(node(folder, phase_flip=0.0))
    sample = dataset[Draw(3, 2)]
    item = sample.item
    expected = read_audio(
        folder / "other rate.WAV",
        start=item.start_sample,
        num_samples=SIZE,
        sample_rate=RATE,
        channels=2,
    )
    assert torch.equal(sample.values, expected)
    assert sample.padding_mask.all()
    assert (item.id, item.path) == ("f0/other rate.WAV", str(folder / "other rate.WAV"))
    assert item.seconds_total == 1


def test_seconds_are_rounded_as_sat_does(folder):
    dataset = build(node(folder))
    for epoch in range(10):
        item = dataset[Draw(epoch, 1)].item
        assert item.seconds_start == item.start_sample // RATE
        assert item.seconds_total == 3  # 2.5 rounded up


def test_short_file_is_padded_and_masked(folder):
    sample = build(node(folder, phase_flip=0.0))[Draw(5, 0)]
    assert sample.values.shape == (2, SIZE)
    assert sample.padding_mask.tolist() == [True] * 300 + [False] * (SIZE - 300)
    assert sample.values[:, 300:].abs().max() == 0
    assert torch.equal(sample.values[0], sample.values[1])
    assert (sample.item.start_sample, sample.item.seconds_total) == (0, 1)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, range(1)), (0.5, range(80, 120)), (1.0, [200])]
)
def test_share_of_crops_is_flipped_in_sign(folder, share, expected):
    flipped = build(node(folder, random_crop=False, phase_flip=share))
    plain = build(node(folder, random_crop=False), training=False)[1].values
    values = [flipped[Draw(epoch, 1)].values for epoch in range(200)]
    count = sum(torch.equal(value, -plain) for value in values)
    assert count in expected
    assert sum(torch.equal(value, plain) for value in values) == 200 - count


def test_validation_takes_the_start_of_every_file_unflipped_without_random_crops(folder):
    dataset = build(node(folder, random_crop=False, phase_flip=1.0), training=False)
    for index, file in enumerate(find_audio(node(folder))):
        expected = read_audio(file.path, start=0, num_samples=SIZE, sample_rate=RATE, channels=2)
        sample = dataset[Draw(7, index)]
        assert sample.item.start_sample == 0
        assert torch.equal(sample.values[:, : expected.shape[1]], expected)


def test_validation_never_flips(folder):
    crops = [build(node(folder, phase_flip=share), training=False)[Draw(7, 1)] for share in (0, 1)]
    assert torch.equal(crops[0].values, crops[1].values)


def test_dataset_ends_like_a_sequence(folder):
    dataset = build(node(folder))
    assert len(dataset) == 3
    with pytest.raises(IndexError):
        dataset[3]


def test_files_that_cannot_be_opened_are_left_out_and_recorded(folder, tmp_path, caplog):
    (folder / "broken.wav").write_bytes(b"no audio at all")
    write(folder / "surround.wav", SIZE, channels=6)
    ledger = Ledger(tmp_path / "bad.jsonl", on_bad_file="skip")
    dataset = build(node(folder), ledger=ledger)
    assert [file.relpath for file in dataset.sources] == [
        "b/short.flac",
        "long.wav",
        "other rate.WAV",
    ]
    assert [message.partition(": ")[0] for message in caplog.messages] == [
        f"left out {folder}/broken.wav",
        f"left out {folder}/surround.wav",
    ]
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 2


def test_file_that_cannot_be_opened_stops_the_run_if_that_is_asked_for(folder):
    (folder / "broken.wav").write_bytes(b"no audio at all")
    with pytest.raises(DataError, match=r"broken\.wav: cannot be decoded: Format not recognised"):
        build(node(folder))


def test_folder_of_bad_files_only_is_an_error_with_reasons(tmp_path):
    for number in range(7):
        (tmp_path / f"{number}.wav").write_bytes(b"no audio at all")
    with pytest.raises(DataError) as caught:
        build(node(tmp_path), ledger=Ledger(None, on_bad_file="skip"))
    lines = str(caught.value).splitlines()
    assert lines[0] == f"no readable audio in {tmp_path}: all 7 files were refused"
    assert lines[1].strip() == f"{tmp_path}/0.wav: cannot be decoded: Format not recognised"
    assert lines[-1].strip() == "and 2 more"


def test_file_that_fails_when_it_is_read_comes_as_a_bad_item(folder):
    dataset = build(node(folder, random_crop=False), training=False)
    (folder / "long.wav").unlink()
    assert dataset[1] == BadItem(str(folder / "long.wav"), f"{folder}/long.wav: no such file", 0)


def test_metadata_has_sats_names_and_reaches_the_batch(folder):
    dataset = build(node(folder, random_crop=False), training=False)
    batch = dataset.stack([dataset[0], dataset[1]])
    short, long = batch.metadata
    assert short["relpath"] == "b/short.flac"
    assert short["timestamps"] == (0.0, 1.0)
    assert long["timestamps"] == pytest.approx((0.0, 1 / 20))
    assert (long["seconds_start"], long["seconds_total"], long["sample_rate"]) == (0.0, 3.0, RATE)
    assert torch.equal(short["padding_mask"][0], batch.padding_mask[0])
    assert torch.equal(short["audio"], batch.audio[0])
