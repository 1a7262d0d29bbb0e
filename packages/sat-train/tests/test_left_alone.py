"""What a run does when nobody looks: checkpoints, bad numbers, full disks, two at a time."""

import errno
import json
import logging
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import sat_config
from sat_config import UserError
from sat_train import fit
from sat_train.callbacks.checkpoint import Checkpoints
from sat_train.errors import DivergedError
from sat_train.lock import locked
from sat_train.record import load_record
from sat_train.run_folder import RunFolder


def run(document, **changes):
    return fit(sat_config.decode({**document, **changes}))


def names(result):
    return [path.name for path in reversed(RunFolder(result.run_folder).checkpoints())]


def weights(result):
    return torch.load(result.checkpoint, weights_only=True)["state_dict"]["model.weight"]


def record(result):
    return load_record(result.run_folder / "summary.json")


# ------------------------------------------------------------------------------- checkpoints


def test_newest_and_best_are_kept(line_document, monkeypatch):
    figures = iter([5.0, 1.0, 4.0, 3.0, 2.0])
    monkeypatch.setattr(
        "toy_family.LineMethod.validate", lambda *_: {"val/mse": next(figures)}, raising=True
    )
    result = run(line_document, checkpoint_every=1, val_every=1, save_top_k=2)
    assert names(result) == ["step=00000001.ckpt", "step=00000003.ckpt", "step=00000004.ckpt"]
    assert (record(result).best.step, record(result).best.value) == (1, 1.0)


def test_best_is_remembered_by_a_resumed_run(line_document, monkeypatch):
    figures = iter([5.0, 1.0, 4.0, 3.0, 2.0])
    monkeypatch.setattr("toy_family.LineMethod.validate", lambda *_: {"val/mse": next(figures)})
    settings = {"checkpoint_every": 1, "val_every": 1, "save_top_k": 1}
    run(line_document, max_steps=2, **settings)
    result = run(line_document, recover=True, **settings)
    assert names(result) == ["step=00000001.ckpt", "step=00000004.ckpt"]


def test_best_is_none_that_will_be_removed(line_document, monkeypatch):
    figures = iter([5.0, 1.0, 4.0])
    monkeypatch.setattr("toy_family.LineMethod.validate", lambda *_: {"val/mse": next(figures)})
    result = run(line_document, checkpoint_every=4, checkpoint_minutes=1e-9, val_every=3)
    assert names(result) == ["step=00000004.ckpt"]
    assert (record(result).best.step, record(result).best.value) == (4, 4.0)


def test_best_that_is_gone_is_forgotten_by_a_resumed_run(line_document, monkeypatch):
    figures = iter([5.0, 1.0, 4.0, 3.0, 2.0])
    monkeypatch.setattr("toy_family.LineMethod.validate", lambda *_: {"val/mse": next(figures)})
    settings = {"checkpoint_every": 1, "val_every": 1}
    first = run(line_document, max_steps=2, **settings)
    assert record(first).best.step == 1
    RunFolder(first.run_folder).checkpoint(1).unlink()
    assert record(run(line_document, recover=True, **settings)).best.step == 4


def test_all_are_kept_by_default(line_document):
    assert len(names(run(line_document, checkpoint_every=1))) == 4


def test_clock_makes_rescue_checkpoints_that_the_next_one_replaces(line_document, monkeypatch):
    seen = []
    written = Checkpoints._written
    monkeypatch.setattr(
        Checkpoints, "_written", lambda self, path: (seen.append(path.name), written(self, path))
    )
    result = run(line_document, checkpoint_every=3, checkpoint_minutes=1e-9)
    assert seen == [
        "step=00000001.rescue.ckpt",
        "step=00000002.rescue.ckpt",
        "step=00000003.ckpt",
        "step=00000004.ckpt",
    ]
    assert names(result) == ["step=00000003.ckpt", "step=00000004.ckpt"]


def test_exception_leaves_a_checkpoint_to_go_on_from(line_document, monkeypatch):
    whole = run(line_document, name="whole")
    batch = sys.modules["toy_family"].LineData.batch

    def fail(self, number):
        if number == 3:
            raise OSError("the file server is gone")
        return batch(self, number)

    with monkeypatch.context() as patch:
        patch.setattr("toy_family.LineData.batch", fail)
        with pytest.raises(OSError, match="file server"):
            run(line_document)
    (folder,) = (path.parent for path in whole.run_folder.parents[1].glob("line/*/summary.json"))
    assert load_record(folder / "summary.json").status == "failed"
    assert load_record(folder / "summary.json").reason == "OSError: the file server is gone"
    result = run(line_document, recover=True)
    assert result.run_folder == folder
    assert torch.equal(weights(result), weights(whole))
    assert record(result).status == "finished"


def test_full_disk_delays_a_checkpoint_and_loses_nothing(line_document, monkeypatch, caplog):
    save, calls = torch.save, []

    def full_at_first(content, path):
        calls.append(path)
        if len(calls) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(content, path)

    monkeypatch.setattr("sat_train.writer.torch.save", full_at_first)
    result = run(line_document, checkpoint_every=1)
    assert names(result) == ["step=00000003.ckpt", "step=00000004.ckpt"]
    assert "step=00000001.ckpt could not be written" in caplog.text


def test_full_disk_at_the_end_is_an_error(line_document, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sat_train.writer.torch.save", full)
    with pytest.raises(UserError, match="the last checkpoint of this run is missing"):
        run(line_document)


# ------------------------------------------------------------------------- numbers gone wrong


def test_poisoned_batch_is_skipped_and_written_down(line_document, caplog):
    line_document["model"]["poisoned"] = [2]
    with caplog.at_level(logging.WARNING):
        result = run(line_document, checkpoint_every=1)
    folder = result.run_folder
    two, three = (
        torch.load(folder / "checkpoints" / f"step=0000000{step}.ckpt", weights_only=True)
        for step in (2, 3)
    )
    assert torch.equal(two["state_dict"]["model.weight"], three["state_dict"]["model.weight"])
    assert not torch.equal(weights(result), three["state_dict"]["model.weight"])
    (line,) = (folder / "bad_steps.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert entry["step"] == 3
    assert entry["batches"][0]["ids"] == ["line/8", "line/9", "line/10", "line/11"]
    assert entry["batches"][0]["terms"] == {"loss": "nan", "mse": "nan"}
    assert record(result).skipped_steps == 1
    assert "step 3 was skipped" in caplog.text


def test_too_many_bad_steps_in_a_row_name_the_last_good_checkpoint(line_document):
    line_document["model"]["poisoned"] = [2, 4, 5, 6]
    settings = {"max_steps": 9, "checkpoint_every": 2, "max_bad_steps": 3}
    with pytest.raises(DivergedError, match=r"3 steps in a row.*step=00000004\.ckpt"):
        run(line_document, **settings)
    (found,) = (
        load_record(path)
        for path in (sys.modules["pathlib"].Path(line_document["save_dir"])).rglob("summary.json")
    )
    assert (found.status, found.skipped_steps) == ("failed", 4)


# --------------------------------------------------------------------------- which run goes on


def test_configuration_of_a_run_folder_continues_that_run(line_document):
    older = run(line_document, max_steps=2)
    newer = run(line_document, max_steps=3)
    experiment = sat_config.decode({**line_document, "recover": True})
    file = older.run_folder / "config.toml"
    assert fit(experiment, source=file).run_folder == older.run_folder
    assert fit(experiment).run_folder == newer.run_folder


def test_run_is_newest_by_its_number_not_by_the_clock(line_document):
    older = run(line_document, max_steps=2)
    newer = run(line_document, max_steps=3)
    renamed = newer.run_folder.with_name("20000101-000000-00000000")
    newer.run_folder.rename(renamed)
    assert (record(older).sequence, load_record(renamed / "summary.json").sequence) == (1, 2)
    assert run(line_document, recover=True).run_folder == renamed


def test_run_folder_without_a_checkpoint_starts_afresh(line_document, caplog):
    first = run(line_document)
    first.checkpoint.unlink()
    experiment = sat_config.decode({**line_document, "recover": True})
    with caplog.at_level(logging.WARNING):
        second = fit(experiment, source=first.run_folder / "config.toml")
    assert second.run_folder != first.run_folder
    assert "has no whole checkpoint; starting afresh" in caplog.text


def test_changes_are_listed_with_what_they_do(line_document, capsys):
    run(line_document, max_steps=2)
    run(line_document, recover=True, batch_size=2)
    out = capsys.readouterr().out
    assert "changed" in out
    assert "batch_size: 4 -> 2  (needs a restart)" in out
    assert "max_steps: 2 -> 4  (harmless)" in out


def test_other_starting_weights_cannot_apply_to_a_run_that_goes_on(line_document):
    first = run(line_document, max_steps=2)
    with pytest.raises(UserError, match="pretrained_ckpt_path: not set -> "):
        run(line_document, recover=True, pretrained_ckpt_path=str(first.checkpoint))


def test_run_in_use_is_refused(line_document, tmp_path):
    first = run(line_document, max_steps=2)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys; from sat_train.lock import locked\n"
            "with locked(pathlib.Path(sys.argv[1])): print('locked', flush=True); input()",
            first.run_folder,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match=rf"process {holder.pid} on .*trains in"):
            run(line_document, recover=True)
    finally:
        holder.communicate("\n")
    assert run(line_document, recover=True).step == 4
    with locked(first.run_folder):
        pass


def test_what_an_earlier_start_said_is_kept_however_often(line_document):
    run(line_document, max_steps=2)
    for _ in range(2):
        result = run(line_document, max_steps=3, recover=True)
        result.checkpoint.unlink()
    assert {path.name for path in result.run_folder.glob("before*")} == {
        "before_step=00000002",
        "before_step=00000002-2",
    }


def test_record_says_how_a_run_stands(line_document):
    result = run(line_document)
    found = record(result)
    assert (found.status, found.step, found.max_steps) == ("finished", 4, 4)
    assert found.checkpoint == "checkpoints/step=00000004.ckpt"
    assert found.headline == "val/mse"
    assert found.last["val/mse"] == pytest.approx(result.metrics["val/mse"])
    again = run(line_document, name="other", ckpt_path=str(result.run_folder), max_steps=5)
    assert record(again).parent == str(result.run_folder)


def test_unfinished_files_of_a_killed_process_are_removed(line_document):
    first = run(line_document, max_steps=2)
    left = first.run_folder / "checkpoints" / ".step=00000003.ckpt.1-a.tmp"
    left.write_bytes(b"half")
    run(line_document, recover=True)
    assert not left.exists()


def test_run_folder_that_cannot_be_written_is_a_message(line_document, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunFolder, "describe", full)
    with pytest.raises(UserError, match=r"cannot be written.*No space left"):
        run(line_document)


def test_dead_worker_is_a_message_and_leaves_a_checkpoint(line_document, monkeypatch):
    batch = sys.modules["toy_family"].LineData.batch

    def die(self, number):
        if number == 3:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
        return batch(self, number)

    monkeypatch.setattr("toy_family.LineData.batch", die)
    with pytest.raises(UserError, match=r"DataLoader worker \(pid 7\) is killed"):
        run(line_document)
    assert list(Path(line_document["save_dir"]).rglob("step=*.rescue.ckpt"))


def test_workers_that_hang_do_not_keep_a_failed_run_from_ending(line_document, monkeypatch):
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(100,))

    def start_and_fail(self, number):
        process.start()
        raise OSError("gone")

    monkeypatch.setattr("toy_family.Endless.__iter__", lambda self: start_and_fail(self, 0))
    with pytest.raises(OSError, match="gone"):
        run(line_document)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
