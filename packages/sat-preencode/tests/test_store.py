import fcntl
import hashlib
import io
import os
import stat
import tarfile

import msgspec
import numpy as np
import pytest

from sat_models.data.audio_dir import AudioFile
from sat_models.models.chunks import Chunk
from sat_preencode.disk import write_whole
from sat_preencode.errors import StoreError
from sat_preencode.plan import Item, Plan, PlannedItem, Source
from sat_preencode.records import key_of, read_folder, read_plan
from sat_preencode.settings import Details, Settings
from sat_preencode.store import LatentStore

LATENTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def item(start=0):
    return Item(
        id=f"m/x.wav#{start}",
        dataset="m",
        relpath="x.wav",
        start_sample=start,
        num_samples=30,
        frames=4,
        valid_frames=4,
        seconds_start=start / 1000,
        seconds_total=0.9,
        content_sha256="c" * 64,
        metadata_sha256="d" * 64,
    )


def details(**changes):
    settings = Settings(
        **{
            "autoencoder_fingerprint": "0123456789abcdef",
            "sample_rate": 1000,
            "sample_size": 32,
            "whole_files": False,
            "window_overlap": None,
            "channels": 1,
            "tokens": False,
            "latent": "sample",
            "seed": 42,
            "arithmetic": "float32",
            "dtype": "float32",
            "encoder": {"encoder": {"type": "oobleck", "config": {"strides": [2, 4]}}},
        }
        | changes
    )
    return Details(
        config={"name": "x"},
        checkpoint="vae.ckpt",
        autoencoder_fingerprint=settings.autoencoder_fingerprint,
        settings_fingerprint=settings.fingerprint,
        sample_rate=1000,
        hop_length=8,
        latent_dim=3,
        latent="sample",
        sample_size=32,
        dtype="float32",
        layout="wds",
        settings=settings,
        model_config={},
        dataset_config={},
        args={},
    )


def plan(count=3, *, batch_size=1):
    file = AudioFile("m", "/here", "x.wav", 9, "", None, None)
    source = Source("m", "x.wav", file, 900, "c" * 64, {}, "d" * 64, None)
    window = Chunk(start=0, stop=4, keep_start=0, keep_stop=4)
    items = tuple(PlannedItem(item(32 * n), source, 4, (window,)) for n in range(count))
    return Plan(items=items, batch_size=batch_size, seconds=1.0, left_out_seconds=0.0)


def store_in(folder, **changes):
    return LatentStore(folder, details=details(**changes), on_change="error")


@pytest.fixture
def store(tmp_path):
    store = store_in(tmp_path / "latents")
    with store.opened():
        yield store


def fill(store, shard):
    writer = store.begin(shard)
    for found in shard.items:
        writer.write(found.item, LATENTS, metadata={"prompt": "a bell"})
    return writer.finish()


def test_plan_is_written_before_anything_and_says_where_items_go(store):
    shards = store.settle(plan(5, batch_size=2), shard_size=3)
    rows = read_plan(store.folder)
    assert [(row.start_sample, row.shard, row.batch) for row in rows] == [
        (0, 0, 0),
        (32, 0, 0),
        (64, 0, 1),
        (96, 0, 1),
        (128, 1, 0),
    ]
    assert [row.id for row in rows] == [p.item.id for shard in shards for p in shard.items]
    assert {path.name for path in store.folder.iterdir()} == {
        ".locks",
        "details.json",
        "plan.jsonl",
    }


def test_settling_again_changes_nothing(store):
    store.settle(plan(), shard_size=2)
    before = {path: path.stat().st_mtime_ns for path in store.folder.glob("*.json*")}
    store.settle(plan(), shard_size=1)
    assert {path: path.stat().st_mtime_ns for path in store.folder.glob("*.json*")} == before


def test_another_batch_size_leaves_the_plan_as_it_is(store):
    before = store.settle(plan(6, batch_size=2), shard_size=2)
    after = store.settle(plan(6, batch_size=1), shard_size=2)
    assert [shard.rows for shard in after] == [shard.rows for shard in before]


def test_tar_is_what_webdataset_and_tarfile_expect(store):
    (shard,) = store.settle(plan(2), shard_size=2)
    record = fill(store, shard)
    with tarfile.open(store.folder / "000000.tar") as tar:
        members = tar.getmembers()
    keys = [key_of(found.item.id) for found in shard.items]
    assert [member.name for member in members] == [
        f"{key}.{ending}" for key in keys for ending in ("npy", "json")
    ]
    facts = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.isreg()) for m in members}
    assert facts == {(0, 0, 0, "", "", 0o644, True)}
    content = (store.folder / "000000.tar").read_bytes()
    for entry in record.entries:
        values = content[slice(*entry.values)]
        assert hashlib.sha256(values).hexdigest() == entry.sha256
        np.testing.assert_array_equal(np.load(io.BytesIO(values)), LATENTS)
        assert msgspec.json.decode(content[slice(*entry.metadata)]) == {"prompt": "a bell"}


def test_manifest_follows_the_plan_once_all_shards_are_there(store):
    shards = store.settle(plan(4), shard_size=2)
    rows = {shard.number: shard.rows for shard in shards}
    fill(store, shards[1])
    assert store.finish(rows) is None
    assert not (store.folder / "manifest.jsonl").exists()
    fill(store, shards[0])
    assert store.finish(rows).keys() == {0, 1}
    assert [e.start_sample for e in read_folder(store.folder)[1]] == [0, 32, 64, 96]


@pytest.mark.parametrize("victim", ["000000.tar", "000000.json"])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_damaged_shard_is_not_taken_for_finished(store, victim, damage):
    (shard,) = store.settle(plan(), shard_size=3)
    record = fill(store, shard)
    assert store.record(0, shard.rows) == record
    path = store.folder / victim
    content = path.read_bytes()
    path.unlink() if damage == "gone" else path.write_bytes(content[:-3])
    assert store.record(0, shard.rows) is None


def test_claimed_shard_is_nobody_elses_until_it_is_let_go(store):
    first, second = store.settle(plan(2), shard_size=1)
    other = store_in(store.folder)
    with other.opened():
        assert other.settle(plan(2), shard_size=1) == (first, second)
        with store.claim(first):
            assert other.claim(first) is None
            with other.claim(second):
                assert store.claim(second) is None
        with other.claim(first):
            fill(other, first)
        assert store.claim(first) is None


def test_file_system_without_locks_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(38, "No locks")))
    with (
        pytest.raises(StoreError, match=r"cannot be locked \(No locks\).*output_path"),
        store_in(tmp_path / "latents").opened(),
    ):
        pass


def test_latents_of_another_shape_are_refused(store):
    (shard,) = store.settle(plan(1), shard_size=1)
    writer = store.begin(shard)
    with pytest.raises(ValueError, match=r"shape \(3, 4\) expected, got \(3, 5\)"):
        writer.write(item(), np.zeros((3, 5), dtype=np.float32), metadata={})
    writer.abandon()
    assert not list(store.folder.glob(".*.partial"))


def test_other_settings_name_each_and_all_ways_out(store):
    store.settle(plan(), shard_size=1)
    strides = {"encoder": {"type": "oobleck", "config": {"strides": [2]}}}
    with (
        pytest.raises(StoreError) as caught,
        store_in(store.folder, seed=7, encoder=strides).opened(),
    ):
        pass
    message = str(caught.value)
    assert "encoder.encoder.config.strides: [2,4] there, [2] now" in message
    assert "seed: 42 there, 7 now" in message
    assert "sample_rate" not in message
    assert "Set preencode.output_path to another folder" in message
    assert "restore these settings" in message
    assert 'set preencode.on_change = "encode"' in message


def test_other_layout_is_refused(store):
    store.settle(plan(), shard_size=1)
    other = msgspec.structs.replace(details(), layout="sat")
    with (
        pytest.raises(StoreError, match='format: "wds" there, "sat" now'),
        LatentStore(store.folder, details=other, on_change="error").opened(),
    ):
        pass


def test_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with (
        pytest.raises(StoreError, match=r"is not empty and has no details\.json"),
        store_in(tmp_path).opened(),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "does not describe a latent folder"),
        ('{"format": "sat-latents", "version": 1}', "describes sat-latents version 1"),
        ('{"format": "sat-latents", "version": 3}', "is damaged"),
    ],
)
def test_details_that_cannot_be_read_are_refused(tmp_path, content, said):
    (tmp_path / "details.json").write_text(content)
    with pytest.raises(StoreError, match=said), store_in(tmp_path).opened():
        pass


def test_settings_fingerprint_follows_every_setting():
    assert details().settings_fingerprint == details().settings_fingerprint
    assert details(seed=7).settings_fingerprint != details().settings_fingerprint


def test_write_whole_leaves_the_old_file_when_the_new_one_fails(tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_whole(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(StoreError, match="No space left; what has been finished is kept"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"


def test_write_whole_uses_up_what_a_killed_process_left(tmp_path):
    (tmp_path / ".x.partial").write_bytes(b"half of something longer than the new content")
    write_whole(tmp_path / "x", b"new")
    assert [child.name for child in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"new"


def test_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="cannot write"),
        store_in(tmp_path / "file" / "latents").opened(),
    ):
        pass


def test_written_files_have_ordinary_permissions(tmp_path):
    write_whole(tmp_path / "x", b"")
    (tmp_path / "y").write_bytes(b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("x", "y")}
    assert len(modes) == 1
