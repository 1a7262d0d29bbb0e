import csv
import sys
import zipfile

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import sat_config
from sat_config import UserError
from sat_config.errors import MissingExtraError
from sat_train.loggers import CsvLogger, TensorBoardLogger
from sat_train.online_loggers import CometLogger, WandbLogger
from sat_train.run_folder import RunFolder


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_figures_of_a_step_share_a_row(tmp_path):
    logger = CsvLogger(tmp_path / "m.csv", resumed_at=0)
    logger.log_metrics({"a": 1.5}, step=1)
    logger.log_metrics({"b": 2.5}, step=1)
    logger.log_metrics({"a": 3.5}, step=2)
    logger.finalize("success")
    assert table(tmp_path / "m.csv") == [
        {"step": "1", "a": "1.5", "b": "2.5"},
        {"step": "2", "a": "3.5", "b": ""},
    ]


def test_new_column_keeps_earlier_rows(tmp_path):
    logger = CsvLogger(tmp_path / "m.csv", resumed_at=0)
    logger.log_metrics({"a": 1.0}, step=1)
    logger.log_metrics({"b": 2.0}, step=2)
    logger.finalize("success")
    assert [row["step"] for row in table(tmp_path / "m.csv")] == ["1", "2"]
    assert table(tmp_path / "m.csv")[0] == {"step": "1", "a": "1.0", "b": ""}


def test_resumed_logger_appends_and_drops_later_rows(tmp_path):
    first = CsvLogger(tmp_path / "m.csv", resumed_at=0)
    for step in range(5):
        first.log_metrics({"a": float(step)}, step=step)
    first.finalize("failed")
    second = CsvLogger(tmp_path / "m.csv", resumed_at=2)
    second.log_metrics({"a": 9.0}, step=3)
    second.finalize("success")
    assert [row["a"] for row in table(tmp_path / "m.csv")] == ["0.0", "1.0", "2.0", "9.0"]


def test_logger_without_figures_writes_nothing(tmp_path):
    CsvLogger(tmp_path / "m.csv", resumed_at=0).finalize("success")
    assert not (tmp_path / "m.csv").exists()


def test_row_is_on_the_disk_at_once_and_grows(tmp_path):
    logger = CsvLogger(tmp_path / "m.csv", resumed_at=0)
    logger.log_metrics({"a": 1.0, "b": 2.0}, step=1)
    logger.log_metrics({"a": 3.0}, step=2)
    assert table(tmp_path / "m.csv")[1] == {"step": "2", "a": "3.0", "b": ""}
    logger.log_metrics({"b": 4.0}, step=2)
    assert table(tmp_path / "m.csv")[1] == {"step": "2", "a": "3.0", "b": "4.0"}


def test_rows_that_the_disk_does_not_take_are_kept(tmp_path, monkeypatch, caplog):
    logger = CsvLogger(tmp_path / "m.csv", resumed_at=0)
    logger.log_metrics({"a": 1.0}, step=1)
    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "open", fail)
        logger.log_metrics({"a": 2.0}, step=2)
        logger.log_metrics({"a": 3.0}, step=3)
    logger.log_metrics({"a": 4.0}, step=4)
    assert [row["step"] for row in table(tmp_path / "m.csv")] == ["1", "2", "3", "4"]
    assert "its rows are kept for later" in caplog.text


def test_rows_are_written_once_though_the_disk_takes_them_one_by_one(tmp_path, monkeypatch):
    logger, open_file, calls = CsvLogger(tmp_path / "m.csv", resumed_at=0), type(tmp_path).open, []
    logger.log_metrics({"a": 0.0}, step=0)

    def takes_some(self, *args, **kwargs):
        calls.append(self)
        return fail() if len(calls) in (1, 3, 4) else open_file(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "open", takes_some)
        for step in range(1, 6):
            logger.log_metrics({"a": float(step)}, step=step)
    assert [row["step"] for row in table(tmp_path / "m.csv")] == ["0", "1", "2", "3", "4", "5"]


def fail(*_args, **_kwargs):
    raise OSError("No space left on device")


def test_piece_of_a_row_is_dropped_by_a_resumed_run(tmp_path):
    (tmp_path / "m.csv").write_text("step,a\n1,1.0\n2,0.5")
    logger = CsvLogger(tmp_path / "m.csv", resumed_at=9)
    logger.log_metrics({"a": 3.0}, step=3)
    assert [row["step"] for row in table(tmp_path / "m.csv")] == ["1", "3"]


@pytest.fixture
def files(tmp_path):
    soundfile.write(tmp_path / "00_clip.flac", np.zeros(800), 8000)
    figure = Figure(figsize=(1, 1))
    figure.savefig(tmp_path / "00_clip.png")
    return {"demos/00_clip": tmp_path / "00_clip.flac", "demos/00_look": tmp_path / "00_clip.png"}


def log_all(logger, files):
    logger.log_metrics({"train/loss": 1.5}, step=1)
    logger.log_files(files, step=1)
    logger.finalize("success")


def test_tensorboard_has_figures_clips_and_pictures(tmp_path, files):
    log_all(TensorBoardLogger(tmp_path / "tb", resumed_at=0), files)
    found = EventAccumulator(str(tmp_path / "tb")).Reload().Tags()
    assert found["scalars"] == ["train/loss"]
    assert found["audio"] == ["demos/00_clip"]
    assert found["images"] == ["demos/00_look"]


@pytest.mark.slow
def test_wandb_works_offline(line_document, tmp_path, files, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    experiment = sat_config.decode({**line_document, "logger": "wandb", "project": "songs"})
    log_all(WandbLogger(experiment, RunFolder(tmp_path / "run")), files)
    (run,) = (tmp_path / "run" / "logs" / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))
    assert {path.suffix for path in run.glob("files/media/**/*") if path.is_file()} == {
        ".flac",
        ".png",
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_comet_works_offline(line_document, tmp_path, files, monkeypatch):
    monkeypatch.setenv("COMET_START_ONLINE", "0")
    experiment = sat_config.decode({**line_document, "logger": "comet"})
    log_all(CometLogger(experiment, RunFolder(tmp_path / "run")), files)
    (archive,) = (tmp_path / "run" / "logs" / "comet").glob("*.zip")
    with zipfile.ZipFile(archive) as content:
        messages = content.read("messages.json").decode()
    assert all(name in messages for name in ("demos/00_clip", "demos/00_look", "train/loss"))


def test_service_without_an_account_is_refused(line_document, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    experiment = sat_config.decode({**line_document, "logger": "wandb"})
    with pytest.raises(UserError, match="WANDB_MODE=offline"):
        WandbLogger(experiment, RunFolder(tmp_path))


def test_missing_package_names_the_extra(line_document, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "comet_ml", None)
    experiment = sat_config.decode({**line_document, "logger": "comet"})
    with pytest.raises(MissingExtraError, match=r"pip install 'sat-train\[comet\]'"):
        CometLogger(experiment, RunFolder(tmp_path))
