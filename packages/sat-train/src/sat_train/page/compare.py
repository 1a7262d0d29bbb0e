"""Several runs on one page: figures over each other, and what their configurations differ in."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import sat_config
from sat_config import UserError, changes
from sat_models.files import replacing
from sat_train.page import html
from sat_train.page.curves import draw, read_curves
from sat_train.page.run import write_page
from sat_train.record import Record, load_record
from sat_train.report import format_seconds
from sat_train.run_folder import RunFolder


def write_comparison(folders: Sequence[Path], path: Path) -> Path:
    """Write a page that compares runs; the first is what the others are measured against.

    A single run's own page is written anew, where it belongs.

    Args:
        folders: The run folders.
        path: The page, for several.

    Returns:
        The page that was written.

    Raises:
        UserError: One of them is no run folder.
    """
    runs = [RunFolder(folder) for folder in folders]
    records = [_record(run) for run in runs]
    if len(runs) == 1:
        return write_page(runs[0])
    names = [f"{record.name}/{run.path.name}" for run, record in zip(runs, records, strict=True)]
    sections = (
        f"<h1>{len(runs)} runs</h1>",
        html.section("Where they stand", _standing(names, records)),
        html.section("Curves", _curves(names, runs)),
        html.section("Configurations", _differences(names, runs)),
    )
    with replacing(path) as temporary:
        temporary.write_text(html.page(f"{len(runs)} runs", sections), encoding="utf-8")
    return path


def _record(run: RunFolder) -> Record:
    record = load_record(run.record)
    if record is None:
        raise UserError(
            f"{run.path} is no run folder, there is no {run.record.name} in it; expected folders"
            " such as runs/NAME/20250101-120000-abcdef01"
        )
    return record


def _standing(names: list[str], records: list[Record]) -> str:
    rows = [
        (
            name,
            record.status,
            str(record.step),
            format_seconds(record.seconds),
            "-" if record.loss is None else f"{record.loss:.4g}",
            "  ".join(f"{key} {value:.4g}" for key, value in record.last.items() if value),
            "-" if record.best is None else f"{record.best.value:.4g} at {record.best.step}",
        )
        for name, record in zip(names, records, strict=True)
    ]
    head = ("run", "status", "step", "time", "loss", "last validation", "best checkpoint")
    return html.table(rows, head=head)


def _curves(names: list[str], runs: Sequence[RunFolder]) -> str:
    found = [read_curves(run.logs / "metrics.csv") for run in runs]
    figures = dict.fromkeys(figure for curves in found for figure in curves)
    return html.side_by_side(
        draw(
            {
                name: curves[figure]
                for name, curves in zip(names, found, strict=True)
                if figure in curves
            },
            title=figure,
        )
        for figure in figures
    )


def _differences(names: list[str], runs: Sequence[RunFolder]) -> str:
    configs = [sat_config.check(run.path / "config.json").config for run in runs]
    parts = []
    for name, config in zip(names[1:], configs[1:], strict=True):
        try:
            found = changes.diff(configs[0], config)
        except (TypeError, AttributeError):
            lines = [("an experiment of another kind",)]
        else:
            lines = [(changes.describe(change),) for change in found] or [("no difference",)]
        head = f'<p class="soft">{escape(name)} against {escape(names[0])}</p>'
        parts.append(head + html.table(lines, head=("change",)))
    return "".join(parts)
