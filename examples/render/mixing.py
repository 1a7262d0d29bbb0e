"""Tunes and how they become stereo sound: parts, panning, reverb and mastering."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from render.notation import Note
from render.voices import SAMPLE_RATE, Voice, lowpass

_TAIL_SECONDS = 0.3
_PEAK_DBFS = (-3.0, -1.5)
_RMS_DBFS = -17.0
_BANDWIDTH_HZ = 5_500.0


@dataclass(frozen=True)
class Part:
    """One instrument's notes and its place in the mix.

    Attributes:
        voice: The instrument.
        notes: What it plays.
        gain: Linear peak amplitude of a plain note.
        pan: Place between -1 (left) and 1 (right).
        spread: How much further right the part's highest note is than its lowest.
        reverb: Linear amount sent to the reverb, whose gain is about 1 below 2.5 kHz.
    """

    voice: Voice
    notes: Sequence[Note]
    gain: float
    pan: float = 0.0
    spread: float = 0.0
    reverb: float = 0.4


@dataclass(frozen=True)
class Tune:
    """A piece to be rendered to one clip.

    Attributes:
        name: File stem of the clip; it also seeds the tune's random numbers.
        title: Name for people.
        key: Tonic and mode, such as ``G major``.
        tempo: Beats per minute.
        beats: Length in beats; the clip rings on a little longer.
        parts: What is played.
        split: ``train`` or ``heldout``.
    """

    name: str
    title: str
    key: str
    tempo: float
    beats: float
    parts: Sequence[Part]
    split: str = "train"

    @property
    def samples(self) -> int:
        """Length of the clip in samples, tail included."""
        return round((self.beats * 60 / self.tempo + _TAIL_SECONDS) * SAMPLE_RATE)

    @property
    def instruments(self) -> list[str]:
        """Names of the voices in order of appearance, each once."""
        return list(dict.fromkeys(part.voice.__name__.replace("_", " ") for part in self.parts))


def render(tune: Tune, seed: int) -> np.ndarray:
    """Renders a tune.

    Args:
        tune: What to play.
        seed: Seed shared by all the clips.

    Returns:
        Stereo PCM, int16, shape ``(samples, 2)``.
    """
    rng = np.random.default_rng([seed, zlib.crc32(tune.name.encode())])
    dry = np.zeros((tune.samples, 2))
    sent = np.zeros((tune.samples, 2))
    for part in tune.parts:
        stem = _stem(part, tune, rng)
        dry += stem
        sent += part.reverb * stem
    mixed = _master(dry + _reverberated(sent.mean(axis=1), rng))
    return np.round(mixed * 32_767).astype(np.int16)


def _stem(part: Part, tune: Tune, rng: np.random.Generator) -> np.ndarray:
    """Plays one part alone; notes still sounding at the end of the clip are cut there."""
    stem = np.zeros((tune.samples, 2))
    for note, pan in zip(part.notes, _pans(part), strict=True):
        first = round(note.start * 60 / tune.tempo * SAMPLE_RATE)
        tone = part.voice(note.hz, note.beats * 60 / tune.tempo, rng)[: tune.samples - first]
        level = part.gain * note.velocity * rng.uniform(0.9, 1.0) / np.abs(tone).max()
        stem[first : first + len(tone)] += level * np.outer(tone, _pan_gains(pan))
    return stem


def _pans(part: Part) -> np.ndarray:
    """Place of each note in the stereo image: low notes further left, high ones right."""
    pitches = np.array([note.pitch for note in part.notes], dtype=float)
    height = (pitches - pitches.min()) / max(1.0, np.ptp(pitches))
    return np.clip(part.pan + part.spread * (height - 0.5), -1, 1)


def _pan_gains(pan: float) -> np.ndarray:
    """Left and right gains of equal power for a place between -1 and 1."""
    angle = (pan + 1) * np.pi / 4
    return np.array([np.cos(angle), np.sin(angle)])


def _reverberated(mono: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A small room: convolution with dark stereo noise that decays by 60 dB in 1.1 seconds."""
    t = np.arange(int(1.1 * SAMPLE_RATE)) / SAMPLE_RATE
    burst = rng.standard_normal((len(t), 2)) * 10 ** (-3 * t / 1.1)[:, None]
    room = lowpass(burst / np.sqrt((burst**2).sum(axis=0)), 2_500)
    size = len(mono) + len(room)
    spectrum = np.fft.rfft(mono, size)[:, None] * np.fft.rfft(room, size, axis=0)
    return np.fft.irfft(spectrum, size, axis=0)[: len(mono)]


def _master(mix: np.ndarray) -> np.ndarray:
    """Band-limits, fades the ends, and brings RMS near the common level with a peak in range."""
    band = lowpass(mix, _BANDWIDTH_HZ, order=8)
    band -= lowpass(band, 25, order=2)
    band *= _edges(len(band))[:, None]
    shaped = _saturated(band, _drive_for(band))
    return shaped * 10 ** (np.clip(_RMS_DBFS - _rms_db(shaped), *_PEAK_DBFS) / 20)


def _edges(samples: int) -> np.ndarray:
    """A gain curve that opens within 5 ms and closes over the tail of the clip."""
    t = np.arange(samples) / SAMPLE_RATE
    closing = np.clip((t[-1] - t) / _TAIL_SECONDS, 0, 1)
    return np.minimum(1, t / 0.005) * np.sin(np.pi / 2 * closing)


def _saturated(signal: np.ndarray, drive: float) -> np.ndarray:
    """Rounds off peaks with a hyperbolic tangent and scales the highest one to 1."""
    shaped = np.tanh(drive * signal / np.abs(signal).max())
    return shaped / np.abs(shaped).max()


def _drive_for(signal: np.ndarray) -> float:
    """Finds by bisection the drive that gives the common RMS level at the highest peak level."""
    low, high = 0.01, 10.0
    for _ in range(30):
        drive = (low + high) / 2
        too_soft = _rms_db(_saturated(signal, drive)) + max(_PEAK_DBFS) < _RMS_DBFS
        low, high = (drive, high) if too_soft else (low, drive)
    return drive


def _rms_db(signal: np.ndarray) -> float:
    """RMS over all samples and channels in dB relative to full scale."""
    return float(10 * np.log10((signal**2).mean()))
