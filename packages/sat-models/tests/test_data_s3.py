"""Shards in a bucket, over the real protocol: a server on this machine speaks it."""

import io
import json
import logging
import tarfile

import numpy as np
import pytest
import soundfile
import torch

from sat_config.audio.dataset import S3Node, ShardFolder
from sat_models.data.build import build_dataset
from sat_models.data.ledger import Ledger
from sat_models.data.loader import BatchLoader, Tally
from sat_models.data.sampler import EpochStream
from sat_models.errors import DataError

pytest.importorskip("s3fs")
boto3 = pytest.importorskip("boto3")
server_module = pytest.importorskip("moto.server")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


RATE, SIZE = 8000, 500


def audio_bytes(seed):
    buffer = io.BytesIO()
    audio = np.random.default_rng(seed).uniform(-0.9, 0.9, (4 * SIZE, 2))
    soundfile.write(buffer, audio, RATE, format="FLAC")
    return buffer.getvalue()


def npy_bytes():
    buffer = io.BytesIO()
    np.save(buffer, np.ones((4, 20), np.float32))
    return buffer.getvalue()


def upload(client, key, files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    client.put_object(Bucket="music", Key=key, Body=buffer.getvalue())


@pytest.fixture(scope="module")
def server():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server, tmp_path, monkeypatch):
    """A bucket with shards of audio and of latents; the machine knows how to reach it."""
    (tmp_path / "credentials").write_text(
        "[reader]\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "reader")
    client = boto3.client("s3")
    client.create_bucket(Bucket="music")
    for shard in range(2):
        files = []
        for number in range(3):
            key = f"{shard}{number}"
            caption = json.dumps({"prompt": key}).encode()
            files += [(f"{key}.flac", audio_bytes(number)), (f"{key}.json", caption)]
        upload(client, f"set/audio/{shard}.tar", files)
    table = json.dumps({"padding_mask": [1] * 20, "seconds_total": 3}).encode()
    upload(client, "set/latents/0.tar", [("x.npy", npy_bytes()), ("x.json", table)])
    yield client
    for entry in client.list_objects_v2(Bucket="music")["Contents"]:
        client.delete_object(Bucket="music", Key=entry["Key"])
    client.delete_bucket(Bucket="music")


def build(prefix, **options):
    profile = options.pop("profile", "reader")
    entry = ShardFolder(id="w", s3_path=f"s3://music/{prefix}", profile=profile)
    return build_dataset(
        S3Node(datasets=(entry,), resampled_shards=False, **options),
        sample_rate=RATE,
        sample_size=SIZE,
        channels=2,
        seed=1,
        training=True,
        ledger=Ledger(None, on_bad_file="error"),
    )


def test_samples_come_from_the_bucket(bucket):
    dataset = build("set/audio/")
    assert len(dataset) == 6
    assert dataset[4].item.path == "s3://music/set/audio/1.tar/11.flac"
    assert dataset[4].item.metadata["prompt"] == "11"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_sample_comes_once_an_epoch_whoever_reads(bucket, num_workers):
    dataset = build("set/audio/")
    stream = EpochStream(
        dataset.order, num_items=6, batch_size=2, seed=3, carry_over=True, first_batch=0
    )
    loader = BatchLoader(
        dataset,
        stream,
        first_batch=0,
        tally=Tally(Ledger(None, on_bad_file="error"), items=6, max_bad_share=0.0),
        num_workers=num_workers,
        pin_memory=False,
        seed=0,
    )
    batches = iter(loader)
    ids = [item.id for _ in range(3) for item in next(batches).items]
    assert sorted(ids) == [f"w/{shard}.tar/{shard}{n}.flac" for shard in (0, 1) for n in range(3)]


def test_latents_come_from_the_bucket(bucket):
    dataset = build("set/latents", pre_encoded=True)
    assert dataset[0].values.shape == (4, 20)
    assert dataset[0].values.dtype == torch.float32


def test_object_that_vanishes_is_a_bad_item(bucket):
    dataset = build("set/audio/")
    bucket.delete_object(Bucket="music", Key="set/audio/0.tar")
    assert dataset[0].reason.startswith("s3://music/set/audio/0.tar: ")
    assert dataset[5].item.id


def test_bucket_that_cannot_be_listed_is_named(bucket):
    with pytest.raises(DataError, match=r"no shard .* in s3://music/nowhere"):
        build("nowhere")
    with pytest.raises(DataError, match=r"s3://music/set: cannot be listed: .*nobody"):
        build("set", profile="nobody")
