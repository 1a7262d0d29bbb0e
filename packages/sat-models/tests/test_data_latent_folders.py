"""Folders that SAT's pre_encode.py and Stable Audio 3 wrote."""

import json
import logging

import numpy as np
import pytest
import torch

from sat_config.audio.dataset import LatentFolder, PreEncodedNode
from sat_models.data.batch import BadItem, CodeBatch
from sat_models.data.build import build_dataset
from sat_models.data.dataset import Draw
from sat_models.data.latent_details import check_latents
from sat_models.data.ledger import Ledger
from sat_models.errors import DataError

RATE, HOP, DIM, FRAMES = 8000, 100, 4, 20


def write(folder, name, array, **metadata):
    path = folder / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    frames = array.shape[-1]
    content = {
        "padding_mask": [1] * frames,
        "seconds_start": 0,
        "seconds_total": 10,
        "timestamps": [0.0, 1.0],
        "sample_rate": RATE,
        "path": "/music/a.wav",
        "relpath": "a.wav",
        **metadata,
    }
    path.with_suffix(".json").write_text(json.dumps(content))


def latents(seed, frames=FRAMES):
    return np.random.default_rng(seed).standard_normal((DIM, frames)).astype(np.float32)


@pytest.fixture
def sat(tmp_path):
    """Two ranks, one item of them padded, and details as SAT writes them."""
    folder = tmp_path / "sat"
    write(folder, "0/0000000000000", latents(0), seconds_start=3, timestamps=[0.3, 0.325])
    mask = [1] * 12 + [0] * 8
    write(folder, "1/0010000000000", latents(1), padding_mask=mask, prompt="a bell")
    details = {"model_config": "vae.json", "sample_size": FRAMES * HOP, "args": {"batch_size": 1}}
    (folder / "details.json").write_text(json.dumps(details))
    return folder


def build(folder, *, ledger=None, training=True, **options):
    entry = {key: options.pop(key) for key in ("weight", "filelist_path") if key in options}
    node = PreEncodedNode(datasets=(LatentFolder(id="x", path=str(folder), **entry),), **options)
    return build_dataset(
        node,
        sample_rate=RATE,
        sample_size=1,
        channels=1,
        seed=1,
        training=training,
        ledger=ledger or Ledger(None, on_bad_file="error"),
    )


def test_sat_layout_is_read_with_its_masks_and_metadata(sat):
    dataset = build(sat)
    first, second = dataset[0], dataset[1]
    assert [first.item.id, second.item.id] == ["x/0/0000000000000.npy", "x/1/0010000000000.npy"]
    assert torch.equal(second.values, torch.from_numpy(latents(1)))
    assert second.padding_mask.tolist() == [True] * 12 + [False] * 8
    assert second.item.metadata["prompt"] == "a bell"
    assert second.item.seconds_total == 10
    assert first.item.seconds_start == 3


def test_crop_of_sats_latents_moves_the_start_by_its_length(sat):
    write(sat, "0/0000000000001", latents(2, 2000), seconds_start=3)
    details = {"sample_size": 2000 * HOP}
    (sat / "details.json").write_text(json.dumps(details))
    dataset = build(sat, latent_crop_length=10, random_crop=True)
    for epoch in range(5):
        item = dataset[Draw(epoch, 1)].item
        assert item.seconds_start == 3 + item.metadata["latent_crop_start"] * HOP // RATE


def test_flat_layout_of_any_length_is_filled_with_its_silence(tmp_path):
    write(tmp_path, "0000000000", latents(0, 7), prompt="short", timestamps=[0.0, 1.0])
    write(tmp_path, "0000000001", latents(1, 12))
    silence = latents(9, 3)
    np.save(tmp_path / "silence.npy", silence[None])
    dataset = build(tmp_path)
    assert len(dataset) == 2
    short = dataset[0]
    assert short.values.shape == (DIM, 12)
    assert short.padding_mask.tolist() == [True] * 7 + [False] * 5
    expected = np.concatenate([latents(0, 7), silence, silence[:, :2]], axis=1)
    assert torch.equal(short.values, torch.from_numpy(expected))


def test_without_silence_items_are_filled_with_zeros(tmp_path):
    write(tmp_path, "a", latents(0, 7))
    write(tmp_path, "b", latents(1, 12))
    assert build(tmp_path)[0].values[:, 7:].abs().sum() == 0


def test_start_of_a_crop_is_estimated_where_no_details_are(tmp_path):
    write(tmp_path, "a", latents(0, 500), timestamps=[0.0, 0.5], seconds_total=100)
    dataset = build(tmp_path, latent_crop_length=10, random_crop=True)
    item = dataset[Draw(4, 0)].item
    assert item.metadata["latent_crop_start"] > 50
    assert item.seconds_start == item.metadata["latent_crop_start"] * 50 // 500


def test_lengths_choose_the_items(sat):
    write(sat, "0/0000000000001", latents(2), seconds_total=99)
    assert len(build(sat, max_length_sec=20.0)) == 2
    assert len(build(sat, min_length_sec=20.0)) == 1
    with pytest.raises(DataError, match="none of 3 encoded items comes from a file of 100 to inf"):
        build(sat, min_length_sec=100.0)


def test_file_list_and_weights_choose_the_items(sat, tmp_path):
    (sat / "filelist.txt").write_text("1/0010000000000.npy\n")
    assert [source.id for source in build(sat).sources] == ["x/1/0010000000000.npy"]
    (tmp_path / "mine.txt").write_text("0/0000000000000.npy\n\n")
    chosen = build(sat, filelist_path=str(tmp_path / "mine.txt"))
    assert [source.id for source in chosen.sources] == ["x/0/0000000000000.npy"]
    with pytest.raises(DataError, match=r"nowhere\.txt: no such file"):
        build(sat, filelist_path="nowhere.txt")


def test_latents_without_metadata_are_left_out_and_said(sat, tmp_path):
    (sat / "0" / "0000000000000.json").unlink()
    ledger = Ledger(tmp_path / "bad.jsonl", on_bad_file="skip")
    assert len(build(sat, ledger=ledger)) == 1
    assert json.loads((tmp_path / "bad.jsonl").read_text())["reason"] == (
        "has no metadata beside it (0000000000000.json)"
    )


@pytest.mark.parametrize("turned", [False, True])
def test_codes_come_as_codes_however_sat_turned_them(tmp_path, turned):
    codes = np.random.default_rng(0).integers(0, 1024, (3, 30))
    write(tmp_path, "a", codes.T if turned else codes)
    dataset = build(tmp_path)
    batch = dataset.stack([dataset[0]])
    assert isinstance(batch, CodeBatch)
    assert torch.equal(batch.codes[0], torch.from_numpy(codes))
    assert batch.codes.dtype == torch.int64


def test_folders_of_other_channels_are_not_mixed(tmp_path):
    write(tmp_path, "a", latents(0))
    write(tmp_path, "b", np.zeros((5, FRAMES), np.float32))
    with pytest.raises(DataError, match="do not have the same channels"):
        build(tmp_path)


def test_unknown_autoencoder_is_taken_on_trust_aloud(sat, caplog):
    (details,) = build(sat).details
    with caplog.at_level(logging.WARNING):
        check_latents(
            details,
            latent_dim=DIM,
            hop_length=HOP,
            sample_rate=RATE,
            autoencoder_fingerprint="f" * 16,
        )
    assert "nothing in" in caplog.text


def test_half_precision_comes_as_float32(tmp_path):
    write(tmp_path, "a", latents(0).astype(np.float16))
    assert build(tmp_path)[0].values.dtype == torch.float32


def test_changed_file_is_noticed(tmp_path):
    write(tmp_path, "a", latents(0))
    assert build(tmp_path)[0].values.shape == (DIM, FRAMES)
    write(tmp_path, "a", latents(0, 30))
    assert build(tmp_path)[0].values.shape == (DIM, 30)


def test_file_that_shrinks_while_it_is_used_is_a_bad_item(sat):
    dataset = build(sat)
    np.save(sat / "0" / "0000000000000.npy", latents(0, 5))
    item = dataset[0]
    assert isinstance(item, BadItem)
    assert "has shape (4, 5), and (4, 20) was expected" in item.reason
