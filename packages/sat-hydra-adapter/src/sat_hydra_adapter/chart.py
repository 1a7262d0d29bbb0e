"""A bar chart as SVG, which every browser shows and which needs no drawing library."""

from collections.abc import Sequence
from html import escape

ROW, BAR, MARGIN = 26, 16, 12
LABELS, BARS, FIGURES = 380, 360, 110


def bar_chart(bars: Sequence[tuple[str, float | None]], *, title: str) -> str:
    """Draw one horizontal bar for each pair of label and value.

    Args:
        bars: Labels and values, from top to bottom; None for what has no value.
        title: Above the bars.
    """
    width = LABELS + BARS + FIGURES + 2 * MARGIN
    height = ROW * (len(bars) + 1) + 2 * MARGIN
    sizes = [abs(value) for _, value in bars if value is not None]
    scale = BARS / max(sizes, default=1.0) if any(sizes) else 0.0
    rows = [_row(number, label, value, scale) for number, (label, value) in enumerate(bars, 1)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            f'<text x="{MARGIN}" y="{MARGIN + 14}" font-weight="bold">{escape(title)}</text>',
            *rows,
            "</svg>\n",
        ]
    )


def _row(number: int, label: str, value: float | None, scale: float) -> str:
    top = MARGIN + ROW * number
    shown = label if len(label) <= 58 else f"{label[:55]}..."
    figure = "failed" if value is None else f"{value:.6g}"
    length = 0.0 if value is None else abs(value) * scale
    baseline = top + BAR - 3
    return (
        f"<g><title>{escape(label)}: {figure}</title>"
        f'<text x="{MARGIN}" y="{baseline}">{escape(shown)}</text>'
        f'<rect x="{MARGIN + LABELS}" y="{top}" width="{length:.1f}" height="{BAR}"'
        ' fill="#4878a8"/>'
        f'<text x="{MARGIN + LABELS + length + 6:.1f}" y="{baseline}">{figure}</text></g>'
    )
