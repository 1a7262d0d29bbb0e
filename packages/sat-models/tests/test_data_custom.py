"""Python files that add to the metadata of items."""

import argparse
import hashlib
import os

import numpy as np
import pytest
import soundfile
import torch

from sat_config import custom_code
from sat_config.audio.dataset import AudioDirNode, Folder, LatentFolder, PreEncodedNode
from sat_models.data import custom
from sat_models.data.batch import BadItem
from sat_models.data.build import build_dataset
from sat_models.data.ledger import Ledger
from sat_models.errors import CustomCodeError, DataError

RATE, SIZE = 8000, 1000


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    monkeypatch.setattr(custom_code, "_allowed", True)


@pytest.fixture
def music(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "music").mkdir()
    for name, frames in (("a", 5 * SIZE), ("b", 300)):
        audio = rng.uniform(-0.9, 0.9, (frames, 2))
        soundfile.write(tmp_path / "music" / f"{name}.wav", audio, RATE)
    return tmp_path / "music"


def module(folder, text):
    path = folder.parent / "custom_md.py"
    path.write_text(text)
    return str(path)


def build(folder, text, *, ledger=None, **options):
    entry = Folder(id="m", path=str(folder), custom_metadata_module=module(folder, text))
    return build_dataset(
        AudioDirNode(datasets=(entry,), random_crop=False, phase_flip=0.0, **options),
        sample_rate=RATE,
        sample_size=SIZE,
        channels=2,
        seed=1,
        training=True,
        ledger=ledger or Ledger(None, on_bad_file="error"),
    )


def test_module_adds_to_what_sat_gives_it(music):
    dataset = build(
        music,
        "def get_custom_metadata(info, audio):\n"
        "    keys = sorted(info)\n"
        "    return {'prompt': info['relpath'], 'peak': audio.abs().max(), 'keys': keys,\n"
        "            'heard': int(info['padding_mask'].sum())}\n",
    )
    metadata = dataset[1].item.metadata
    assert metadata["prompt"] == "b.wav"
    assert metadata["peak"] == dataset[1].values.abs().max()
    assert metadata["heard"] == 300
    assert metadata["keys"] == [
        *("padding_mask", "path", "relpath", "sample_rate"),
        *("seconds_start", "seconds_total", "timestamps"),
    ]


def test_process_has_to_be_told(music, monkeypatch):
    monkeypatch.setattr(custom_code, "_allowed", False)
    monkeypatch.setattr(custom_code, "_command", None)
    with pytest.raises(CustomCodeError, match=r"wants to run .*custom_md\.py .*custom_code\.allow"):
        build(music, "open('ran', 'w')")
    arguments = argparse.Namespace(allow_custom_code=False)
    custom_code.take_flag(arguments, prog="sat-train", argv=["my file.toml"])
    with pytest.raises(CustomCodeError, match=r"\n  sat-train 'my file.toml' --allow-custom-code$"):
        build(music, "open('ran', 'w')")
    custom_code.allow()
    assert len(build(music, "def get_custom_metadata(info, audio):\n    return {}\n")) == 2


def test_rejected_item_is_left_out_with_its_reason(music):
    dataset = build(
        music, "def get_custom_metadata(info, audio):\n    return {'__reject__': True}\n"
    )
    item = dataset[0]
    assert isinstance(item, BadItem)
    assert item.reason == f"rejected by {music.parent}/custom_md.py"


def test_further_audio_is_cut_like_the_item(music):
    text = (
        "import torch\n"
        "def get_custom_metadata(info, audio):\n"
        "    count = int(info['seconds_total'] * 8000)\n"
        "    return {'__audio__': {'drums': torch.arange(600.)[None] / 600}}\n"
    )
    drums = build(music, text)[0].item.metadata["drums"]
    assert drums.shape == (2, SIZE)
    assert torch.equal(drums[0, :600], torch.arange(600.0) / 600)
    assert drums[:, 600:].abs().sum() == 0
    assert "__audio__" not in build(music, text)[0].item.metadata


def test_further_audio_of_another_shape_is_refused(music):
    text = "def get_custom_metadata(info, audio):\n    return {'__audio__': {'x': audio[0]}}\n"
    assert "__audio__['x'] has to be a tensor" in build(music, text)[0].reason


def test_failure_has_file_and_line_and_spoils_the_item_only(music):
    text = (
        "def get_custom_metadata(info, audio):\n"
        "    titles = {'a.wav': 'one'}\n"
        "    return {'prompt': titles[info['relpath']]}\n"
    )
    dataset = build(music, text)
    assert dataset[0].item.metadata["prompt"] == "one"
    assert dataset[1].reason == (
        f"{music.parent}/custom_md.py:3: KeyError: 'b.wav'\n"
        "    return {'prompt': titles[info['relpath']]}"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def get_custom_metadata(info audio):\n", r"custom_md\.py:1: SyntaxError: "),
        ("x = 1\nimport nothing_like_it\n", r"custom_md\.py:2: ModuleNotFoundError: No module"),
        ("x = 1\n", r"custom_md\.py: has no function get_custom_metadata\(info, audio\)"),
    ],
)
def test_module_that_cannot_be_loaded_stops_at_once(music, text, reason):
    with pytest.raises(DataError, match=reason):
        build(music, text)


def test_missing_module_is_named(music):
    entry = Folder(id="m", path=str(music), custom_metadata_module="nowhere.py")
    with pytest.raises(DataError, match=r"custom_metadata_module nowhere\.py: no such file"):
        build_dataset(
            AudioDirNode(datasets=(entry,)),
            sample_rate=RATE,
            sample_size=SIZE,
            channels=2,
            seed=1,
            training=True,
            ledger=Ledger(None, on_bad_file="error"),
        )


def test_what_is_not_a_dict_is_refused(music):
    dataset = build(music, "def get_custom_metadata(info, audio):\n    return 'prompt'\n")
    assert dataset[0].reason.endswith("returned str; it has to return a dict")


def test_module_is_loaded_once_in_each_process(music):
    log = music.parent / "loaded"
    text = (
        f"import os\nwith open({str(log)!r}, 'a') as log:\n"
        "    log.write(f'{os.getpid()}\\n')\n"
        "def get_custom_metadata(info, audio):\n    return {'pid': os.getpid()}\n"
    )
    dataset = build(music, text)
    here = [dataset[index].item.metadata["pid"] for index in (0, 1, 0, 1)]
    loader = torch.utils.data.DataLoader(
        dataset, num_workers=2, collate_fn=lambda found: found[0].item.metadata["pid"]
    )
    there = list(loader)
    assert set(here) == {os.getpid()}
    assert sorted(log.read_text().split()) == sorted(map(str, {os.getpid(), *there}))


def test_record_has_the_module_and_its_hash_and_so_has_the_fingerprint(music):
    text = "def get_custom_metadata(info, audio):\n    return {}\n"
    first = build(music, text).record()
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert first.custom_code == {str(music.parent / "custom_md.py"): digest}
    assert build(music, text).record() == first
    assert build(music, text + "# changed\n").record().fingerprint != first.fingerprint


def test_module_that_changes_under_way_is_noticed(music):
    dataset = build(music, "def get_custom_metadata(info, audio):\n    return {}\n")
    module(music, "def get_custom_metadata(info, audio):\n    return {'prompt': 'other'}\n")
    custom._load.cache_clear()
    assert "has changed since the dataset was built" in dataset[0].reason


def test_latents_may_be_replaced_and_rejected(tmp_path):
    folder = tmp_path / "latents"
    folder.mkdir()
    for number in range(2):
        np.save(folder / f"{number}.npy", np.full((4, 10), number, np.float32))
        (folder / f"{number}.json").write_text('{"seconds_total": 3}')
    text = (
        "def get_custom_metadata(info, latents):\n"
        "    if latents[0, 0] == 1:\n        return {'__reject__': True}\n"
        "    return {'__replace__': latents[:, :6] + 5, 'prompt': 'five'}\n"
    )
    entry = LatentFolder(id="m", path=str(folder), custom_metadata_module=module(folder, text))
    dataset = build_dataset(
        PreEncodedNode(datasets=(entry,)),
        sample_rate=RATE,
        sample_size=1,
        channels=2,
        seed=1,
        training=True,
        ledger=Ledger(None, on_bad_file="error"),
    )
    sample = dataset[0]
    assert sample.values[0].tolist() == [5] * 6 + [0] * 4
    assert sample.item.metadata["prompt"] == "five"
    assert "__replace__" not in sample.item.metadata
    assert dataset[1].reason == f"rejected by {tmp_path}/custom_md.py"
