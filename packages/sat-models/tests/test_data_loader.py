import json
import math
import pickle
import signal
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from msgspec import structs

from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.audio.dataset import AudioDirNode, Folder
from sat_config.audio.decoder import OobleckDecoderConfig, OobleckDecoderNode
from sat_config.audio.encoder import OobleckEncoderConfig, OobleckEncoderNode
from sat_config.audio.experiment import AutoencoderExperiment
from sat_models.data.ledger import Ledger
from sat_models.data.loader import build_loader, prepare_worker
from sat_models.errors import DataError


def experiment(**options):
    model = AutoencoderConfig(
        encoder=OobleckEncoderNode(config=OobleckEncoderConfig()),
        decoder=OobleckDecoderNode(config=OobleckDecoderConfig()),
        latent_dim=32,
        downsampling_ratio=512,
        io_channels=2,
    )
    options = {"batch_size": 2, "num_workers": 0, "seed": 3, "max_bad_share": 0.3, **options}
    return AutoencoderExperiment(sample_rate=8000, sample_size=512, model=model, **options)


@pytest.fixture
def node(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(5):
        frames = 300 + 700 * number
        soundfile.write(tmp_path / f"{number}.wav", rng.uniform(-0.9, 0.9, (frames, 2)), 8000)
    return AudioDirNode(datasets=(Folder(id="a", path=str(tmp_path)),))


def loader(node, *, training=True, ledger=None, first_batch=0, **options):
    return build_loader(
        experiment(**options),
        node,
        training=training,
        ledger=ledger or Ledger(None, on_bad_file="error"),
        first_batch=first_batch,
    )


def take(node, count, **options):
    return list(islice(loader(node, **options), count))


def same(left, right):
    return len(left) == len(right) and all(
        a.items == b.items
        and torch.equal(a.audio, b.audio)
        and torch.equal(a.padding_mask, b.padding_mask)
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("training", [True, False])
def test_two_workers_give_what_none_gives(node, training):
    count = 9 if training else 3
    assert same(
        take(node, count, training=training),
        take(node, count, training=training, num_workers=2),
    )


def test_more_workers_than_processors_warn_of_nothing(node):
    assert len(take(node, 2, num_workers=3)) == 2


def test_training_batches_are_full_and_without_end(node):
    batches = take(node, 20, batch_size=8)
    assert {tuple(batch.audio.shape) for batch in batches} == {(8, 2, 512)}
    assert {tuple(batch.padding_mask.shape) for batch in batches} == {(8, 512)}
    with pytest.raises(TypeError):
        len(loader(node))


def test_training_without_drop_last_ends_an_epoch_with_a_smaller_batch(node):
    whole = AudioDirNode(datasets=node.datasets, drop_last=False)
    assert [len(batch.items) for batch in take(whole, 6)] == [2, 2, 1, 2, 2, 1]


def test_training_goes_on_where_it_was_stopped(node):
    assert same(take(node, 8, first_batch=4), take(node, 12)[4:])


def test_validation_draws_the_same_crops_every_time_and_enough_of_them(node):
    first, second = (list(loader(node, training=False)) for _ in range(2))
    items = [item for batch in first for item in batch.items]
    assert len(items) == 20  # four times five files, to have at least 16
    assert len({item.start_sample for item in items if item.id == "a/4.wav"}) == 4
    assert same(first, second)


def test_validation_without_random_crops_is_one_pass_in_order(node):
    node = structs.replace(node, random_crop=False)
    batches = loader(node, training=False, num_workers=2)
    assert len(batches) == 3
    first, second = list(batches), list(batches)
    assert [item.id for batch in first for item in batch.items] == [
        f"a/{number}.wav" for number in range(5)
    ]
    assert {item.start_sample for batch in first for item in batch.items} == {0}
    assert same(first, second)


def test_loading_leaves_the_global_random_state_alone(node):
    state = torch.get_rng_state()
    take(node, 3)
    take(node, 3, num_workers=2)
    assert torch.equal(torch.get_rng_state(), state)


def spoil(node, number):
    """Make a file fail although it could be opened when the loader was built."""
    Path(node.datasets[0].path, f"{number}.wav").write_bytes(b"no audio any more")


def refusal(batches):
    """Why a stream ends; no reference to the loader stays, or its workers would end late."""
    try:
        list(batches)
    except DataError as error:
        return str(error)
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_bad_item_is_recorded_and_its_batch_is_smaller(node, tmp_path, num_workers):
    ledger = Ledger(tmp_path / "bad.jsonl", on_bad_file="skip")
    node = structs.replace(node, random_crop=False)
    batches = loader(node, training=False, ledger=ledger, num_workers=num_workers)
    spoil(node, 1)
    assert [[item.id for item in batch.items] for batch in batches] == [
        ["a/0.wav"],
        ["a/2.wav", "a/3.wav"],
        ["a/4.wav"],
    ]
    entry = json.loads((tmp_path / "bad.jsonl").read_text())
    assert entry["path"] == f"{node.datasets[0].path}/1.wav"
    assert entry["reason"] == "cannot be decoded: Format not recognised"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_bad_item_stops_the_run_with_its_own_message_if_that_is_asked_for(node, num_workers):
    batches = loader(node, training=False, num_workers=num_workers)
    spoil(node, 1)
    message = refusal(batches)
    assert message.startswith(f"{node.datasets[0].path}/1.wav: cannot be decoded")
    assert "Traceback" not in message


def test_batch_without_any_good_item_is_left_out_and_numbers_go_on(node, caplog):
    node = structs.replace(node, random_crop=False)
    ledger = Ledger(None, on_bad_file="skip")
    batches = loader(node, training=False, ledger=ledger, max_bad_share=0.5)
    spoil(node, 2)
    spoil(node, 3)
    assert [(batch.number, len(batch.items)) for batch in batches] == [(0, 2), (2, 1)]


def test_more_bad_items_than_the_share_stop_the_run(node):
    node = structs.replace(node, random_crop=False)
    ledger = Ledger(None, on_bad_file="skip")
    batches = loader(node, training=False, ledger=ledger, max_bad_share=0.25)
    spoil(node, 0)
    spoil(node, 4)
    seen = []
    with pytest.raises(DataError) as caught:
        seen.extend(batches)
    assert len(seen) == 2
    message = str(caught.value)
    assert message.startswith("2 of 5 items were left out; the last one: ")
    assert "/4.wav: cannot be decoded" in message
    assert "max_bad_share = 0.25" in message


def test_files_that_cannot_be_opened_count_before_the_first_batch(node):
    for number in (0, 1):
        spoil(node, number)
    ledger = Ledger(None, on_bad_file="skip")
    with pytest.raises(DataError, match=r"^2 of 5 files cannot be used\n.*max_bad_share"):
        loader(node, ledger=ledger, max_bad_share=0.3)
    assert len(loader(node, ledger=ledger, max_bad_share=0.4).dataset) == 3


def test_stream_of_bad_items_alone_ends(node):
    batches = loader(node, ledger=Ledger(None, on_bad_file="skip"), max_bad_share=1.0)
    for number in range(5):
        spoil(node, number)
    with pytest.raises(DataError, match=r"^not one of \d+ items could be read: cannot be decoded"):
        next(iter(batches))


def test_everything_a_worker_needs_can_be_sent_to_it(node):
    batches = loader(node)
    sent = pickle.loads(pickle.dumps((batches.dataset, batches.collate_fn, batches.batch_sampler)))
    dataset, collate, sampler = sent
    batch, bad = collate([dataset[draw] for draw in next(iter(sampler))])
    assert bad == ()
    assert same([batch], take(node, 1))


def test_batch_moves_between_devices(node):
    (batch,) = take(node, 1)
    moved = batch.to("meta")
    assert (moved.audio.device.type, moved.padding_mask.device.type) == ("meta", "meta")
    assert moved.items == batch.items
    assert math.prod(moved.audio.shape) == 2 * 2 * 512


def test_worker_leaves_interruption_to_the_main_process():
    before = signal.getsignal(signal.SIGINT)
    try:
        prepare_worker(0)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
