"""`report.html`: what one run says of itself, made from what lies in its folder alone."""

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import sat_config
from sat_config import changes
from sat_models.files import replacing
from sat_train.page import html
from sat_train.page.curves import draw, read_curves
from sat_train.record import Record, load_record
from sat_train.report import format_seconds
from sat_train.run_folder import RunFolder

NEWEST_LINES = 50
"""Entries of a ledger that are shown."""


def write_page(run: RunFolder) -> Path:
    """Write a run's page anew, whole or not at all.

    Raises:
        FileNotFoundError: This is no run folder.
    """
    record = load_record(run.record)
    if record is None:
        raise FileNotFoundError(f"{run.path} holds no run: there is no {run.record.name} in it")
    text = html.page(f"{record.name}: {record.status}", _sections(run, record))
    with replacing(run.page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return run.page


def _sections(run: RunFolder, record: Record) -> Iterator[str]:
    yield _head(run, record)
    yield html.section("Curves", _curves(run, record))
    yield html.section("Demos", _demos(run))
    yield html.section("What changed since the run before", _changes(run, record))
    yield html.section("Configuration", _configuration(run))
    yield html.section("Data", _data(run))
    yield html.section("Environment", _environment(run))


def _head(run: RunFolder, record: Record) -> str:
    why = f": {record.reason}" if record.reason else ""
    headline = record.last.get(record.headline)
    facts = {
        "step": f"{record.step}" + (f" of {record.max_steps}" if record.max_steps else ""),
        "time in training": format_seconds(record.seconds),
        "loss": _number(record.loss),
        record.headline: _number(headline),
    }
    if record.best is not None:
        facts["best checkpoint"] = f"{record.best.value:.4g} at step {record.best.step}"
    facts |= {"skipped steps": str(record.skipped_steps), "bad files": str(record.bad_files)}
    return (
        f'<h1>{escape(record.name)}</h1><p class="soft">{escape(run.path.name)}, written'
        f" {escape(record.updated[:19].replace('T', ' '))} UTC</p>"
        f'<p class="{escape(record.status)}">{escape(record.status + why)}</p>{html.tiles(facts)}'
    )


def _curves(run: RunFolder, record: Record) -> str:
    curves = read_curves(run.logs / "metrics.csv")
    first = [name for name in ("train/loss", record.headline) if name in curves]
    rest = sorted(name for name in curves if name not in first)
    figures = html.side_by_side(draw({name: curves[name]}, title=name) for name in first)
    others = html.side_by_side(draw({name: curves[name]}, title=name) for name in rest)
    return figures + html.folded(f"{len(rest)} more figures", others)


def _demos(run: RunFolder) -> str:
    folders = sorted((run.path / "demos").glob("step=*"))
    if not folders:
        return ""
    newest = folders[-1]
    players = html.side_by_side(html.player(path) for path in sorted(newest.glob("*.flac")))
    pictures = html.side_by_side(html.picture(path) for path in sorted(newest.glob("*.png")))
    step = int(newest.name.partition("=")[2])
    return f'<p class="soft">of step {step}</p>{players}{pictures}'


def _changes(run: RunFolder, record: Record) -> str:
    if record.parent is None:
        return ""
    before = _load(run.path / record.parent / "config.json")
    after = _load(run.path / "config.json")
    if before is None or after is None or type(before) is not type(after):
        return f"<p>{escape(record.parent)}, whose configuration cannot be compared</p>"
    lines = [(changes.describe(change),) for change in changes.diff(before, after)]
    said = html.table(lines, head=("change",)) or "<p>nothing</p>"
    return f'<p class="soft">compared with {escape(record.parent)}</p>{said}'


def _configuration(run: RunFolder) -> str:
    config, origins = _json(run.path / "config.json"), _json(run.path / "origins.json") or {}
    leaves = list(_leaves(config or {}))
    rows = [(path, value, origins.get(path, "")) for path, value in leaves]
    chosen = [row for row in rows if row[2] not in ("", "default")]
    head = ("key", "value", "from")
    return html.table(chosen, head=head) + html.folded(
        f"all {len(rows)} values, defaults included", html.table(rows, head=head)
    )


def _data(run: RunFolder) -> str:
    found = _json(run.path / "data.json")
    parts = html.table(_leaves(found or {}), head=("data", "value"))
    for path, name in ((run.bad_files, "bad files"), (run.bad_steps, "skipped steps")):
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            shown = html.table(([line] for line in lines[-NEWEST_LINES:]), head=(name,))
            parts += html.folded(f"{len(lines)} {name}, the newest last", shown)
    return parts


def _environment(run: RunFolder) -> str:
    return html.table(_leaves(_json(run.path / "environment.json") or {}), head=("what", "value"))


def _load(path: Path) -> Any:  # noqa: ANN401 - an experiment of any family
    return sat_config.check(path).config if path.exists() else None


def _json(path: Path) -> Any:  # noqa: ANN401 - any plain data
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and text of everything that is no table."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for at, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{at}]")
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield path, text


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
