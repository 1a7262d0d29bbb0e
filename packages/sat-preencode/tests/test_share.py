"""Several processes on one folder."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from sat_preencode.encoding import Encoder
from sat_preencode.errors import PreencodeError, StoreError
from sat_preencode.progress import Reporter
from sat_preencode.recipe import preencode
from sat_preencode.share import Share, share_in
from sat_preencode.store import LatentStore

MAIN = """
import sys, torch
torch.set_num_threads(1)
from sat_preencode.cli import main
sys.exit(main())
"""


def part(world, rank, processes, *, stop=lambda: False, **changes):
    experiment = world.experiment(batch_size=2, **changes)
    return preencode(experiment, reporter=Reporter(), share=Share(rank, processes), stop=stop)


def empty(world):
    """Let the folder be as it was before, and tell what was in it."""
    content = world.files()
    shutil.rmtree(world.latents)
    return content


@pytest.mark.parametrize("processes", [2, 3])
def test_each_process_begins_with_its_share_and_the_bytes_are_those_of_one(
    world, processes, encodes
):
    table = world.with_table(shard_size=2)
    world.preencode(batch_size=2, **table)
    alone, order = empty(world), [ids[0] for ids in encodes]
    encodes.clear()
    for rank in range(processes):
        first = len(encodes)
        result = part(world, rank, processes, stop=lambda n=first: len(encodes) > n, **table)
        assert encodes[first][0] == order[rank]
        assert not result.complete
    last = part(world, 0, processes, **table)
    assert (last.complete, last.items) == (True, 9)
    assert world.files() == alone


def test_shards_of_a_process_that_died_are_made_by_the_others(world, monkeypatch, encodes):
    original = Encoder.features

    def dying(self, audio, *, ids):
        if len(encodes) == 3:
            raise KeyboardInterrupt
        return original(self, audio, ids=ids)

    monkeypatch.setattr(Encoder, "features", dying)
    with pytest.raises(KeyboardInterrupt):
        part(world, 0, 2)
    monkeypatch.setattr(Encoder, "features", original)
    other = part(world, 1, 2)
    assert (other.encoded, other.complete, other.items) == (4, True, 9)


def test_shard_that_is_being_made_is_left_to_its_process(world, encodes):
    store = {}
    original = LatentStore.claim

    def first_one_taken(self, shard):
        if shard.number == 0 and "claim" not in store:
            store["claim"] = original(self, shard)
        return original(self, shard)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LatentStore, "claim", first_one_taken)
        result = part(world, 1, 2)
    assert (result.encoded, result.complete) == (5, False)
    store["claim"].release()
    assert part(world, 0, 2).complete


def test_process_with_another_plan_is_told_to_wait(world, encodes):
    table = world.with_table(shard_size=2)
    told = []

    def disturb():
        if encodes and not told:
            told.append(0)
            world.add_clip("later.wav", 300)
            with pytest.raises(StoreError, match="by another plan; wait until it ends"):
                world.preencode(batch_size=2, **table)
        return False

    assert part(world, 0, 2, stop=disturb, **table).complete
    assert told
    assert world.preencode(batch_size=2, **table).items == 10


def test_items_that_cannot_be_read_do_not_hold_the_folder_up(world):
    (world.root / "audio" / "d.json").write_text("{}")
    bad = np.full((50, 1), np.nan, np.float32)
    soundfile.write(world.root / "audio/d.wav", bad, 8000, subtype="FLOAT")
    result = part(world, 0, 2)
    assert (result.unreadable, result.complete, result.items) == (1, True, 8)
    assert (world.latents / "000002.tar").read_bytes() == bytes(1024)


def test_processes_of_torchrun_and_slurm_know_their_share():
    assert share_in({}) == Share(0, 1)
    torchrun = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert share_in(torchrun) == Share(3, 8, 1)
    slurm = {"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}
    assert share_in(slurm) == Share(2, 4, 0)
    with pytest.raises(PreencodeError, match=r"RANK=4, WORLD_SIZE=4, LOCAL_RANK=0: a rank from 0"):
        share_in({"RANK": "4", "WORLD_SIZE": "4"})


def test_processes_at_the_same_time_finish_a_folder_although_one_is_killed(world):
    world.preencode(batch_size=1, **world.with_table(shard_size=1))
    alone = empty(world)
    file = world.root / "experiment.json"
    file.write_text(json.dumps(world.document(batch_size=1, **world.with_table(shard_size=1))))

    def start(rank):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"}
        command = [sys.executable, "-c", MAIN, str(file)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    victim, survivor = start(0), start(1)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait(60) == -signal.SIGKILL
    victim.communicate()
    out, _ = survivor.communicate(timeout=60)
    assert survivor.returncode == 0
    assert "9 items" in out
    assert world.files() == alone
