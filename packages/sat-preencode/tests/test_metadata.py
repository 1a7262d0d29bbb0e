"""What is said of a file goes along with its latents, and a change of either is noticed."""

import json

import pytest
import soundfile

from sat_config import custom_code
from sat_config.audio.dataset import LatentFolder, PreEncodedNode
from sat_models.data.build import build_dataset
from sat_models.data.ledger import Ledger
from sat_preencode import StoreError

A_WAV = [f"music/a.wav#{start:012d}" for start in (0, 256, 512, 768)]


def sidecar(world, name="music/d.wav#000000000000"):
    return world.metadata()[name]


def again(world):
    """What asks for what has changed to be encoded again."""
    return world.with_table(on_change="encode")


def test_captions_reach_whoever_trains_on_the_latents(world):
    (world.root / "audio" / "d.txt").write_text("a bell")
    (world.root / "audio" / "a.json").write_text(json.dumps({"prompt": "noise", "bpm": 90}))
    world.preencode()
    dataset = build_dataset(
        PreEncodedNode(datasets=(LatentFolder(id="x", path=str(world.latents)),)),
        sample_rate=8000,
        sample_size=256,
        channels=2,
        seed=0,
        training=True,
        ledger=Ledger(None, on_bad_file="error"),
    )
    metadata = {dataset[at].item.id: dataset[at].item.metadata for at in range(len(dataset))}
    assert metadata["music/d.wav#000000000000"]["prompt"] == "a bell"
    assert metadata["music/a.wav#000000000256"]["bpm"] == 90
    assert metadata["music/a.wav#000000000256"]["relpath"] == "a.wav"


def test_sidecar_has_sats_keys(world):
    world.preencode()
    found = sidecar(world)
    assert found["padding_mask"] == [1] * 7 + [0] * 25
    assert found["timestamps"] == [0.0, 1.0]
    assert (found["seconds_start"], found["seconds_total"]) == (0, 1)
    assert found["sample_rate"] == 8000
    assert found["path"].endswith("audio/d.wav")


def test_source_that_changed_in_place_is_refused_until_it_is_asked_for(world, encodes):
    world.preencode()
    before, files = world.stored(), world.files()
    path = world.root / "audio" / "a.wav"
    audio, rate = soundfile.read(path)
    soundfile.write(path, -audio, rate)
    encodes.clear()
    with pytest.raises(StoreError, match=r"4 items \(music/a.wav#0{12} first\) have changed since"):
        world.preencode()
    assert (encodes, world.files()) == ([], files)
    result = world.preencode(**again(world))
    assert (result.encoded, result.items) == (4, 9)
    after = world.stored()
    assert {name for name in after if after[name] != before[name]} == set(A_WAV)
    assert {name for name in world.files() if name.endswith(".tar")} == {
        "000001.tar",
        "000002.tar",
        "000003.tar",
    }


def test_file_that_is_touched_but_the_same_is_not_encoded_again(world):
    world.preencode()
    path = world.root / "audio" / "a.wav"
    path.write_bytes(path.read_bytes())
    assert world.preencode().encoded == 0


def test_caption_that_changed_is_taken_over(world):
    world.preencode()
    assert "prompt" not in sidecar(world)
    (world.root / "audio" / "d.txt").write_text("a bell")
    assert world.preencode(**again(world)).encoded == 1
    assert sidecar(world)["prompt"] == "a bell"


def test_caption_that_cannot_be_read_leaves_its_file_out(world):
    (world.root / "audio" / "d.json").write_text("{")
    result = world.preencode()
    assert result.items == 8
    (line,) = (world.latents / "bad_files.jsonl").read_text().splitlines()
    assert "no metadata" in json.loads(line)["reason"]


@pytest.fixture
def custom(world, monkeypatch):
    monkeypatch.setattr(custom_code, "_allowed", True)

    def write(text):
        path = world.root / "custom_md.py"
        path.write_text(text)
        dataset = world.document()["dataset"]
        entry = dataset["datasets"][0] | {"custom_metadata_module": str(path)}
        return {"dataset": dataset | {"datasets": [entry]}, **again(world)}

    return write


def test_custom_code_adds_to_the_metadata_and_its_change_counts(world, custom):
    returned = "{'prompt': info['relpath'], 'p': audio.abs().max()}"
    text = f"def get_custom_metadata(info, audio):\n    return {returned}\n"
    world.preencode(**custom(text))
    assert sidecar(world)["prompt"] == "d.wav"
    assert 0 < sidecar(world)["p"] <= 1
    assert world.preencode(**custom(text)).encoded == 0
    assert world.preencode(**custom(text.replace("info['relpath']", "'x'"))).encoded == 9
    assert sidecar(world)["prompt"] == "x"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("{'__reject__': info['relpath'] == 'd.wav'}", "rejected by"),
        ("{'x': {1, 2}.union} if info['relpath'] == 'd.wav' else {}", "JSON cannot keep"),
        ("{'x': info['relpath'][5 if info['relpath'] == 'd.wav' else 0]}", "IndexError"),
    ],
)
def test_item_that_custom_code_refuses_is_left_out(world, custom, result, reason):
    found = world.preencode(
        **custom(f"def get_custom_metadata(info, audio):\n    return {result}\n")
    )
    assert (found.items, found.unreadable) == (8, 1)
    (line,) = (world.latents / "bad_files.jsonl").read_text().splitlines()
    assert reason in json.loads(line)["reason"]


def test_latents_of_files_that_went_go_when_it_is_asked_for(world):
    world.preencode()
    (world.root / "audio" / "d.wav").unlink()
    with pytest.raises(StoreError, match=r"1 item \(music/d.wav#0{12} first\) have gone since"):
        world.preencode()
    assert world.preencode(**again(world)).items == 8
    assert all("d.wav" not in entry["id"] for entry in world.manifest())
    assert not (world.latents / "000002.tar").exists()


def test_new_files_go_to_shards_of_their_own(world, encodes):
    world.preencode()
    before = world.files(named="*.tar")
    world.add_clip("0-first.wav", 300)
    encodes.clear()
    result = world.preencode()
    assert (result.items, result.encoded, len(encodes)) == (10, 1, 1)
    assert world.files(named="*.tar").items() >= before.items()
    assert [entry["shard"] for entry in world.manifest()] == [0] * 4 + [1] * 4 + [2, 3]
