"""What loading a checkpoint into a module came to, in words."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mismatch:
    """A tensor that has another shape in the file than in the module."""

    name: str
    in_file: tuple[int, ...]
    in_module: tuple[int, ...]


@dataclass(frozen=True)
class LoadReport:
    """What loading a checkpoint into a module came to; `str` says it to people.

    Attributes:
        path: The checkpoint.
        fingerprint: Of the checkpoint.
        matched: Names, in the module, that got the file's values.
        missing: Names in the module that the file does not have.
        unexpected: Names in the file that the module does not have.
        mismatched: Names of both with different shapes.
        set_aside: How many tensors of the file belong to something else, by the first part of their
            names.
    """

    path: Path
    fingerprint: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    set_aside: Mapping[str, int]

    @property
    def complete(self) -> bool:
        """Whether file and module agree in every name and shape."""
        return not (self.missing or self.unexpected or self.mismatched)

    @property
    def advice(self) -> str:
        """What to do where the report is not complete."""
        if self.mismatched:
            return (
                "The sizes in the configuration are not those that the checkpoint was trained"
                " with: use the configuration that belongs to it."
            )
        first_stage = {f"pretransform.model.{name}" for name in self.unexpected}
        if not self.matched and not first_stage.isdisjoint(self.missing):
            return "The file holds the model's pretransform alone: it is a pretransform_ckpt_path."
        if not self.matched:
            return "Nothing in the file fits the model: it is a checkpoint of something else."
        return (
            "The configuration describes another architecture than the checkpoint's: use the"
            " one that belongs to it."
        )

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing) + len(self.mismatched)
        lines = [
            f"{self.path} ({self.fingerprint}): {len(self.matched)} of the model's {total} tensors"
            " match"
        ]
        lines += _by_first(self)
        lines += _some("missing in the file", self.missing)
        lines += _some("unknown to the model", self.unexpected)
        lines += _some(
            "of another shape",
            [f"{m.name} {m.in_file}, model {m.in_module}" for m in self.mismatched],
        )
        if self.set_aside:
            others = ", ".join(f"{name} ({count})" for name, count in self.set_aside.items())
            lines.append(f"  not part of the model: {others}")
        return "\n".join(lines)


def _by_first(report: LoadReport) -> list[str]:
    """One line per first part of the names: how many of each kind."""
    kinds = {
        "match": count_firsts(report.matched),
        "missing": count_firsts(report.missing),
        "unknown": count_firsts(report.unexpected),
        "of another shape": count_firsts(m.name for m in report.mismatched),
    }
    names = dict.fromkeys(name for counts in kinds.values() for name in counts)
    lines = []
    for name in names:
        found = [f"{counts[name]} {kind}" for kind, counts in kinds.items() if name in counts]
        lines.append(f"  {name}: {', '.join(found)}")
    return lines


def _some(title: str, names: Iterable[str]) -> list[str]:
    listed = list(names)
    if not listed:
        return []
    more = f", and {len(listed) - 3} more" if len(listed) > 3 else ""
    return [f"  {title}: {', '.join(listed[:3])}{more}"]


def count_firsts(names: Iterable[str]) -> dict[str, int]:
    """How many names begin with which part."""
    return dict(Counter(name.partition(".")[0] for name in names))
