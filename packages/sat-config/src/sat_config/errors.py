"""What is said to people: problems of a document, and the errors that carry them."""

import os
import sys
from collections.abc import Iterable
from typing import Any, Literal, TextIO

import msgspec

Path = tuple[str | int, ...]


class UserError(ValueError):
    """A mistake that its message explains to the person who can mend it; no traceback is shown."""


class MissingExtraError(UserError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class ConfigWarning(UserWarning):
    """A setting that works but looks unintended."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One finding about a document.

    Attributes:
        code: Stable identifier ("unknown-key", "SAT-E012").
        severity: Whether the document is refused.
        path: Where in the resolved document, as keys and indices.
        message: What is wrong, in one sentence.
        file: The file or override that set the value.
        line: Line in that file, from 1; None for a word of the command line.
        column: Column in that line or word, from 1.
        source_line: The text of that line or word.
        found: The value that was found, as the file would write it.
        allowed: What would have been accepted.
        suggestion: What to write instead.
        note: Anything else that helps.
    """

    code: str
    severity: Literal["error", "warning"] = "error"
    path: Path = ()
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    source_line: str | None = None
    found: str | None = None
    allowed: str | None = None
    suggestion: str | None = None
    note: str | None = None

    def place(self) -> str:
        """`file:line:column`, as far as it is known."""
        parts = [self.file or "<configuration>"]
        if self.line is not None:
            parts += [str(self.line), str(self.column or 1)]
        return ":".join(parts)


class ConfigError(UserError):
    """A configuration that cannot be used.

    Attributes:
        problems: Everything that is wrong with it, warnings included.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(render(self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


def format_path(path: Path) -> str:
    """A path as overrides write it: `model.encoder.config.strides[0]`, `numbers["a.b"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "a").replace("-", "a").isalnum():
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text or "(root)"


def wants_colour(stream: TextIO) -> bool:
    """Whether to colour what goes to `stream`: only a terminal, never under NO_COLOR."""
    return not os.environ.get("NO_COLOR") and stream.isatty()


def render(problems: Iterable[Problem], *, colour: bool = False) -> str:
    """All problems as text: grouped by file, errors before warnings, each with its place."""
    ordered = list(problems)
    files = list(dict.fromkeys(problem.file for problem in ordered))
    blocks = []
    for file in files:
        of_file = [problem for problem in ordered if problem.file == file]
        of_file.sort(key=lambda p: (p.severity == "warning", p.line or 0, p.column or 0))
        blocks += [_render_one(problem, colour) for problem in of_file]
    errors = sum(problem.severity == "error" for problem in ordered)
    warnings = len(ordered) - errors
    count = ", ".join(
        _plural(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n
    )
    return "\n\n".join([*blocks, count]) if ordered else "no problems"


def report(problems: Iterable[Problem], stream: TextIO | None = None) -> None:
    """Write problems to `stream` (standard error), coloured where that helps."""
    out = stream or sys.stderr
    print(render(problems, colour=wants_colour(out)), file=out)


def _render_one(problem: Problem, colour: bool) -> str:
    paint = _paint if colour else lambda text, _style: text
    style = "31;1" if problem.severity == "error" else "33;1"
    head = f"{paint(problem.place(), '1')}: {paint(problem.severity, style)}"
    lines = [f"{head}[{problem.code}]: {_printable(problem.message)}"]
    if problem.source_line is not None:
        shown, caret = _excerpt(problem.source_line, problem.column or 1)
        gutter = f"{problem.line or '':>5} | "
        lines += [f"{gutter}{shown}", " " * (len(gutter) - 2) + f"| {caret}"]
    labelled = (("try", problem.suggestion), ("allowed", problem.allowed), ("note", problem.note))
    lines += [f"      = {label}: {_printable(text)}" for label, text in labelled if text]
    return "\n".join(lines)


_CONTROL = (*range(32), *range(127, 160))
_ESCAPED = {code: f"\\x{code:02x}" for code in _CONTROL}
_BLANKED = {code: "\ufffd" for code in _CONTROL if code != 9}


def _printable(text: str) -> str:
    """`text` with control characters spelled out, so that no file writes on the terminal's rest."""
    return text.translate(_ESCAPED)


def _excerpt(line: str, column: int) -> tuple[str, str]:
    """A source line, of a very long one the part around the column, and the caret below it."""
    start = max(0, column - 41) if len(line) > 120 else 0
    part = line[start : start + 120].translate(_BLANKED)
    left, right = "..." * (start > 0), "..." * (start + 120 < len(line))
    before = part[: column - 1 - start]
    indent = "".join("\t" if char == "\t" else " " for char in before)
    return f"{left}{part}{right}", f"{' ' * len(left)}{indent}^"


def _paint(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
