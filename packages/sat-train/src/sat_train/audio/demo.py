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
    """A clip in one or several versions: FLAC files, and a picture of spectrograms and latents.

    Attributes:
        audio: Versions by what they are ("original", "reconstruction"), on the CPU.
        sample_rate: Hz.
        latents: Of the first version, on the CPU; None where there are none to show.
    """

    audio: Mapping[str, Float[Tensor, "c t"]]
    sample_rate: int
    latents: Float[Tensor, "d l"] | None = None

    def save(self, folder: Path, *, prefix: str) -> None:
        """Write audio first."""
        stem = f"{prefix}{self.stem}"
        for version, audio in self.audio.items():
            name = f"{stem}.{version}.flac" if len(self.audio) > 1 else f"{stem}.flac"
            write_audio(folder / name, audio, sample_rate=self.sample_rate)
        picture = folder / f"{stem}.png"
        save_spectrograms(picture, self.audio, sample_rate=self.sample_rate, latents=self.latents)
