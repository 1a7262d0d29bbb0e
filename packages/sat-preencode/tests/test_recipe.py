import json
import math
import os
import shutil

import numpy as np
import pytest
import soundfile
import torch

import sat_config
from sat_config.audio.dataset import LatentFolder, PreEncodedNode
from sat_models.audio import read_audio
from sat_models.build import build_model
from sat_models.checkpoint import load_weights, open_checkpoint, save_checkpoint
from sat_models.data.build import build_dataset
from sat_models.data.latent_details import read_details
from sat_models.data.ledger import Ledger
from sat_models.errors import CheckpointError, DataError
from sat_preencode import PreencodeError, StoreError
from sat_preencode.store import LatentStore

NINE = [
    *(f"music/a.wav#{start:012d}" for start in (0, 256, 512, 768)),
    *(f"music/b/c.flac#{start:012d}" for start in (0, 256, 512, 768)),
    "music/d.wav#000000000000",
]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def places(world):
    """Where each shard and its record lies on the disk, which rewriting it would change."""
    return {path: path.stat().st_ino for path in world.latents.glob("[0-9]*.*")}


def test_preencode_writes_shards_their_records_and_the_manifest(world):
    result = world.preencode()
    entries = world.manifest()
    assert [entry["id"] for entry in entries] == NINE
    assert (result.items, result.encoded, result.unreadable, result.complete) == (9, 9, 0, True)
    assert result.seconds == pytest.approx((3 * 256 + 100 + 3 * 256 + 70 + 50) / 8000)
    for latents in world.arrays().values():
        assert (latents.shape, latents.dtype) == ((3, 32), np.float32)
    assert set(world.files()) == {
        "details.json",
        "plan.jsonl",
        "manifest.jsonl",
        *(f"00000{number}.{ending}" for number in range(3) for ending in ("tar", "json")),
    }


def test_details_hold_the_whole_experiment_and_both_fingerprints(world):
    result = world.preencode()
    details = json.loads((world.latents / "details.json").read_text())
    assert details["format"] == "sat-latents"
    assert details["autoencoder_fingerprint"] == result.autoencoder_fingerprint
    assert (details["hop_length"], details["latent_dim"], details["sample_size"]) == (8, 3, 256)
    assert sat_config.decode(details["config"]) == world.experiment()
    assert str(world.root) not in json.dumps(details["settings"])


def test_latent_folder_is_what_training_reads(world):
    result = world.preencode()
    dataset = build_dataset(
        PreEncodedNode(datasets=(LatentFolder(id="latents", path=str(world.latents)),)),
        sample_rate=8000,
        sample_size=256,
        channels=2,
        seed=0,
        training=True,
        ledger=Ledger(None, on_bad_file="error"),
    )
    samples = [dataset[index] for index in range(len(dataset))]
    assert [sample.item.id for sample in samples] == NINE
    valid = [int(sample.padding_mask.sum()) for sample in samples]
    assert valid == [*[32] * 3, 13, *[32] * 3, 9, 7]
    assert read_details(world.latents).autoencoder_fingerprint == result.autoencoder_fingerprint


def test_item_that_is_missing_makes_the_manifest_go_until_it_is_there(world, monkeypatch):
    world.preencode()
    (world.latents / "000002.tar").unlink()
    monkeypatch.setattr(LatentStore, "finish", lambda *_: None)
    world.preencode()
    assert not (world.latents / "manifest.jsonl").exists()


def test_mean_latents_are_what_the_autoencoder_makes_of_the_stretch(world):
    world.preencode(**world.with_table(latent="mean"))
    autoencoder = build_model(world.experiment())
    load_weights(autoencoder, open_checkpoint(world.root / "vae.safetensors"))
    audio = read_audio(
        world.root / "audio/a.wav", start=768, num_samples=100, sample_rate=8000, channels=2
    )
    padded = torch.nn.functional.pad(audio, (0, 156))
    with torch.no_grad():
        expected = autoencoder.encode(padded[None], sample=False).latents[0]
    found = world.arrays()["music/a.wav#000000000768"]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_crop_and_flip_of_training_are_not_for_latents(world):
    world.preencode()
    reference = world.stored()
    shutil.rmtree(world.latents)
    dataset = world.document()["dataset"] | {"random_crop": True, "phase_flip": 1.0}
    world.preencode(dataset=dataset)
    assert world.stored() == reference


def test_latents_do_not_depend_on_company_order_or_readers(world):
    world.preencode()
    before = world.stored()
    shutil.rmtree(world.latents)
    world.add_clip("0-first.wav", 300)
    world.preencode(num_workers=2)
    after = world.stored()
    assert len(after) == 10
    assert {name: after[name] for name in before} == before


def test_batch_size_moves_latents_by_rounding_only(world):
    world.preencode()
    before = world.arrays()
    shutil.rmtree(world.latents)
    world.preencode(batch_size=1)
    for name, latents in world.arrays().items():
        np.testing.assert_allclose(latents, before[name], atol=1e-5)


def test_samples_follow_the_seed_and_means_do_not(world):
    latents = {}
    for kind, seed in (("sample", 1), ("sample", 2), ("mean", 1), ("mean", 2)):
        world.preencode(seed=seed, **world.with_table(latent=kind))
        latents[kind, seed] = world.stored()
        shutil.rmtree(world.latents)
    assert latents["sample", 1] != latents["sample", 2]
    assert latents["mean", 1] == latents["mean", 2]


def test_two_items_of_equal_audio_get_noise_of_their_own(empty_world):
    empty_world.add_clip("a.wav", 256)
    empty_world.add_clip("b.wav", 256)
    empty_world.preencode()
    one, other = empty_world.stored().values()
    assert one != other


def test_second_run_encodes_nothing_and_touches_nothing(world, encodes):
    world.preencode()
    before = places(world)
    encodes.clear()
    result = world.preencode()
    assert encodes == []
    assert (result.items, result.encoded, result.complete) == (9, 0, True)
    assert places(world) == before


def test_damaged_shard_alone_is_written_again_with_the_same_bytes(world, encodes):
    world.preencode()
    reference, before = world.files(), places(world)
    damaged = world.latents / "000001.tar"
    damaged.write_bytes(damaged.read_bytes()[:100])
    encodes.clear()
    assert world.preencode().encoded == 4
    assert encodes == [NINE[4:8]]
    assert world.files() == reference
    kept = {path: node for path, node in before.items() if path.stem != damaged.stem}
    assert kept.items() <= places(world).items()


class PulledPlug(BaseException):
    pass


def test_run_interrupted_at_any_write_continues_to_the_same_folder(world, monkeypatch, encodes):
    world.preencode()
    reference, replace = world.files(), os.replace
    for point in range(len(reference)):
        shutil.rmtree(world.latents)
        left = iter(range(point))

        def replace_so_often(source, target, left=left):
            if next(left, None) is None:
                raise PulledPlug
            replace(source, target)

        monkeypatch.setattr(os, "replace", replace_so_often)
        with pytest.raises(PulledPlug):
            world.preencode()
        monkeypatch.setattr(os, "replace", replace)
        records = {path: node for path, node in places(world).items() if path.suffix == ".json"}
        assert world.preencode().encoded == 9 - sum((4, 4, 1)[: len(records)])
        assert world.files() == reference
        assert records.items() <= places(world).items()


def test_stop_between_batches_keeps_the_batch_and_writes_no_manifest(world, encodes):
    world.preencode()
    reference = world.files()
    shutil.rmtree(world.latents)
    encodes.clear()
    result = world.preencode(stop=lambda: bool(encodes))
    assert (result.items, result.complete) == (4, False)
    assert not (world.latents / "manifest.jsonl").exists()
    assert world.preencode().encoded == 5
    assert encodes == [NINE[:4], NINE[4:8], NINE[8:]]
    assert world.files() == reference


def test_stop_while_files_are_looked_at_passes_no_verdict_on_them(world, encodes):
    (world.root / "audio/000.wav").write_bytes(b"nothing")
    result = world.preencode(stop=lambda: True)
    assert (result.complete, result.encoded, encodes) == (False, 0, [])


def test_stop_at_once_encodes_nothing(world, encodes):
    result = world.preencode(stop=lambda: True)
    assert (result.items, result.complete, encodes) == (0, False, [])


def test_corrupt_file_is_named_and_left_out_and_the_others_are_whole(world, caplog):
    world.preencode()
    reference = world.stored()
    shutil.rmtree(world.latents)
    bad = world.root / "audio/a-bad.wav"
    bad.write_bytes(b"RIFF nothing of the kind")
    result = world.preencode()
    assert [str(bad) in message for message in caplog.messages] == [True]
    entries = lines(world.latents / "bad_files.jsonl")
    assert [entry["path"] for entry in entries] == [str(bad)]
    assert result.complete
    assert world.stored() == reference


@pytest.mark.parametrize("gone", [True, False])
def test_file_that_changes_after_the_plan_is_neither_encoded_nor_given_up(world, monkeypatch, gone):
    path, settle = world.root / "audio/a.wav", LatentStore.settle
    whole = path.read_bytes()

    def settle_and_change(self, plan, *, shard_size):
        shards = settle(self, plan, shard_size=shard_size)
        path.unlink()
        if not gone:
            world.add_clip("a.wav", 2000, seed=9)
        return shards

    with monkeypatch.context() as patch:
        patch.setattr(LatentStore, "settle", settle_and_change)
        with pytest.raises(StoreError, match=r"a\.wav has changed or gone since it was looked at"):
            world.preencode()
    path.write_bytes(whole)
    result = world.preencode()
    assert (result.items, result.unreadable, result.complete) == (9, 0, True)


def test_file_that_is_listed_twice_is_encoded_once(world):
    (world.root / "audio/filelist.txt").write_text("a.wav\n./a.wav\nd.wav\na.wav\n")
    assert world.preencode().items == 5
    assert [entry["id"] for entry in world.manifest()] == [*NINE[:4], NINE[8]]


def test_bad_items_of_an_earlier_run_count_as_well(world):
    path = world.root / "audio/a.wav"
    samples, rate = soundfile.read(path)
    samples[300] = math.nan
    soundfile.write(path, samples, rate, subtype="FLOAT")
    for _ in range(2):
        with pytest.raises(DataError, match="1 of 3 files cannot be used"):
            world.preencode(max_bad_share=0.1)
        assert not (world.latents / "manifest.jsonl").exists()
    assert world.preencode(max_bad_share=0.5).complete


def test_file_with_a_bad_place_loses_only_the_items_there(world, caplog):
    path = world.root / "audio/a.wav"
    samples, rate = soundfile.read(path)
    samples[300] = math.nan
    soundfile.write(path, samples, rate, subtype="FLOAT")
    result = world.preencode()
    assert (result.items, result.unreadable, result.complete) == (8, 1, True)
    assert [str(path) in message for message in caplog.messages] == [True]
    assert [entry["offset"] for entry in lines(world.latents / "bad_files.jsonl")] == [256]
    assert [entry["id"] for entry in world.manifest()] == [NINE[0], *NINE[2:]]


def test_item_that_could_not_be_read_is_tried_again_next_time(world):
    path = world.root / "audio/a.wav"
    whole = path.read_bytes()
    world.preencode()
    reference = world.stored()
    shutil.rmtree(world.latents)
    samples, rate = soundfile.read(path)
    samples[300] = math.nan
    soundfile.write(path, samples, rate, subtype="FLOAT")
    world.preencode()
    path.write_bytes(whole)
    again = world.preencode(**world.with_table(on_change="encode"))
    assert again.encoded == 4  # it is another file than the one with the bad value
    assert world.stored() == reference


def test_files_that_open_but_cannot_be_read_at_all_are_an_error(empty_world):
    path = empty_world.add_clip("a.wav", 256)
    soundfile.write(path, [math.nan] * 256, 8000, subtype="FLOAT")
    with pytest.raises(DataError, match="none of the 1 items could be read"):
        empty_world.preencode()
    assert not (empty_world.latents / "manifest.jsonl").exists()


def test_corrupt_file_stops_the_run_if_that_is_asked_for(world):
    (world.root / "audio/z.wav").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"z\.wav"):
        world.preencode(on_bad_file="error")


def test_more_bad_files_than_are_borne_stop_the_run(world):
    for name in "wxyz":
        (world.root / f"audio/{name}.wav").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"max_bad_share = 0\.2"):
        world.preencode(max_bad_share=0.2)
    assert not (world.latents / "manifest.jsonl").exists()
    assert world.preencode(max_bad_share=0.9).complete


def test_dataset_of_corrupt_files_only_is_an_error(empty_world):
    (empty_world.root / "audio").mkdir()
    (empty_world.root / "audio/z.wav").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no readable audio"):
        empty_world.preencode()


def test_latent_model_gives_the_latents_of_its_pretransform_without_scale(world):
    world.preencode()
    reference = world.stored()
    shutil.rmtree(world.latents)
    document = world.document()
    latent_model = {
        "type": "dit",
        "config": {"in_channels": 3, "embed_dim": 32, "depth": 1, "num_heads": 1},
        "pretransform": {"type": "autoencoder", "config": document["model"], "scale": 2.0},
    }
    world.preencode(model_type="diffusion_uncond", model=latent_model)
    assert world.stored() == reference


def test_pretransform_that_samples_inside_the_autoencoder_is_seeded_too(world):
    inner = world.document()["model"]
    outer = {
        "encoder": {
            "type": "oobleck",
            "config": inner["encoder"]["config"] | {"in_channels": 3, "strides": [2, 1]},
        },
        "decoder": {
            "type": "oobleck",
            "config": inner["decoder"]["config"] | {"out_channels": 3, "strides": [2, 1]},
        },
        "bottleneck": {"type": "vae"},
        "latent_dim": 3,
        "downsampling_ratio": 16,
        "io_channels": 2,
        "pretransform": {"type": "autoencoder", "config": inner},
    }
    checkpoint = world.root / "nested.safetensors"
    save_checkpoint(checkpoint, build_model(world.experiment(model=outer)), config="{}")
    folders = []
    for seed in range(2):
        torch.manual_seed(seed)
        world.preencode(model=outer, **world.with_table(checkpoint=str(checkpoint)))
        folders.append(world.files())
        shutil.rmtree(world.latents)
    assert folders[0] == folders[1]


def test_latent_model_without_pretransform_is_refused(world):
    model = {
        "type": "dit",
        "config": {"in_channels": 2, "embed_dim": 32, "depth": 1, "num_heads": 1},
    }
    with pytest.raises(PreencodeError, match="nothing with weights of its own"):
        world.preencode(model_type="diffusion_uncond", model=model)


def test_other_weights_under_the_same_name_are_refused_in_the_same_folder(world):
    world.preencode()
    torch.manual_seed(1)
    save_checkpoint(world.root / "vae.safetensors", build_model(world.experiment()), config="{}")
    with pytest.raises(StoreError, match="autoencoder_fingerprint"):
        world.preencode()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 7}, "seed: 42 there, 7 now"),
        ({"sample_size": 512}, "sample_size: 256 there, 512 now"),
    ],
)
def test_other_settings_are_refused_in_the_same_folder(world, changes, said):
    world.preencode()
    with pytest.raises(StoreError, match=said):
        world.preencode(**changes)


def test_other_settings_replace_what_is_there_when_that_is_asked_for(world):
    world.preencode()
    before = world.stored()
    result = world.preencode(**world.with_table(latent="mean", on_change="encode"))
    assert (result.items, result.encoded, result.complete) == (9, 9, True)
    after = world.stored()
    assert all(after[name] != before[name] for name in before)
    assert sorted(world.files(named="*.tar")) == ["000003.tar", "000004.tar", "000005.tar"]


def test_other_places_of_the_same_data_and_weights_are_welcome(world, encodes):
    world.preencode()
    moved = world.root / "moved"
    moved.mkdir()
    for name in ("audio", "vae.safetensors"):
        (world.root / name).rename(moved / name)
    encodes.clear()
    dataset = world.document()["dataset"]
    dataset["datasets"][0]["path"] = str(moved / "audio")
    result = world.preencode(
        dataset=dataset, **world.with_table(checkpoint=str(moved / "vae.safetensors"))
    )
    assert (encodes, result.items) == ([], 9)
    assert str(moved) in (world.latents / "details.json").read_text()


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preencode": None}, r"has no \[preencode\] table; add"),
        ({"preencode": {"output_path": "x"}}, r"preencode\.checkpoint is not set"),
        ({"dataset": None}, "there is none; add"),
        ({"audio_channels": 1}, "set audio_channels to 2"),
    ],
)
def test_missing_or_unfitting_tables_are_named(world, changes, said):
    with pytest.raises(PreencodeError, match=said):
        world.preencode(**changes)


def test_latents_cannot_be_encoded_again(world):
    dataset = world.document()["dataset"] | {"dataset_type": "pre_encoded"}
    with pytest.raises(PreencodeError, match="PreEncodedNode"):
        world.preencode(dataset=dataset)


def test_item_size_must_be_whole_frames(world):
    with pytest.raises(PreencodeError, match="such as 296 or 304"):
        world.preencode(**world.with_table(sample_size=300))


@pytest.mark.parametrize("name", ["../up", "a#b"])
def test_dataset_id_that_cannot_begin_a_name_is_refused(world, name):
    dataset = world.document()["dataset"]
    dataset["datasets"][0]["id"] = name
    with pytest.raises(PreencodeError, match="cannot begin the names of items"):
        world.preencode(dataset=dataset)


def test_checkpoint_that_is_missing_or_does_not_match_is_refused(world):
    with pytest.raises(CheckpointError, match=r"none\.ckpt"):
        world.preencode(**world.with_table(checkpoint=str(world.root / "none.ckpt")))
    other = build_model(world.experiment())
    del other.decoder
    save_checkpoint(world.root / "part.safetensors", other, config="{}")
    with pytest.raises(CheckpointError, match="decoder"):
        world.preencode(**world.with_table(checkpoint=str(world.root / "part.safetensors")))
    assert not world.latents.exists()


def test_run_says_what_it_uses_and_how_far_it_is(world):
    result = world.preencode()
    said = world.said.getvalue()
    assert str(world.root / "vae.safetensors") in said
    assert result.autoencoder_fingerprint in said
    assert "9 items" in said
    assert "9/9 items, 0.2 s of audio" in said
    assert "x real time" in said
