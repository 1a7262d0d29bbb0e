"""Tar shards as webdataset reads them, and folders as stable-audio-tools does."""

import hashlib
import shutil

import numpy as np
import pytest
import torch

from sat_config.audio.dataset import LatentFolder, PreEncodedNode, ShardFolder, WebDatasetNode
from sat_models.data.build import build_dataset
from sat_models.data.ledger import Ledger
from sat_models.errors import DataError
from sat_preencode import PreencodeError, StoreError
from sat_preencode.cli import main


def read(node):
    """Samples by the id of the item."""
    dataset = build_dataset(
        node,
        sample_rate=8000,
        sample_size=256,
        channels=2,
        seed=0,
        training=False,
        ledger=Ledger(None, on_bad_file="error"),
    )
    samples = [dataset[at] for at in range(len(dataset))]
    return {sample.item.metadata["id"]: sample for sample in samples}


@pytest.mark.parametrize("layout", ["wds", "sat"])
def test_training_reads_either_layout(world, layout):
    (world.root / "audio/d.txt").write_text("a bell")
    world.preencode(**world.with_table(format=layout))
    samples = read(PreEncodedNode(datasets=(LatentFolder(id="x", path=str(world.latents)),)))
    arrays = world.arrays()
    assert samples.keys() == arrays.keys()
    for name, sample in samples.items():
        assert torch.equal(sample.values, torch.from_numpy(arrays[name]))
    assert samples["music/d.wav#000000000000"].item.metadata["prompt"] == "a bell"


def test_shards_are_a_webdataset(world):
    world.preencode()
    folder = ShardFolder(id="x", path=str(world.latents))
    samples = read(WebDatasetNode(datasets=(folder,), pre_encoded=True))
    arrays = world.arrays()
    assert samples.keys() == arrays.keys()
    for name, sample in samples.items():
        np.testing.assert_array_equal(sample.values.numpy(), arrays[name])


def test_webdataset_reader_takes_what_the_manifest_lists_and_nothing_else(world):
    world.preencode()
    node = WebDatasetNode(
        datasets=(ShardFolder(id="x", path=str(world.latents)),), pre_encoded=True
    )
    names = read(node).keys()
    shutil.copy(world.latents / "000000.tar", world.latents / "000009.tar")
    assert read(node).keys() == names
    (world.latents / "manifest.jsonl").unlink()
    with pytest.raises(DataError, match="has not finished there"):
        read(node)


@pytest.mark.parametrize(("key", "value"), [("dtype", "bfloat16"), ("latent", "mean_scale")])
def test_layout_of_sat_keeps_only_what_sat_can_read(world, key, value):
    with pytest.raises(PreencodeError, match=f'preencode.{key} "{value}" is nothing'):
        world.preencode(**world.with_table(format="sat", **{key: value}))


def test_layout_of_sat_has_files_that_the_manifest_lists(world):
    world.preencode()
    tars = world.stored()
    other = {"output_path": str(world.root / "other"), "format": "sat"}
    world.preencode(**world.with_table(**other))
    folder = world.root / "other"
    assert world.stored(folder) == tars
    key = hashlib.sha256(b"music/d.wav#000000000000").hexdigest()[:16]
    assert {path.name for path in (folder / "000002").iterdir()} == {f"{key}.npy", f"{key}.json"}
    assert main(["verify", str(folder), "--decode", "1"]) == 0


def test_other_layout_replaces_the_one_that_is_there_only_if_that_is_asked_for(world):
    world.preencode()
    before = world.stored()
    with pytest.raises(StoreError, match='format: "wds" there, "sat" now'):
        world.preencode(**world.with_table(format="sat"))
    world.preencode(**world.with_table(format="sat", on_change="encode"))
    assert world.stored() == before
    assert not world.files(named="*.tar")


def test_folder_that_lacks_a_file_is_made_again(world):
    table = world.with_table(format="sat")
    world.preencode(**table)
    reference = world.files()
    next((world.latents / "000001").glob("*.npy")).unlink()
    assert world.preencode(**table).encoded == 4
    assert world.files() == reference
