"""Killed at any byte, or on a full disk: the same command ends in the bytes of a whole run."""

import errno
import os
import random
import shutil
import signal

import pytest

from sat_preencode import StoreError

POINTS = [0.02, 0.25, 0.5, 0.75, 0.98]
"""Shares of all bytes that a run writes; between two of them lies a random one."""

real_write = os.write


class Bytes:
    """Counts what is written, and does something in the middle of a write.

    Args:
        limit: Bytes that are still written.
        then: What happens instead of writing more.
    """

    def __init__(self, limit, then):
        self.limit, self.then, self.written = limit, then, 0

    def __call__(self, descriptor, content):
        if self.written + len(content) > self.limit:
            real_write(descriptor, bytes(content)[: self.limit - self.written])
            self.written = self.limit
            self.then()
        self.written += len(content)
        return real_write(descriptor, content)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def full():
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(params=["wds", "sat"])
def reference(request, world, monkeypatch):
    """What to ask for, what an undisturbed run leaves, and how many bytes it writes."""
    changes = world.with_table(format=request.param)
    count = Bytes(float("inf"), None)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", count)
        world.preencode(**changes)
    files = world.files()
    shutil.rmtree(world.latents)
    return changes, files, count.written


def instant(part, total):
    return random.Random(part).randrange(round(part * total), round(min(part + 0.02, 1) * total))


@pytest.mark.parametrize("part", POINTS)
def test_killed_run_goes_on_to_the_same_bytes(world, reference, part):
    changes, files, total = reference
    limit = instant(part, total)
    child = os.fork()
    if not child:
        os.write = Bytes(limit, kill)
        try:
            world.preencode(**changes)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (world.latents / "manifest.jsonl").exists()
    world.preencode(**changes)
    assert world.files() == files


@pytest.mark.parametrize("part", POINTS)
def test_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    world, reference, part, monkeypatch
):
    changes, files, total = reference
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", Bytes(instant(part, total), full))
        with pytest.raises(StoreError, match="No space left on device; what has been finished"):
            world.preencode(**changes)
    assert not (world.latents / "manifest.jsonl").exists()
    world.preencode(**changes)
    assert world.files() == files
