"""Loggers that write into the run folder and continue there after a resume."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.tensorboard import SummaryWriter

from sat_models.files import replacing


class RunLogger(Logger):
    """A logger of scalars alone; the run folder holds the configuration already."""

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


class CsvLogger(RunLogger):
    """One row per step, one column per metric, empty where a step lacks the metric.

    A row is written when the next step begins, so that figures of one step share it. When a metric
    first appears the file is written anew with a column more.

    Args:
        path: The file.
        resumed_at: Rows of later steps, which a resumed run will take again, are dropped.
    """

    def __init__(self, path: Path, *, resumed_at: int) -> None:
        super().__init__()
        self.path = path
        self.resumed_at = resumed_at
        self._columns: list[str] = []
        self._row: dict[str, float | int] = {}

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add figures to a step's row."""
        assert step is not None
        if self._row and self._row["step"] != step:
            self._write_row()
        self._row |= {"step": step, **metrics}

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the last row."""
        if self._row:
            self._write_row()

    def _write_row(self) -> None:
        if not self._columns or not self._row.keys() <= set(self._columns):
            self._rewrite()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, restval="").writerow(self._row)
        self._row = {}

    def _rewrite(self) -> None:
        """The same rows under a header that has all columns."""
        rows: list[dict[str, str]] = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        if not self._columns:
            rows = [row for row in rows if int(row["step"]) <= self.resumed_at]
        known = [*(rows[0] if rows else ()), *self._columns, *self._row]
        self._columns = list(dict.fromkeys(known))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
        with replacing(self.path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


class TensorBoardLogger(RunLogger):
    """Scalars for TensorBoard.

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
        if self._writer is None:
            purge = self.resumed_at + 1 if self.resumed_at else None
            self._writer = SummaryWriter(self.folder, purge_step=purge)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write out what is pending."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
