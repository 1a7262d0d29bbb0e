"""Pieces of HTML that need no network: everything is inside the one file."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import soundfile

LARGEST_FLAC = 1_500_000
"""Bytes up to which a clip is shown as it is; longer ones as MP3, the file beside it is whole."""

MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

MOST_UNNAMED = 3
"""Columns that explain themselves when a phone shows them below each other."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #667; --line: #dde; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #14171a; --soft: #9aa; --line: #2c3238; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; color: var(--ink);
  background: var(--paper); font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: .2rem 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
.soft, figcaption, th { color: var(--soft); font-weight: normal; }
.tiles { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
.tiles div { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .7rem; }
.tiles b { display: block; font-size: 1.15rem; }
.grid-of { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); }
figure { margin: 0; min-width: 0; max-width: 48rem; } figcaption { font-size: .9rem; }
svg, img, audio { width: 100%; height: auto; display: block; } audio { height: 2.6rem; }
svg text { font-size: 12px; fill: var(--soft); } svg .grid { stroke: var(--line); }
polyline { fill: none; stroke-width: 1.8; } .legend { margin: .2rem 0; font-size: .85rem; }
.legend span { margin-right: 1rem; } .legend i { display: inline-block; width: .8em; height: .8em;
  margin-right: .3em; }
.c0 { stroke: #2f6fde; } .c1 { stroke: #d9632b; } .c2 { stroke: #2a9d5c; } .c3 { stroke: #a64fc9; }
.c4 { stroke: #c0a21c; } .c5 { stroke: #2aa7b8; }
circle.c0, i.c0 { fill: #2f6fde; background: #2f6fde; }
circle.c1, i.c1 { fill: #d9632b; background: #d9632b; }
circle.c2, i.c2 { fill: #2a9d5c; background: #2a9d5c; }
circle.c3, i.c3 { fill: #a64fc9; background: #a64fc9; }
circle.c4, i.c4 { fill: #c0a21c; background: #c0a21c; }
circle.c5, i.c5 { fill: #2aa7b8; background: #2aa7b8; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; table-layout: fixed; }
td, th { text-align: left; vertical-align: top; padding: .25rem .5rem .25rem 0;
  border-bottom: 1px solid var(--line); }
details { margin: .4rem 0; } summary { cursor: pointer; }
.failed { color: #c4312b; white-space: pre-line; } code { font-size: .9em; }
@media (max-width: 40rem) { table, tbody, tr, td, th { display: block; }
  td, th { border: 0; padding: 0; } tr { border-bottom: 1px solid var(--line); padding: .35rem 0; }
  thead { display: none; }
  td::before { content: attr(data-head); color: var(--soft); } }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """A whole document."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"{''.join(sections)}</body></html>\n"
    )


def section(heading: str, body: str) -> str:
    """A part of the page; nothing if there is nothing in it."""
    return f"<section><h2>{escape(heading)}</h2>{body}</section>" if body else ""


def tiles(facts: Mapping[str, str]) -> str:
    """Short facts to take in at a glance."""
    inner = "".join(
        f'<div><span class="soft">{escape(name)}</span><b>{escape(value)}</b></div>'
        for name, value in facts.items()
    )
    return f'<div class="tiles">{inner}</div>'


def table(rows: Iterable[Sequence[str]], *, head: Sequence[str]) -> str:
    """A table; on a phone its cells stand one below the other, named where there are many."""
    named = len(head) > MOST_UNNAMED
    starts = [f'<td data-head="{escape(name)}: ">' if named else "<td>" for name in head]
    body = "".join(f"<tr>{_cells(starts, row)}</tr>" for row in rows)
    if not body:
        return ""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def _cells(starts: Sequence[str], row: Sequence[str]) -> str:
    return "".join(f"{start}{escape(cell)}</td>" for start, cell in zip(starts, row, strict=True))


def folded(summary: str, body: str) -> str:
    """Something long, closed at first."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>" if body else ""


def side_by_side(items: Iterable[str]) -> str:
    """Figures in as many columns as there is room for."""
    inner = "".join(items)
    return f'<div class="grid-of">{inner}</div>' if inner else ""


def picture(path: Path) -> str:
    """A PNG."""
    return _figure(path.stem, f'<img alt="{escape(path.stem)}" src="{_data("image/png", path)}">')


def player(path: Path) -> str:
    """A clip to listen to."""
    source = _data("audio/flac", path)
    if path.stat().st_size > LARGEST_FLAC:
        source = _as_mp3(path) or source
    return _figure(path.stem, f'<audio controls preload="none" src="{source}"></audio>')


def _figure(caption: str, inner: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{inner}</figure>"


def _data(kind: str, path: Path) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _as_mp3(path: Path) -> str | None:
    samples, rate = soundfile.read(path, dtype="float32")
    if rate not in MP3_RATES:
        return None
    memory = io.BytesIO()
    soundfile.write(memory, samples, rate, format="MP3")
    return f"data:audio/mpeg;base64,{base64.b64encode(memory.getvalue()).decode()}"
