"""What a model can show of itself: files to look at or listen to."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sat_models.files import replacing


@dataclass(frozen=True, kw_only=True)
class Demo(ABC):
    """One thing to show.

    Attributes:
        name: What its files are called.
    """

    name: str

    @property
    def stem(self) -> str:
        """The name without what file systems refuse."""
        return re.sub(r"[^A-Za-z0-9._-]+", "_", self.name)

    @abstractmethod
    def save(self, folder: Path, *, prefix: str) -> None:
        """Write its files, audio and PNG, each with a name that starts with `prefix`."""


@dataclass(frozen=True, kw_only=True)
class PlotDemo(Demo):
    """A picture.

    Attributes:
        figure: Made without pyplot, whose state is the whole process's.
    """

    figure: Figure

    def save(self, folder: Path, *, prefix: str) -> None:
        """Write a PNG."""
        FigureCanvasAgg(self.figure)
        with replacing(folder / f"{prefix}{self.stem}.png") as temporary:
            self.figure.savefig(temporary, dpi=110, format="png")
