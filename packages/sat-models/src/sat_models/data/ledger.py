"""The ledger of files that could not be used: nothing is left out without a line in it."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sat_models.data.batch import BadItem
from sat_models.errors import DataError
from sat_models.files import append_line

logger = logging.getLogger(__name__)


class Ledger:
    """Writes bad files down, one JSON object a line, and stops the run if that is asked for.

    Copies in several processes may write to the same file: each line is one appending write.
    """

    def __init__(self, path: Path | None, *, on_bad_file: Literal["error", "skip"]) -> None:
        """Open nothing yet: the file appears with its first line.

        Args:
            path: The ledger; None only warns.
            on_bad_file: Whether a bad file is skipped or an error.
        """
        self.path = path
        self.on_bad_file = on_bad_file
        self._warned: set[str] = set()

    @property
    def files(self) -> frozenset[str]:
        """Files that this process has written down."""
        return frozenset(self._warned)

    def record(self, file: str | Path, reason: str, offset: int | None = None) -> None:
        """Write one failure down; warn about a file the first time this process meets it.

        Args:
            file: What could not be used.
            reason: Why, in words; may begin with the file's name, as the message of an AudioError.
            offset: First sample of the crop that failed, if the file as a whole can be opened.

        Raises:
            DataError: Bad files are errors.
        """
        name = str(file)
        reason = reason.removeprefix(f"{name}: ")
        if self.path is not None:
            time = datetime.now(UTC).isoformat(timespec="seconds")
            append_line(self.path, {"path": name, "reason": reason, "offset": offset, "time": time})
        if self.on_bad_file == "error":
            raise DataError(
                f"{name}: {reason}\nMend or remove the file, or set"
                f' on_bad_file = "skip" to go on without it.'
            )
        if name not in self._warned:
            self._warned.add(name)
            where = f"; noted in {self.path}" if self.path is not None else ""
            logger.warning("left out %s: %s%s", name, reason, where)


class Tally:
    """Counts what was read and what was left out, and stops a run that loses too much."""

    def __init__(self, ledger: Ledger, *, items: int, max_bad_share: float) -> None:
        """Count nothing yet.

        Args:
            ledger: Where bad items are written down.
            items: Items of an epoch.
            max_bad_share: Share of bad items that is borne.
        """
        self._ledger = ledger
        self._items = items
        self._max_bad_share = max_bad_share
        self.good = 0
        self.bad = 0

    def check_opened(self, *, bad: int) -> None:
        """Judge what was left out while the dataset was built.

        Args:
            bad: Files that could not be opened.

        Raises:
            DataError: They are more than the share that is borne.
        """
        if bad > self._max_bad_share * (self._items + bad):
            raise DataError(self._too_many(f"{bad} of {self._items + bad} files cannot be used"))

    def count(self, *, good: int, bad: Sequence[BadItem]) -> None:
        """Count a batch.

        Args:
            good: Items in it.
            bad: Items that are missing from it.

        Raises:
            DataError: A bad item that may not be skipped; more than the share that is borne, of all
                items so far and of an epoch at least; an epoch without any good item.
        """
        self.good += good
        for item in bad:
            self._ledger.record(item.path, item.reason, item.offset)
            self.bad += 1
            if self.bad in _MILESTONES:
                logger.warning("%s so far", self._account())
        measured = max(self.good + self.bad, self._items)
        if bad and self.bad > self._max_bad_share * measured:
            last = f"; the last one: {bad[-1].path}: {_bare(bad[-1])}"
            raise DataError(self._too_many(self._account() + last))
        if self.good == 0 and self.bad >= self._items:
            raise DataError(f"not one of {self.bad} items could be read: {_bare(bad[-1])}")

    def _too_many(self, found: str) -> str:
        return (
            f"{found}\nThat is more than max_bad_share = {self._max_bad_share:g} allows: mend the"
            " files, or raise it. `sat-models check-data EXPERIMENT` lists all that is wrong with a"
            " dataset"
        )

    def _account(self) -> str:
        where = f" (see {self._ledger.path})" if self._ledger.path is not None else ""
        return f"{self.bad} of {self.good + self.bad} items were left out{where}"


_MILESTONES = {10**power for power in range(1, 10)}


def _bare(item: BadItem) -> str:
    return item.reason.removeprefix(f"{item.path}: ")
