"""Figures over steps: read from the run's CSV in little memory, drawn as SVG."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

MOST_POINTS = 400
WIDTH, HEIGHT = 480, 200
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 10, 24
LOG_SPAN = 30.0
"""A curve whose largest value is so many times its smallest is drawn on a logarithmic scale."""


@dataclass
class Curve:
    """A figure over steps, thinned out by averaging neighbours as it gets long.

    Attributes:
        points: Step and value, each the mean of a bucket.
    """

    points: list[tuple[float, float]] = field(default_factory=list)
    _size: int = 1
    _bucket: list[tuple[float, float]] = field(default_factory=list)

    def add(self, step: float, value: float) -> None:
        """Add a value; what is not finite is left out."""
        if not math.isfinite(value):
            return
        self._bucket.append((step, value))
        if len(self._bucket) < self._size:
            return
        self.points.append(_mean(self._bucket))
        self._bucket = []
        if len(self.points) >= MOST_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [_mean(pair) for pair in pairs]
            self._size *= 2

    def finished(self) -> "Curve":
        """The same with what is left of the last bucket."""
        rest = [_mean(self._bucket)] if self._bucket else []
        return Curve([*self.points, *rest])


def read_curves(path: Path) -> dict[str, Curve]:
    """All figures of a run's `metrics.csv`, by name; empty without one."""
    curves: dict[str, Curve] = {}
    if not path.exists():
        return curves
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = float(row.pop("step") or 0)
            for name, value in row.items():
                if value:
                    curves.setdefault(name, Curve()).add(step, float(value))
    return {name: curve.finished() for name, curve in curves.items()}


def draw(curves: Mapping[str, Curve], *, title: str) -> str:
    """Curves in one picture, as SVG that scales with its surroundings.

    Args:
        curves: By what the legend says; a single one needs none.
        title: Of the picture.
    """
    shown = {name: curve for name, curve in curves.items() if curve.points}
    if not shown:
        return ""
    values = [value for curve in shown.values() for _, value in curve.points]
    steps = [step for curve in shown.values() for step, _ in curve.points]
    scale = _Scale(min(steps), max(steps), min(values), max(values))
    lines = "".join(_line(curve, scale, at) for at, curve in enumerate(shown.values()))
    legend = "" if len(shown) == 1 else _legend(list(shown))
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' role="img" aria-label="{escape(title)}">{"".join(scale.axes())}{lines}</svg>{legend}'
        "</figure>"
    )


def _mean(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    steps, values = zip(*points, strict=True)
    return sum(steps) / len(steps), sum(values) / len(values)


class _Scale:
    """From steps and values to places in the picture."""

    def __init__(self, first: float, last: float, low: float, high: float) -> None:
        self.log = low > 0 and high / low > LOG_SPAN
        self.first, self.last = first, max(last, first + 1)
        self.low, self.high = low, high
        if high == low:
            self.low, self.high = low - abs(low) / 2 - 1e-9, high + abs(high) / 2 + 1e-9
        self._bottom, self._top = self._level(self.low), self._level(self.high)

    def x(self, step: float) -> float:
        share = (step - self.first) / (self.last - self.first)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (self._level(value) - self._bottom) / (self._top - self._bottom)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def _level(self, value: float) -> float:
        return math.log(value) if self.log else value

    def axes(self) -> Iterator[str]:
        for share in (0.0, 0.5, 1.0):
            level = self._bottom + share * (self._top - self._bottom)
            value = math.exp(level) if self.log else level
            y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
            yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        for step, anchor in ((self.first, "start"), (self.last, "end")):
            yield (
                f'<text x="{self.x(step):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">'
                f"{step:.0f}</text>"
            )


def _line(curve: Curve, scale: _Scale, at: int) -> str:
    places = [(scale.x(step), scale.y(value)) for step, value in curve.points]
    if len(places) == 1:
        ((x, y),) = places
        return f'<circle class="c{at % 6}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline class="c{at % 6}" points="{path}"/>'


def _legend(names: list[str]) -> str:
    items = (
        f'<span><i class="c{at % 6}"></i>{escape(name)}</span>' for at, name in enumerate(names)
    )
    return f'<p class="legend">{"".join(items)}</p>'
