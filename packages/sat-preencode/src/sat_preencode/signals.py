"""Ctrl-C and SIGTERM: finish the batch, then stop; a second one stops at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopSignal:
    """Remembers the first signal; called, it says whether one has come.

    Attributes:
        number: The signal, or None.
    """

    number: int | None = None

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.number is not None

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            SystemExit: It is the second one.
        """
        if self.number is not None:
            raise SystemExit(128 + number)
        self.number = number
        # A handler may interrupt a print to the same stream, so the message goes past it.
        os.write(2, b"\nstopping after this batch; once more to stop at once\n")


@contextmanager
def stop_signals() -> Iterator[StopSignal]:
    """Take SIGINT and SIGTERM for the time of a `with` block; for the main thread only."""
    stop = StopSignal()
    before = [(n, signal.signal(n, stop.take)) for n in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield stop
    finally:
        for number, handler in before:
            signal.signal(number, handler)
