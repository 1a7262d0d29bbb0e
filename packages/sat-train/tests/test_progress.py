import io

import pytest
from rich.console import Console

from sat_train.callbacks.metrics import TrainingMetrics
from sat_train.callbacks.progress import ShowProgress
from sat_train.report import Report, format_count, format_seconds


class Clock:
    """Stands in for the time module and the trainer: one step takes `seconds`."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.global_step = 0

    def monotonic(self):
        return 1000 + self.global_step * self.seconds


@pytest.fixture
def lines(monkeypatch):
    def run(*, steps, seconds, max_steps):
        clock = Clock(seconds)
        monkeypatch.setattr("sat_train.callbacks.progress.time", clock)
        text = io.StringIO()
        report = Report(Console(file=text, force_terminal=False, width=200))
        progress = ShowProgress(TrainingMetrics(), report=report, max_steps=max_steps)
        progress.on_train_batch_start(clock, None, None, 0)
        for _ in range(steps):
            clock.global_step += 1
            progress.on_step(clock, None)
        return text.getvalue().splitlines()

    return run


def test_first_and_last_step_are_said(lines):
    assert lines(steps=3, seconds=0.5, max_steps=3) == [
        "step 1/3  loss nan  2.0 steps/s  0:01 left",
        "step 3/3  loss nan  2.0 steps/s  0:00 left",
    ]


def test_lines_come_every_ten_seconds_and_less_often_in_long_runs(lines):
    said = [int(line.split()[1]) for line in lines(steps=4000, seconds=1.0, max_steps=None)]
    assert said[:4] == [1, 11, 21, 31]
    assert said[-1] - said[-2] > 150
    assert len(said) < 100


def test_slow_steps_are_said_in_seconds(lines):
    assert lines(steps=1, seconds=20.0, max_steps=None) == ["step 1  loss nan  20.0 s/step"]


def test_terminal_gets_a_bar(monkeypatch):
    clock = Clock(1.0)
    monkeypatch.setattr("sat_train.callbacks.progress.time", clock)
    text = io.StringIO()
    report = Report(Console(file=text, force_terminal=True, width=80))
    progress = ShowProgress(TrainingMetrics(), report=report, max_steps=2)
    progress.on_train_batch_start(clock, None, None, 0)
    clock.global_step = 1
    progress.on_step(clock, None)
    progress.teardown(None, None, "fit")
    assert "step 1/2" in text.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (65, "1:05"), (3600, "1:00:00"), (7325.6, "2:02:06")]
)
def test_seconds(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (1234, "1.23 k"), (4_560_000, "4.56 M")]
)
def test_counts(number, text):
    assert format_count(number) == text
