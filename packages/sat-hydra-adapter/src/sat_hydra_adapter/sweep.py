"""What a sweep leaves behind: a record of each job, and all of them as a table and a picture."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from sat_config import UserError
from sat_hydra_adapter.chart import bar_chart
from sat_hydra_adapter.record import words_of, write_whole

TABLE = "table.csv"
PICTURE = "table.svg"
_failed: list[str] = []
"""What became of the sweeps of this process, to tell at its end."""


class SweepTable(Callback):
    """Gathers the records of a sweep when it ends. Hydra makes one from `hydra.callbacks`."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401 - Hydra's
        """Write the table and its picture, and say where they are."""
        folder = Path(str(config.hydra.sweep.dir))
        jobs = _read_jobs(folder)
        write_whole(folder / TABLE, _as_csv(jobs))
        write_whole(folder / PICTURE, bar_chart(_bars(jobs), title="objective by job"))
        failed = [job for job in jobs if "error" in job]
        if failed:
            _failed.append(f"{len(failed)} of {len(jobs)} jobs failed; see {folder / TABLE}")
        sys.stdout.write(f"sweep: {len(jobs)} jobs in {folder / TABLE} and {folder / PICTURE}\n")


def forget() -> None:
    """Start without failures."""
    _failed.clear()


def raise_failures() -> None:
    """Tell of jobs that failed.

    Raises:
        UserError: There are some.
    """
    if _failed:
        raise UserError("\n".join(_failed))


def objective(result: object) -> float | None:
    """The number that a sweeper makes small: the result itself, or its `objective`."""
    found = result if isinstance(result, int | float) else getattr(result, "objective", None)
    return float(found) if isinstance(found, int | float) else None


def record(settings: HydraConf, result: object) -> None:
    """Note what a job of a sweep gave.

    Args:
        settings: Hydra's part of the job's configuration.
        result: What the task gave.
    """
    metrics = getattr(result, "metrics", {})
    folder = getattr(result, "folder", None)
    _write(
        settings,
        {
            "objective": objective(result),
            "metrics": dict(metrics) if isinstance(metrics, Mapping) else {},
            "folder": str(folder) if folder is not None else "",
        },
    )


def record_failure(settings: HydraConf, error: UserError) -> None:
    """Note that a job of a sweep failed, and why."""
    _write(settings, {"objective": None, "metrics": {}, "folder": "", "error": str(error)})


def _write(settings: HydraConf, outcome: dict[str, Any]) -> None:
    folder = Path(str(settings.sweep.dir)) / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    number = int(settings.job.num)
    text = json.dumps({"job": number, "parameters": _parameters(settings), **outcome}, indent=1)
    write_whole(folder / f"{number:04d}.json", text)


def _parameters(settings: HydraConf) -> dict[str, str]:
    """What this job has set, by key."""
    parser = OverridesParser.create()
    return {
        override.key_or_group: override.get_value_element_as_str()
        for override in parser.parse_overrides(words_of(settings))
    }


def _read_jobs(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((folder / "jobs").glob("*.json"))]


def _varied(jobs: Sequence[dict[str, Any]]) -> list[str]:
    """Keys whose value differs between jobs; all keys if there is only one job."""
    keys = list(dict.fromkeys(key for job in jobs for key in job["parameters"]))
    values = {key: {job["parameters"].get(key) for job in jobs} for key in keys}
    return [key for key in keys if len(values[key]) > 1 or len(jobs) == 1]


def _as_csv(jobs: Sequence[dict[str, Any]]) -> str:
    keys = _varied(jobs)
    metrics = list(dict.fromkeys(name for job in jobs for name in job["metrics"]))
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["job", *keys, "objective", *metrics, "folder", "error"])
    for job in jobs:
        values = [job["parameters"].get(key, "") for key in keys]
        figures = [job["metrics"].get(name, "") for name in metrics]
        found = "" if job["objective"] is None else job["objective"]
        writer.writerow([job["job"], *values, found, *figures, job["folder"], job.get("error", "")])
    return rows.getvalue()


def _bars(jobs: Sequence[dict[str, Any]]) -> list[tuple[str, float | None]]:
    """A label and the objective of each job, the smallest first and failed ones last."""
    keys = _varied(jobs)
    bars = [
        (", ".join(f"{key}={job['parameters'].get(key, '')}" for key in keys), job["objective"])
        for job in jobs
    ]
    return sorted(bars, key=lambda bar: (bar[1] is None, bar[1] or 0.0))
