"""Tar shards: every sample once an epoch, whoever reads them."""

import io
import json
import tarfile
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import soundfile
import torch

from sat_config.audio.dataset import S3Node, ShardFolder, WebDatasetNode
from sat_models.audio import write_audio
from sat_models.data.batch import AudioBatch, BadItem, LatentBatch
from sat_models.data.build import build_dataset
from sat_models.data.dataset import Draw
from sat_models.data.ledger import Ledger
from sat_models.data.order import ByShard
from sat_models.data.sampler import EpochStream
from sat_models.errors import DataError

RATE, SIZE, DIM, FRAMES, HOP = 8000, 500, 4, 20, 25


def audio_bytes(seed, frames=4 * SIZE, suffix="flac"):
    buffer = io.BytesIO()
    audio = np.random.default_rng(seed).uniform(-0.9, 0.9, (frames, 2))
    soundfile.write(buffer, audio, RATE, format=suffix.upper())
    return buffer.getvalue()


def npy_bytes(seed, frames=FRAMES):
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(seed).standard_normal((DIM, frames)).astype(np.float32))
    return buffer.getvalue()


def write_shard(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def sample(key, seed, **metadata):
    return [(f"{key}.flac", audio_bytes(seed)), (f"{key}.json", json.dumps(metadata).encode())]


@pytest.fixture
def shards(tmp_path):
    """Three shards of 3, 1 and 4 samples."""
    number = 0
    for shard, count in enumerate((3, 1, 4)):
        files = []
        for _ in range(count):
            files += sample(f"set/{number:03d}", number, text=f"clip {number}", bpm=number)
            number += 1
        write_shard(tmp_path / "shards" / f"part-{shard}.tar", files)
    return tmp_path / "shards"


def build(folder, *, ledger=None, seed=1, kind=WebDatasetNode, training=True, **options):
    entry = ShardFolder(id="w", path=str(folder))
    return build_dataset(
        kind(datasets=(entry,), **{"phase_flip": 0.0, **options}),
        sample_rate=RATE,
        sample_size=SIZE,
        channels=2,
        seed=seed,
        training=training,
        ledger=ledger or Ledger(None, on_bad_file="error"),
    )


@pytest.mark.parametrize("kind", [WebDatasetNode, S3Node])
def test_samples_have_their_audio_and_metadata(shards, kind):
    dataset = build(shards, kind=kind, random_crop=False)
    assert len(dataset) == 8
    found = dataset[4]
    assert found.item.id == "w/part-2.tar/set/004.flac"
    assert found.item.metadata["prompt"] == "clip 4"
    assert found.item.metadata["bpm"] == 4
    expected, _ = soundfile.read(io.BytesIO(audio_bytes(4)), frames=SIZE, dtype="float32")
    assert torch.equal(found.values, torch.from_numpy(expected.T))
    assert isinstance(dataset.stack([found]), AudioBatch)


def test_crops_lie_anywhere_in_a_member(shards):
    dataset = build(shards)
    starts = {dataset[Draw(epoch, 2)].item.start_sample for epoch in range(12)}
    assert len(starts) > 8


@pytest.mark.parametrize("suffix", ["wav", "ogg", "mp3"])
def test_other_formats_and_long_names_are_understood(tmp_path, suffix):
    write_audio(tmp_path / f"a.{suffix}", torch.rand(2, 4 * SIZE), sample_rate=RATE)
    content = (tmp_path / f"a.{suffix}").read_bytes()
    write_shard(
        tmp_path / "s" / "a.tar",
        [(f"./x.main.{suffix}", content), ("./x.txt", b"a bell"), ("./.hidden.wav", b"")],
    )
    dataset = build(tmp_path / "s", random_crop=False)
    assert len(dataset) == 1
    assert dataset[0].item.metadata["prompt"] == "a bell"


def test_shards_are_mixed_within_groups_and_everything_comes_once():
    order = ByShard((5, 3, 7, 1) * 5, resampled=False)
    first, second = (order.draw(np.random.default_rng(seed)) for seed in (1, 2))
    assert sorted(first.tolist()) == list(range(80))
    assert first.tolist() != second.tolist()
    ends = np.cumsum((5, 3, 7, 1) * 5)
    shards = np.searchsorted(ends, first, side="right")
    for begin in range(0, 80, 16):
        assert len(set(shards[begin : begin + 16].tolist())) <= 16
    assert len(set(shards[:16].tolist())) <= 8


def test_resampled_shards_are_drawn_with_replacement():
    order = ByShard((5, 3, 7, 1), resampled=True)
    draws = [order.draw(np.random.default_rng(seed)) for seed in range(200)]
    assert {len(drawn) for drawn in draws} == {16}
    counts = Counter(index for drawn in draws for index in drawn.tolist())
    assert min(counts.values()) > 0
    assert any(max(Counter(drawn.tolist()).values()) > 1 for drawn in draws)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_an_epoch_and_a_stopped_run_goes_on(shards, world_size):
    dataset = build(shards, resampled_shards=False)

    def stream(rank, first_batch=0):
        return EpochStream(
            dataset.order,
            num_items=len(dataset),
            batch_size=2,
            seed=5,
            carry_over=True,
            first_batch=first_batch,
            rank=rank,
            world_size=world_size,
        )

    per_rank = 4 * 3  # batches that make whole epochs for one, two and three ranks
    drawn = Counter()
    for rank in range(world_size):
        before = list(islice(stream(rank), 5))
        after = list(islice(stream(rank, first_batch=5), per_rank - 5))
        drawn.update((d.epoch, d.index) for batch in before + after for d in batch)
    epochs = per_rank * 2 * world_size // len(dataset)
    assert drawn == Counter((epoch, index) for epoch in range(epochs) for index in range(8))


def test_shard_that_was_cut_short_is_left_out_and_said(shards, tmp_path):
    path = shards / "part-0.tar"
    path.write_bytes(path.read_bytes()[:3000])
    ledger = Ledger(tmp_path / "bad.jsonl", on_bad_file="skip")
    assert len(build(shards, ledger=ledger)) == 5
    entry = json.loads((tmp_path / "bad.jsonl").read_text())
    assert entry["path"] == str(path)
    assert entry["reason"].startswith("not a whole tar file: ")


def test_sample_without_audio_is_said(shards, tmp_path):
    write_shard(shards / "z.tar", [("lost.json", b"{}"), *sample("good", 50)])
    ledger = Ledger(tmp_path / "bad.jsonl", on_bad_file="skip")
    assert len(build(shards, ledger=ledger)) == 9
    assert json.loads((tmp_path / "bad.jsonl").read_text())["reason"] == (
        "holds no audio, only .json"
    )


def test_member_that_cannot_be_decoded_is_a_bad_item(tmp_path):
    write_shard(tmp_path / "a.tar", [("x.flac", audio_bytes(0)[:-900]), *sample("y", 1)])
    item = build(tmp_path)[0]
    assert isinstance(item, BadItem)
    assert item.reason.startswith(f"{tmp_path}/a.tar/x.flac: has been cut short")


def test_changed_shard_is_listed_anew(shards):
    assert len(build(shards)) == 8
    write_shard(shards / "part-1.tar", [*sample("a", 1), *sample("b", 2)])
    assert len(build(shards)) == 9


def test_nothing_to_read_is_explained(tmp_path):
    with pytest.raises(DataError, match=r"no shard \(a file that ends in \.tar\) in "):
        build(tmp_path)
    with pytest.raises(DataError, match="'w' has neither s3_path nor path"):
        build_dataset(
            WebDatasetNode(datasets=(ShardFolder(id="w"),)),
            sample_rate=RATE,
            sample_size=SIZE,
            channels=2,
            seed=1,
            training=True,
            ledger=Ledger(None, on_bad_file="error"),
        )


@pytest.fixture
def latent_shards(tmp_path):
    for shard in range(2):
        files = []
        for number in range(3):
            frames = 10 if (shard, number) == (1, 2) else FRAMES
            mask = [1] * (frames - 4) + [0] * 4
            metadata = {"padding_mask": mask, "seconds_total": number, "prompt": f"{number}"}
            files.append((f"{shard}{number}.npy", npy_bytes(10 * shard + number, frames)))
            files.append((f"{shard}{number}.json", json.dumps(metadata).encode()))
        write_shard(tmp_path / "latents" / f"{shard}.tar", files)
    return tmp_path / "latents"


def test_latents_come_with_their_masks(latent_shards):
    dataset = build(latent_shards, pre_encoded=True, training=False)
    assert len(dataset) == 6
    short = dataset[5]
    assert short.values.shape == (DIM, FRAMES)
    assert short.padding_mask.tolist() == [True] * 6 + [False] * 14
    assert short.item.metadata["prompt"] == "2"
    assert isinstance(dataset.stack([short]), LatentBatch)
    expected = np.load(io.BytesIO(npy_bytes(0)))
    assert torch.equal(dataset[0].values, torch.from_numpy(expected))


def test_latents_are_cropped_and_chosen_by_length(latent_shards):
    dataset = build(latent_shards, pre_encoded=True, latent_crop_length=5, min_length_sec=1.0)
    assert len(dataset) == 4
    assert sum(dataset.order.sizes) == 4
    firsts = {dataset[Draw(epoch, 0)].item.metadata["latent_crop_start"] for epoch in range(90)}
    assert firsts == set(range(FRAMES - 4 - 5 + 1))
