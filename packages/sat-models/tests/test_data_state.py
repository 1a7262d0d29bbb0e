"""A run that is killed and goes on sees the samples that were still to come."""

import io
import json
import multiprocessing
import os
import signal
import tarfile
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import soundfile

from sat_config.audio.dataset import (
    AudioDirNode,
    Folder,
    LatentFolder,
    PreEncodedNode,
    ShardFolder,
    WebDatasetNode,
)
from sat_models.data.build import build_dataset
from sat_models.data.ledger import Ledger
from sat_models.data.loader import BatchLoader, Tally
from sat_models.data.sampler import EpochStream

RATE, SIZE, ITEMS, BATCH = 8000, 200, 10, 3
BATCHES_OF_TWO_EPOCHS = 2 * ITEMS // BATCH + 1


def npy(number):
    buffer = io.BytesIO()
    np.save(buffer, np.full((2, 8), number, np.float32))
    return buffer.getvalue()


def flac(number):
    buffer = io.BytesIO()
    audio = np.random.default_rng(number).uniform(-0.9, 0.9, (SIZE, 1))
    soundfile.write(buffer, audio, RATE, format="FLAC")
    return buffer.getvalue()


def write_items(folder, ending, content):
    for number in range(ITEMS):
        (folder / f"{number}.{ending}").write_bytes(content(number))
        (folder / f"{number}.json").write_text(json.dumps({"seconds_total": 1}))


def write_shards(folder, ending, content):
    for shard in range(3):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number in range(shard, ITEMS, 3):
                files = [(ending, content(number)), ("json", b'{"seconds_total": 1}')]
                for name, found in files:
                    entry = tarfile.TarInfo(f"{number}.{name}")
                    entry.size = len(found)
                    tar.addfile(entry, io.BytesIO(found))


def audio_dir(folder):
    write_items(folder, "flac", flac)
    return AudioDirNode(datasets=(Folder(id="x", path=str(folder)),))


def pre_encoded(folder):
    write_items(folder, "npy", npy)
    return PreEncodedNode(datasets=(LatentFolder(id="x", path=str(folder)),))


def wds_audio(folder):
    write_shards(folder, "flac", flac)
    entry = ShardFolder(id="x", path=str(folder))
    return WebDatasetNode(datasets=(entry,), resampled_shards=False)


def wds_latents(folder):
    write_shards(folder, "npy", npy)
    entry = ShardFolder(id="x", path=str(folder))
    return WebDatasetNode(datasets=(entry,), resampled_shards=False, pre_encoded=True)


def loader(node, *, first_batch=0, num_workers=0):
    ledger = Ledger(None, on_bad_file="error")
    dataset = build_dataset(
        node,
        sample_rate=RATE,
        sample_size=SIZE,
        channels=1,
        seed=4,
        training=True,
        ledger=ledger,
    )
    stream = EpochStream(
        dataset.order,
        num_items=len(dataset),
        batch_size=BATCH,
        seed=4,
        carry_over=True,
        first_batch=first_batch,
    )
    tally = Tally(ledger, items=len(dataset), max_bad_share=0.0)
    return BatchLoader(
        dataset,
        stream,
        first_batch=first_batch,
        tally=tally,
        num_workers=num_workers,
        pin_memory=False,
        seed=0,
    )


def train_until_killed(node, log, *, steps):
    """Consume batches, note each as a checkpoint would, and die without a word."""
    for batch in loader(node):
        with log.open("a") as file:
            file.write(json.dumps([batch.number, [item.id for item in batch.items]]) + "\n")
        if batch.number == steps - 1:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("make", [audio_dir, pre_encoded, wds_audio, wds_latents])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_killed_run_goes_on_with_what_was_to_come(tmp_path, make, num_workers):
    (tmp_path / "data").mkdir()
    node = make(tmp_path / "data")
    child = multiprocessing.get_context("fork").Process(
        target=train_until_killed, args=(node, tmp_path / "log"), kwargs={"steps": 4}
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    noted = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    seen = [name for _, names in noted for name in names]
    resumed = loader(node, first_batch=noted[-1][0] + 1, num_workers=num_workers)
    for batch in islice(resumed, BATCHES_OF_TWO_EPOCHS - 4):
        seen += [item.id for item in batch.items]
    epochs = [Counter(seen[at : at + ITEMS]) for at in (0, ITEMS)]
    assert [set(epoch.values()) for epoch in epochs] == [{1}, {1}]
    assert [len(epoch) for epoch in epochs] == [ITEMS, ITEMS]
    whole = [item.id for batch in islice(loader(node), 7) for item in batch.items]
    assert seen == whole
