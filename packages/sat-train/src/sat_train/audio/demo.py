"""Clips to listen to and look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from sat_models.audio import write_audio
from sat_train.demo import Demo
from sat_train.plots import save_spectrograms


@dataclass(frozen=True, kw_only=True)
class AudioDemo(Demo):
    """A clip in one or several versions: FLAC files, and a picture of all spectrograms.

    Attributes:
        audio: Versions by what they are ("original", "reconstruction"), on the CPU.
        sample_rate: Hz.
    """

    audio: Mapping[str, Float[Tensor, "c t"]]
    sample_rate: int

    def save(self, folder: Path, *, prefix: str) -> None:
        """Write audio first."""
        stem = f"{prefix}{self.stem}"
        for version, audio in self.audio.items():
            name = f"{stem}.{version}.flac" if len(self.audio) > 1 else f"{stem}.flac"
            write_audio(folder / name, audio, sample_rate=self.sample_rate)
        save_spectrograms(folder / f"{stem}.png", self.audio, sample_rate=self.sample_rate)
