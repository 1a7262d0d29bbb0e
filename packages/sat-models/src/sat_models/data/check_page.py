"""A report on datasets, as text and as a page with plots that needs nothing but a browser."""

from collections.abc import Iterator, Sequence
from html import escape

from sat_models.data.check import DatasetReport
from sat_models.data.dataset import spoken_length

_WIDTH, _HEIGHT, _BINS = 520, 150, 24
_SHOWN = 20

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff }
h2 { margin-top: 2.5rem } table { border-collapse: collapse }
td, th { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: top }
td, p { overflow-wrap: anywhere } svg { max-width: 100%; height: auto }
figure { display: inline-block; margin: .6rem 1.2rem .6rem 0; max-width: 100% }
figcaption { color: #57606a }
.bad { color: #b42318 } rect { fill: #3b6ea5 } text { font-size: 11px; fill: #57606a }
"""


def as_text(report: DatasetReport) -> str:
    """The report in lines: counts, lengths, formats, loudness, duplicates, and all bad files."""
    lines = [f"{report.name}: {_count(len(report.files), 'file')}, {spoken_length(report.seconds)}"]
    lines += [f"  {title:<12}{text}" for title, text in _facts(report)]
    for group in report.duplicates[:_SHOWN]:
        lines += ["  the same content:", *(f"    {path}" for path in group)]
    if len(report.duplicates) > _SHOWN:
        lines.append(f"  and {len(report.duplicates) - _SHOWN} more groups of duplicates")
    lines += [f"  bad: {bad.path}: {bad.reason}" for bad in report.bad]
    return "\n".join(lines)


def as_page(reports: Sequence[DatasetReport], *, title: str) -> str:
    """The report as one HTML file."""
    body = "\n".join(part for report in reports for part in _section(report))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n{body}\n</html>\n"
    )


def _facts(report: DatasetReport) -> Iterator[tuple[str, str]]:
    lengths = sorted(file.seconds for file in report.files)
    if lengths:
        low, middle, high = lengths[0], lengths[len(lengths) // 2], lengths[-1]
        yield "length", f"{low:.1f} s to {high:.1f} s, half of them up to {middle:.1f} s"
    for title, key, unit in (("rate", "sample_rate", " Hz"), ("channels", "channels", "")):
        counts = report.counts(key)
        if counts:
            yield title, ", ".join(f"{value}{unit} ({count})" for value, count in counts.items())
    levels = sorted(file.loudness for file in report.files if file.loudness is not None)
    if levels:
        middle = levels[len(levels) // 2]
        yield "loudness", f"{levels[0]:.1f} to {levels[-1]:.1f} LUFS, half up to {middle:.1f}"
    extra = sum(len(group) - 1 for group in report.duplicates)
    yield "duplicates", _count(extra, "file") if extra else "none"
    yield "bad", _count(len(report.bad), "file") if report.bad else "none"


def _section(report: DatasetReport) -> Iterator[str]:
    total = f"{_count(len(report.files), 'file')}, {spoken_length(report.seconds)}"
    yield f"<h2>{escape(report.name)}: {total}</h2>"
    rows = "".join(f"<tr><th>{escape(a)}<td>{escape(b)}" for a, b in _facts(report))
    yield f"<table>{rows}</table>"
    yield _histogram([file.seconds for file in report.files], "length, seconds")
    levels = [file.loudness for file in report.files if file.loudness is not None]
    yield _histogram(levels, "loudness, LUFS")
    peaks = [file.peak_db for file in report.files if file.peak_db is not None]
    yield _histogram(peaks, "peak, dB of full scale")
    if report.duplicates:
        yield "<h3>The same content</h3>"
        for group in report.duplicates:
            yield f"<p>{'<br>'.join(escape(path) for path in group)}</p>"
    if report.bad:
        yield '<h3 class="bad">Bad files</h3>'
        rows = "".join(f"<tr><td>{escape(bad.path)}<td>{escape(bad.reason)}" for bad in report.bad)
        yield f"<table>{rows}</table>"


def _histogram(values: Sequence[float], title: str) -> str:
    """How many values lie where, as SVG; nothing if there are none."""
    if not values:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    counts = [0] * _BINS
    for value in values:
        counts[min(int((value - low) / span * _BINS), _BINS - 1)] += 1
    step, highest = _WIDTH / _BINS, max(counts)
    bars = "".join(
        f'<rect x="{n * step:.1f}" y="{_HEIGHT * (1 - count / highest):.1f}"'
        f' width="{step - 1:.1f}" height="{_HEIGHT * count / highest:.1f}">'
        f"<title>{count}</title></rect>"
        for n, count in enumerate(counts)
    )
    return (
        f'<figure><svg width="{_WIDTH}" height="{_HEIGHT + 16}" role="img" aria-label="{title}"'
        f' viewBox="0 0 {_WIDTH} {_HEIGHT + 16}">'
        f"{bars}"
        f'<text x="0" y="{_HEIGHT + 13}">{low:.1f}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 13}" text-anchor="end">{high:.1f}</text></svg>'
        f"<figcaption>{title} (highest bar: {highest})</figcaption></figure>"
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
