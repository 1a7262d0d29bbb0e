"""What a person sees while latents are made: a bar on a terminal, plain lines anywhere else."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

SECONDS_BETWEEN_LINES = 10.0


def duration(seconds: float) -> str:
    """A length of audio in the unit that suits it: `47.9 s`, `12.3 min`, `1.25 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.2f} h"


class Meter(ABC):
    """Counts what is encoded and shows it."""

    def __init__(self, *, items: int, finished: int, seconds: float) -> None:
        """Start the clock.

        Args:
            items: Items there will be.
            finished: Items that are there already.
            seconds: Audio in those that are not.
        """
        self.items = items
        self.total_seconds = seconds
        self.finished = finished
        self._seconds = 0.0
        self._started = time.monotonic()

    def advance(self, items: int, seconds: float) -> None:
        """Count a batch.

        Args:
            items: Items written.
            seconds: Audio in them.
        """
        self.finished += items
        self._seconds += seconds
        self._show()

    def text(self) -> str:
        """How far it has come: `12/40 items, 1.25 h of audio, 31.0x real time, 4.2 min left`."""
        passed = max(time.monotonic() - self._started, 1e-9)
        text = (
            f"{self.finished}/{self.items} items, {duration(self._seconds)} of audio,"
            f" {self._seconds / passed:.1f}x real time"
        )
        if not 0 < self._seconds < self.total_seconds:
            return text
        left = (self.total_seconds - self._seconds) * passed / self._seconds
        return f"{text}, {duration(left)} left"

    @abstractmethod
    def _show(self) -> None: ...


class Reporter:
    """Says what happens, and how far encoding has come."""

    def __init__(self, console: Console | None = None) -> None:
        """Report to `console`; standard output if left out."""
        self._console = console or Console(soft_wrap=True)

    def say(self, text: str) -> None:
        """Write one message."""
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def encoding(self, *, items: int, finished: int, seconds: float) -> Iterator[Meter]:
        """Show how far encoding has come, for the time of a `with` block.

        Args:
            items: Items there will be.
            finished: Items that are there already.
            seconds: Audio in those that are not.
        """
        if not self._console.is_terminal:
            yield _LineMeter(self, items=items, finished=finished, seconds=seconds)
            return
        columns = (BarColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=self._console) as progress:
            yield _BarMeter(progress, items=items, finished=finished, seconds=seconds)


class _LineMeter(Meter):
    """A line now and then, and one when all is done."""

    def __init__(self, reporter: Reporter, *, items: int, finished: int, seconds: float) -> None:
        super().__init__(items=items, finished=finished, seconds=seconds)
        self._reporter = reporter
        self._next_line = self._started + SECONDS_BETWEEN_LINES

    def _show(self) -> None:
        now = time.monotonic()
        if now >= self._next_line or self.finished == self.items:
            self._reporter.say(self.text())
            self._next_line = now + SECONDS_BETWEEN_LINES


class _BarMeter(Meter):
    """A bar that moves."""

    def __init__(self, progress: Progress, *, items: int, finished: int, seconds: float) -> None:
        super().__init__(items=items, finished=finished, seconds=seconds)
        self._progress = progress
        self._task: TaskID = progress.add_task(self.text(), total=items, completed=finished)

    def _show(self) -> None:
        self._progress.update(self._task, completed=self.finished, description=self.text())
