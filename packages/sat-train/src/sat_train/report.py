"""What a person reads while a run starts, goes on and ends."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from sat_train.result import RunResult

LABEL_WIDTH = 11


class Report:
    """Lines on standard output, in one style.

    Args:
        console: Where to write.
        silent: Write nothing, as all processes but the first of a run on several devices.
    """

    def __init__(self, console: Console | None = None, *, silent: bool = False) -> None:
        self.console = console or Console(soft_wrap=True, highlight=False, quiet=silent)

    def line(self, text: str) -> None:
        """Write one line as it is."""
        self.console.print(text, markup=False, highlight=False)

    def fact(self, label: str, text: str) -> None:
        """Write a labelled line; further lines of the text are indented to match."""
        first, *rest = text.splitlines()
        self.line(f"{label:<{LABEL_WIDTH}} {first}")
        for line in rest:
            self.line(f"{'':<{LABEL_WIDTH}} {line}")

    def facts(self, facts: Mapping[str, str]) -> None:
        """Write several labelled lines."""
        for label, text in facts.items():
            self.fact(label, text)

    def started(
        self, facts: Mapping[str, str], *, run: Path, resumed: str | None, changes: str
    ) -> None:
        """Say what is about to be trained, with what, and where it goes."""
        self.facts(facts)
        if resumed is not None:
            self.fact("resumed", resumed)
        if changes:
            self.fact("changed", changes)
        self.fact("run", str(run))
        self.line("")

    def nothing_left(self, checkpoint: Path, *, step: int) -> None:
        """Say that a run has been finished before."""
        self.line(f"nothing left to do: {checkpoint} is at step {step}; raise max_steps to go on")

    def finished(
        self,
        result: RunResult,
        *,
        first: Mapping[str, float],
        seconds: float,
        next_words: Sequence[str],
    ) -> None:
        """Say how a run ended: where it is, what it reached, what to do next."""
        how = "stopped" if result.interrupted else "finished"
        self.line("")
        self.line(f"{how} at step {result.step} after {format_seconds(seconds)}")
        self.fact("run", str(result.run_folder))
        if result.checkpoint is not None:
            self.fact("checkpoint", str(result.checkpoint))
        if result.metrics:
            self.fact("validation", _compared(result.metrics, first))
        self.fact("next", shlex.join(next_words))


def _compared(metrics: Mapping[str, float], first: Mapping[str, float]) -> str:
    """One figure a line, with what it was before training where that differs."""
    lines = []
    for name, value in metrics.items():
        before = first.get(name, value)
        change = f", {before:.4g} before training" if before != value else ""
        lines.append(f"{name} {value:.4g}{change}")
    return "\n".join(lines)


def format_metrics(metrics: Mapping[str, float]) -> str:
    """`val/mrstft 1.234  val/mrstft_silence 2.345`."""
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def format_seconds(seconds: float) -> str:
    """`1:05` or `2:00:09`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_count(number: int) -> str:
    """`512`, `1.23 k`, `4.56 M`."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
