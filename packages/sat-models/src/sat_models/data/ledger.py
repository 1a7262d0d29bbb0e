"""The ledger of files that could not be used: nothing is left out without a line in it."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

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
