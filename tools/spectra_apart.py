"""How far apart collections of audio are in their spectra.

    python tools/spectra_apart.py REFERENCE FOLDER... [--seconds 3] [--clips 64]

Clips are cut at seeded places from all files of a folder, mixed to mono and seen as frames of 80
mel bands in dB. Two figures per folder: the mean difference of the average spectra, and the Frechet
distance of the frames taken as Gaussians, which also sees how levels vary and go together. For
scale: the other half of the reference's clips, white noise as loud as the reference, and noise of
its average spectrum.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio.functional as audio_functional
from numpy.typing import NDArray

from sat_models.losses.bands import mel_bands

Array = NDArray[np.float64]

RATE, SIZE, BANDS = 22050, 1024, 80
FLOOR_DB = -80.0
FILES = (".ogg", ".flac", ".wav", ".mp3")


@dataclass(frozen=True)
class Frames:
    """A collection of spectra as a Gaussian.

    Attributes:
        mean: Of each band, in dB.
        covariance: Of the bands.
    """

    mean: Array
    covariance: Array

    @classmethod
    def of(cls, clips: list[Array]) -> "Frames":
        """Those of some clips."""
        levels = np.concatenate([mel_levels(clip) for clip in clips])
        return cls(levels.mean(0), np.cov(levels.T))

    def average_apart(self, other: "Frames") -> float:
        """Mean absolute difference of the average spectra, in dB."""
        return float(np.abs(self.mean - other.mean).mean())

    def apart(self, other: "Frames") -> float:
        """Frechet distance, in dB."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
        mixed = np.linalg.eigvalsh(root @ other.covariance @ root)
        trace = np.trace(self.covariance + other.covariance) - 2 * np.sqrt(mixed.clip(0)).sum()
        return float(np.sqrt(((self.mean - other.mean) ** 2).sum() + max(trace, 0.0)))


def mel_levels(clip: Array) -> Array:
    """Frames of mel bands in dB of full scale, not below the floor."""
    frames = np.lib.stride_tricks.sliding_window_view(clip, SIZE)[:: SIZE // 4]
    spectra = np.abs(np.fft.rfft(frames * np.hanning(SIZE))) / (SIZE / 4)
    bands = mel_bands(sample_rate=RATE, fft_size=SIZE, num_bands=BANDS).double().numpy()
    power = (spectra**2) @ (bands / bands.sum(1, keepdims=True)).T
    levels: Array = 10 * np.log10(power.clip(10 ** (FLOOR_DB / 10)))
    return levels


def clips_of(folder: Path, *, seconds: float, count: int) -> list[Array]:
    """Clips from all files in turn, at places drawn from a fixed seed."""
    draw = np.random.default_rng(0)
    files = sorted(path for path in folder.rglob("*") if path.suffix in FILES)
    if not files:
        raise SystemExit(f"{folder} holds no audio ({', '.join(FILES)})")
    return [_clip(files[at % len(files)], seconds=seconds, draw=draw) for at in range(count)]


def _clip(path: Path, *, seconds: float, draw: np.random.Generator) -> Array:
    with soundfile.SoundFile(path) as file:
        length = min(round(seconds * file.samplerate), file.frames)
        file.seek(int(draw.integers(file.frames - length + 1)))
        samples = torch.from_numpy(file.read(length, always_2d=True).mean(1))
        clip: Array = audio_functional.resample(samples, file.samplerate, RATE).numpy()
        return clip


def noises(clips: list[Array]) -> Iterator[tuple[str, list[Array]]]:
    """White noise as loud as the clips, and noise of their average spectrum."""
    draw = np.random.default_rng(0)
    whole = np.concatenate(clips)
    white = [draw.normal(scale=whole.std(), size=len(clip)) for clip in clips]
    yield "white noise as loud", white
    length = max(len(clip) for clip in clips)
    spectrum = np.sqrt(np.mean([np.abs(np.fft.rfft(clip, length)) ** 2 for clip in clips], axis=0))
    yield "noise of its average spectrum", [_coloured(each, spectrum, length) for each in white]


def _coloured(noise: Array, spectrum: Array, length: int) -> Array:
    phases = np.fft.rfft(noise, length)
    return np.fft.irfft(phases / np.abs(phases) * spectrum, length)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--clips", type=int, default=64)
    request = parser.parse_args()
    settings = {"seconds": request.seconds, "count": request.clips}
    known = clips_of(request.reference, **settings)
    reference = Frames.of(known[::2])
    compared = {"the other half of its clips": known[1::2]}
    compared |= {str(folder): clips_of(folder, **settings) for folder in request.folders}
    compared |= dict(noises(known[::2]))
    print(f"{'against ' + str(request.reference):<36} average (dB)  Frechet (dB)")
    for name, clips in compared.items():
        found = Frames.of(clips)
        print(f"{name:<36} {reference.average_apart(found):12.2f} {reference.apart(found):13.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
