import json
import logging
import multiprocessing
import pickle

import pytest

from sat_models.data.ledger import Ledger
from sat_models.errors import DataError


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_record_writes_a_line_for_each_failure_and_warns_once_a_file(tmp_path, caplog):
    ledger = Ledger(tmp_path / "run" / "bad_files.jsonl", on_bad_file="skip")
    assert not (tmp_path / "run").exists()
    with caplog.at_level(logging.WARNING):
        ledger.record("a.wav", "ends early", 44100)
        ledger.record("a.wav", "ends early", 88200)
        ledger.record("b.wav", "b.wav: holds no audio")
    written = lines(tmp_path / "run" / "bad_files.jsonl")
    assert [(entry["path"], entry["offset"]) for entry in written] == [
        ("a.wav", 44100),
        ("a.wav", 88200),
        ("b.wav", None),
    ]
    assert written[2]["reason"] == "holds no audio"
    assert written[0]["time"].endswith("+00:00")
    assert [message.split(";")[0] for message in caplog.messages] == [
        "left out a.wav: ends early",
        "left out b.wav: holds no audio",
    ]


def test_record_with_bad_files_as_errors_raises_after_writing(tmp_path):
    ledger = Ledger(tmp_path / "bad.jsonl", on_bad_file="error")
    with pytest.raises(DataError, match=r'a\.wav: ends early\nMend .* on_bad_file = "skip"'):
        ledger.record("a.wav", "ends early")
    assert len(lines(tmp_path / "bad.jsonl")) == 1


def test_ledger_without_a_file_only_warns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Ledger(None, on_bad_file="skip").record("a.wav", "ends early")
    assert list(tmp_path.iterdir()) == []


def record_many(ledger, name):
    logging.disable()
    for number in range(100):
        ledger.record(name, "x" * 500, number)


def test_lines_of_several_processes_stay_whole(tmp_path):
    ledger = pickle.loads(pickle.dumps(Ledger(tmp_path / "bad.jsonl", on_bad_file="skip")))
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=record_many, args=(ledger, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    written = lines(tmp_path / "bad.jsonl")
    assert sorted((entry["path"], entry["offset"]) for entry in written) == [
        (name, number) for name in "ab" for number in range(100)
    ]
