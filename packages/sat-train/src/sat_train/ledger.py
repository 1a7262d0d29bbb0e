"""The run's ledger of bad files, which starts before the run has a folder."""

from pathlib import Path
from typing import Literal

from sat_models.data.ledger import Ledger


class RunLedger(Ledger):
    """A ledger that keeps its lines in memory until it is told where the run's folder is.

    A start that fails must leave nothing behind, and bad files are met before it has succeeded.
    """

    def __init__(self, *, on_bad_file: Literal["error", "skip"]) -> None:
        super().__init__(None, on_bad_file=on_bad_file)
        self._waiting: list[tuple[str | Path, str, int | None]] = []

    def record(self, file: str | Path, reason: str, offset: int | None = None) -> None:
        """Write one failure down, or remember it; warn about a file the first time it is met.

        Raises:
            DataError: Bad files are errors.
        """
        if self.path is None:
            self._waiting.append((file, reason, offset))
        super().record(file, reason, offset)

    def open(self, path: Path) -> None:
        """Write down what has been remembered, and from now on everything at once."""
        self.path = path
        waiting, self._waiting = self._waiting, []
        for file, reason, offset in waiting:
            super().record(file, reason, offset)
