import csv

from sat_train.loggers import CsvLogger


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
