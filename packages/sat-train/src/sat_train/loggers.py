"""Loggers that write into the run folder and continue there after a resume.

What goes to a logger is figures by name, and files: clips and pictures that lie in the run folder
already. `docs/reference/metrics.md` lists the names.
"""

import csv
import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.image
import soundfile
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from sat_models.files import replacing

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)

AUDIO = (".flac", ".wav", ".ogg")


class RunLogger(Logger):
    """A logger of figures and files; the run folder holds the configuration already."""

    @property
    def name(self) -> str:
        """Unused: the path says everything."""
        return ""

    @property
    def version(self) -> str:
        """Unused: a folder holds one run."""
        return ""

    def log_hyperparams(self, *args: object) -> None:
        """Nothing: see the run folder's config.toml."""

    def log_files(self, files: Mapping[str, Path], *, step: int) -> None:
        """Show files of the run folder, by title: audio or pictures, as the suffix says."""


class CsvLogger(RunLogger):
    """One row per step, one column per metric, empty where a step lacks the metric.

    Figures of one step share its row, which is on the disk as soon as there is one. When a metric
    first appears the file is written anew with a column more. Rows that the disk does not take are
    kept until it does.

    Args:
        path: The file.
        resumed_at: Rows of later steps, which a resumed run will take again, are dropped.
    """

    def __init__(self, path: Path, *, resumed_at: int) -> None:
        super().__init__()
        self.path = path
        self.resumed_at = resumed_at
        self._columns: list[str] = []
        self._rows: list[dict[str, float | int]] = []
        """What is not on the disk yet, and the newest row, which may still grow."""
        self._end = 0
        """Where the newest row begins in the file, or would."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add figures to a step's row."""
        assert step is not None
        if not self._rows or self._rows[-1]["step"] != step:
            self._rows.append({"step": step})
        self._rows[-1] |= metrics
        try:
            self._write()
        except OSError as error:
            log.warning("%s cannot be written (%s); its rows are kept for later", self.path, error)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Try once more to write what is left."""
        if len(self._rows) > 1:
            self._write()

    def _write(self) -> None:
        if not {name for row in self._rows for name in row} <= set(self._columns):
            self._rewrite()
        while self._rows:
            line = _line(self._rows[0], self._columns)
            with self.path.open("r+b") as file:
                file.seek(self._end)
                file.write(line)
                file.truncate()
            if len(self._rows) == 1:
                return
            # One after the other: the disk may take this row and not the next one.
            self._end += len(line)
            del self._rows[0]

    def _rewrite(self) -> None:
        """The rows so far under a header that has all columns."""
        rows: list[dict[str, str]] = []
        if self.path.exists():
            # Without what a power cut has left of the last line.
            text = self.path.read_text(encoding="utf-8").rpartition("\n")[0]
            rows = list(csv.DictReader(io.StringIO(text)))
        # At first what is there is an earlier start's, later it ends with a row that may grow.
        last = self.resumed_at if not self._columns else self._rows[0]["step"] - 1
        rows = [row for row in rows if int(row["step"]) <= last]
        new = (name for row in self._rows for name in row)
        columns = list(dict.fromkeys([*(rows[0] if rows else ()), *self._columns, *new]))
        head = b"".join(
            [_line({n: n for n in columns}, columns), *(_line(r, columns) for r in rows)]
        )
        with replacing(self.path) as temporary:
            temporary.write_bytes(head)
        self._columns, self._end = columns, len(head)


def _line(row: Mapping[str, object], columns: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerow(row)
    return text.getvalue().encode()


class TensorBoardLogger(RunLogger):
    """Figures, clips and pictures for TensorBoard.

    It is a view of what the run folder has: where the disk is full, it goes without.

    Args:
        folder: Where event files go.
        resumed_at: Later points are hidden, as a resumed run will make them again.
    """

    def __init__(self, folder: Path, *, resumed_at: int) -> None:
        super().__init__()
        self.folder = folder
        self.resumed_at = resumed_at
        self._writer: SummaryWriter | None = None

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a point to each metric's curve."""
        try:
            for name, value in metrics.items():
                self._open().add_scalar(name, value, step)
        except OSError as error:
            self._give_up(error)

    @rank_zero_only
    def log_files(self, files: Mapping[str, Path], *, step: int) -> None:
        """Add clips, mixed to one channel, and pictures."""
        try:
            for title, path in files.items():
                self._add(title, path, step)
        except OSError as error:
            self._give_up(error)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write out what is pending."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> "SummaryWriter":
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # takes a second

            purge = self.resumed_at + 1 if self.resumed_at else None
            self._writer = SummaryWriter(self.folder, purge_step=purge)
        return self._writer

    def _add(self, title: str, path: Path, step: int) -> None:
        if path.suffix in AUDIO:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            mono = torch.from_numpy(samples.mean(1))[None]
            self._open().add_audio(title, mono, step, sample_rate=rate)
        else:
            picture = matplotlib.image.imread(path)[..., :3]
            self._open().add_image(title, picture, step, dataformats="HWC")

    def _give_up(self, error: OSError) -> None:
        """Begin a new event file with the next figures."""
        log.warning("TensorBoard's files in %s cannot be written: %s", self.folder, error)
        self._writer = None


def title_of(path: Path) -> str:
    """What a file of the run folder is called: the same at every step."""
    return f"demos/{os.path.splitext(path.name)[0]}"
