from io import StringIO

import pytest
from rich.console import Console

from sat_preencode import progress
from sat_preencode.progress import Reporter, duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (59.9, "59.9 s"), (90, "1.5 min"), (5400, "1.50 h")]
)
def test_duration_takes_the_unit_that_suits(seconds, text):
    assert duration(seconds) == text


def test_file_gets_a_line_at_the_end_and_no_control_codes():
    out = StringIO()
    with Reporter(Console(file=out)).encoding(items=3, finished=1, seconds=60.0) as meter:
        meter.advance(1, 30.0)
        meter.advance(1, 30.0)
    assert out.getvalue().startswith("3/3 items, 1.0 min of audio, ")
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()


def test_file_gets_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    out = StringIO()
    with Reporter(Console(file=out)).encoding(items=3, finished=0, seconds=3.0) as meter:
        meter.advance(1, 1.0)
        meter.advance(1, 1.0)
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["1/3", "2/3"]
    assert all("real time, " in line and line.endswith(" left") for line in lines)


def test_terminal_gets_a_bar():
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with Reporter(console).encoding(items=2, finished=0, seconds=7200.0) as meter:
        meter.advance(2, 7200.0)
    assert "2/2 items, 2.00 h of audio" in out.getvalue()
    assert "\x1b" in out.getvalue()


def test_brackets_in_messages_are_text():
    out = StringIO()
    Reporter(Console(file=out)).say("[bold]a[/bold]")
    assert out.getvalue() == "[bold]a[/bold]\n"
