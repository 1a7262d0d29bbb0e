"""Several processes on one folder."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from sat_preencode.encoding import Encoder
from sat_preencode.errors import PreencodeError
from sat_preencode.progress import Reporter
from sat_preencode.recipe import preencode
from sat_preencode.share import Share, share_in

MAIN = """
import sys, torch
torch.set_num_threads(1)
from sat_preencode.cli import main
sys.exit(main())
"""


def part(world, rank, processes, **changes):
    experiment = world.experiment(batch_size=2, **changes)
    return preencode(experiment, reporter=Reporter(), share=Share(rank, processes))


def content(world):
    return {name: text for name, text in world.files().items() if not name.startswith(".")}


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_make_the_bytes_of_one(world, processes):
    world.preencode(batch_size=2)
    alone = content(world)
    for path in sorted(world.latents.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    results = [part(world, rank, processes) for rank in range(processes)]
    assert [result.complete for result in results] == [False] * (processes - 1) + [True]
    assert sum(result.encoded for result in results) == 9
    assert results[-1].items == 9
    assert content(world) == alone


def test_death_of_one_loses_nothing_of_the_others(world, monkeypatch):
    original, calls = Encoder.features, []

    def dying(self, audio, *, ids):
        calls.append(ids)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, audio, ids=ids)

    monkeypatch.setattr(Encoder, "features", dying)
    with pytest.raises(KeyboardInterrupt):
        part(world, 0, 2)
    monkeypatch.setattr(Encoder, "features", original)
    other = part(world, 1, 2)
    assert (other.encoded, other.complete) == (4, False)
    assert not (world.latents / "manifest.jsonl").exists()
    again = part(world, 0, 2)
    assert (again.encoded, again.complete, again.items) == (3, True, 9)


def test_rest_may_be_done_by_another_number_of_processes(world):
    part(world, 0, 3)
    result = world.preencode(batch_size=2)
    assert result.complete
    assert result.encoded == 9 - 4
    assert not list(world.latents.glob(".share-*.json"))


def test_items_that_cannot_be_read_do_not_hold_the_folder_up(world):
    (world.root / "audio" / "d.json").write_text("{}")
    bad = np.full((50, 1), np.nan, np.float32)
    soundfile.write(world.root / "audio/d.wav", bad, 8000, subtype="FLOAT")
    first, second = part(world, 0, 2), part(world, 1, 2)
    assert first.unreadable + second.unreadable == 1
    assert second.complete
    assert second.items == 8


def test_processes_of_torchrun_and_slurm_know_their_share():
    assert share_in({}) == Share(0, 1)
    torchrun = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert share_in(torchrun) == Share(3, 8, 1)
    slurm = {"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}
    assert share_in(slurm) == Share(2, 4, 0)
    with pytest.raises(PreencodeError, match=r"RANK=4, WORLD_SIZE=4, LOCAL_RANK=0: a rank from 0"):
        share_in({"RANK": "4", "WORLD_SIZE": "4"})


def test_processes_at_the_same_time_finish_a_folder_although_one_is_killed(world):
    world.preencode(batch_size=1)
    alone = content(world)
    for path in sorted(world.latents.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    file = world.root / "experiment.json"
    file.write_text(json.dumps(world.document(batch_size=1)))

    def start(rank):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"}
        command = [sys.executable, "-c", MAIN, str(file)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    victim, survivor = start(0), start(1)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait(60) == -signal.SIGKILL
    out, _ = survivor.communicate(timeout=60)
    assert survivor.returncode == 0
    assert "once the other processes are" in out
    victim.communicate()
    again = start(0)
    out, _ = again.communicate(timeout=60)
    assert again.returncode == 0, out
    assert "9 items" in out
    assert content(world) == alone
