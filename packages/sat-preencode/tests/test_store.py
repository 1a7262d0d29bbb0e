import hashlib
import os
import stat

import msgspec
import numpy as np
import pytest

from sat_preencode.errors import StoreError
from sat_preencode.plan import Item
from sat_preencode.settings import Details, Settings
from sat_preencode.store import LatentStore, write_whole

LATENTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def item(start=0):
    return Item(
        id=f"m/x.wav#{start}",
        file=f"m/x.wav/{start:012d}.npy",
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
        dtype="float32",
        sample_size=32,
        settings=settings,
    )


@pytest.fixture
def store(tmp_path):
    store = LatentStore(tmp_path / "latents", channels=3)
    store.folder.mkdir()
    return store


def test_written_item_is_found_with_the_sum_of_its_file(store):
    entry = store.write(item(), LATENTS, metadata={"prompt": "a bell"})
    path = store.folder / "m/x.wav/000000000000.npy"
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert store.find(item()) == entry
    np.testing.assert_array_equal(np.load(path), LATENTS)


def test_sidecar_holds_metadata_and_the_manifest_line(store):
    entry = store.write(item(), LATENTS, metadata={"prompt": "a bell"})
    store.write_manifest([entry])
    (line,) = (store.folder / "manifest.jsonl").read_bytes().splitlines()
    sidecar = msgspec.json.decode((store.folder / "m/x.wav/000000000000.json").read_bytes())
    assert sidecar == {"prompt": "a bell", **msgspec.json.decode(line)}


def test_manifest_is_sorted(store):
    entries = [store.write(item(start), LATENTS, metadata={}) for start in (64, 0, 32)]
    store.write_manifest(entries)
    lines = (store.folder / "manifest.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line)["start_sample"] for line in lines] == [0, 32, 64]


@pytest.mark.parametrize("victim", ["000000000000.npy", "000000000000.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_damaged_item_is_not_taken_for_finished(store, victim, damage):
    store.write(item(), LATENTS, metadata={"prompt": "a bell"})
    path = store.folder / "m/x.wav" / victim
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-3])
    else:
        path.write_bytes(content[:-4] + bytes([content[-4] ^ 1]) + content[-3:])
    assert store.find(item()) is None


def test_item_whose_file_has_changed_length_is_made_again(store):
    store.write(item(), LATENTS, metadata={"prompt": "a bell"})
    assert store.find(msgspec.structs.replace(item(), seconds_total=1.1)) is None


def test_latents_of_another_shape_are_refused(store):
    with pytest.raises(ValueError, match=r"shape \(3, 4\) expected, got \(3, 5\)"):
        store.write(item(), np.zeros((3, 5), dtype=np.float32), metadata={})


def test_claim_twice_with_equal_settings_changes_nothing(store):
    store.claim(details())
    before = (store.folder / "details.json").stat()
    store.claim(details())
    after = (store.folder / "details.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_claim_with_other_settings_names_each_and_both_ways_out(store):
    store.claim(details())
    with pytest.raises(StoreError) as caught:
        store.claim(
            details(seed=7, encoder={"encoder": {"type": "oobleck", "config": {"strides": [2]}}})
        )
    message = str(caught.value)
    assert "encoder.encoder.config.strides: [2,4] there, [2] now" in message
    assert "seed: 42 there, 7 now" in message
    assert "sample_rate" not in message
    assert "set preencode.output_path to another folder" in message
    assert "restore these settings" in message


def test_claim_refuses_a_folder_of_something_else(store):
    (store.folder / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"is not empty and has no details\.json"):
        store.claim(details())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "does not describe a latent folder"),
        ('{"format": "sat-latents", "version": 1}', "describes sat-latents version 1"),
        ('{"format": "sat-latents", "version": 2}', "is damaged"),
    ],
)
def test_claim_refuses_details_that_it_cannot_read(store, content, said):
    (store.folder / "details.json").write_text(content)
    with pytest.raises(StoreError, match=said):
        store.claim(details())


def test_settings_fingerprint_follows_every_setting():
    assert details().settings_fingerprint == details().settings_fingerprint
    assert details(seed=7).settings_fingerprint != details().settings_fingerprint


def test_second_writer_is_told_that_the_folder_is_in_use(store):
    second = LatentStore(store.folder, channels=3)
    with (
        store.locked(),
        pytest.raises(StoreError, match="another process is writing"),
        second.locked(),
    ):
        pass
    with second.locked():
        pass


def test_write_whole_leaves_the_old_file_when_the_new_one_fails(tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_whole(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(StoreError, match="No space left; what has been written is kept"):
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
        LatentStore(tmp_path / "file" / "latents", channels=3).locked(),
    ):
        pass


def test_written_files_have_ordinary_permissions(tmp_path):
    write_whole(tmp_path / "x", b"")
    (tmp_path / "y").write_bytes(b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("x", "y")}
    assert len(modes) == 1
