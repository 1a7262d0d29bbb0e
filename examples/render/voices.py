"""Instruments: each voice turns a frequency and a length into one mono note.

Every voice has the signature ``voice(hz, seconds, rng)``: the fundamental in hertz, the time the
note is held in seconds, and the source of its noise and phases. It returns float64 samples at
``SAMPLE_RATE``, longer than the held time where the instrument rings on, at no agreed level.
"""

from collections.abc import Callable, Sequence

import numpy as np

SAMPLE_RATE = 44_100
Voice = Callable[[float, float, np.random.Generator], np.ndarray]

_HIGHEST_PARTIAL_HZ = 5_500.0


def plucked_string(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A Karplus-Strong string: a burst of noise circulating through a gentle averaging loop."""
    ring = seconds + 0.35
    blend = 0.5 if hz < 300 else 0.3
    period = int(SAMPLE_RATE / hz - blend)
    per_period_gain = 10 ** (-3 / (hz * 2.2))
    loop = lowpass(rng.uniform(-1, 1, period), min(8 * hz, 3_500))
    loop -= loop.mean()
    periods = []
    for _ in range(int(ring * SAMPLE_RATE / period) + 2):
        periods.append(loop)
        loop = per_period_gain * ((1 - blend) * loop + blend * np.roll(loop, 1))
    string = _retuned(np.concatenate(periods), (period + blend) * hz / SAMPLE_RATE)
    shape = _held(seconds, attack=0.003, release=0.35)
    return string[: len(shape)] * shape


def pad(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Three detuned saws that swell in under a low-pass whose cutoff rises and falls."""
    shape = _held(seconds, attack=min(0.35, seconds / 3), release=0.45)
    t = np.arange(len(shape)) / SAMPLE_RATE
    cutoff = 700 + 1100 * np.sin(np.pi * t / t[-1])
    tone = np.zeros_like(t)
    for detune in (0.9965, 1.0, 1.0035):
        for k in range(1, _partials_below(hz, 3_500) + 1):
            partial = np.sin(2 * np.pi * k * hz * detune * t + rng.uniform(0, 2 * np.pi))
            tone += partial / k / (1 + (k * hz / cutoff) ** 2)
    return tone * shape


def organ(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Sine pipes at fixed footages, with the slight speech of a wooden rank."""
    shape = _held(seconds * 0.96, attack=0.04, release=0.12)
    t = np.arange(len(shape)) / SAMPLE_RATE
    ranks = {0.5: 0.35, 1: 1.0, 2: 0.55, 3: 0.25, 4: 0.2, 6: 0.08}
    tone = np.zeros_like(t)
    for ratio, level in ranks.items():
        tone += level * np.sin(2 * np.pi * ratio * hz * t + rng.uniform(0, 2 * np.pi))
    return tone * shape


def lead(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A hollow, odd-harmonic synthesiser: an accent, then a vibrato that grows in the note."""
    shape = _held(seconds * 0.92, attack=0.01, release=0.12)
    accent = 0.45 + 0.55 * np.exp(-np.arange(len(shape)) / SAMPLE_RATE / 0.12)
    phase = _vibrato_phase(hz, len(shape), depth=0.005) + rng.uniform(0, 2 * np.pi)
    odd = range(1, _partials_below(hz, 4_500) + 1, 2)
    return accent * shape * sum(np.sin(k * phase) / k**1.4 for k in odd)


def flute(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A soft wind tone: few harmonics, slow onset, gentle vibrato and a trace of breath."""
    shape = _held(seconds * 0.94, attack=0.06, release=0.15)
    phase = _vibrato_phase(hz, len(shape), depth=0.004)
    tone = sum(a * np.sin(k * phase) for k, a in ((1, 1.0), (2, 0.35), (3, 0.12), (4, 0.04)))
    breath = lowpass(rng.standard_normal(len(shape)), 2 * hz)
    return shape * (tone + 0.03 * breath)


def electric_piano(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A struck tine: a sine bent by a second sine whose depth dies away."""
    shape = _held(seconds, attack=0.004, release=0.25)
    t = np.arange(len(shape)) / SAMPLE_RATE
    bend = 1.1 * np.exp(-t / 0.35) * np.sin(2 * np.pi * hz * t)
    tine = 0.12 * np.exp(-t / 0.06) * np.sin(2 * np.pi * min(7 * hz, _HIGHEST_PARTIAL_HZ) * t)
    return shape * np.exp(-t / 1.4) * (np.sin(2 * np.pi * hz * t + bend) + tine)


def synth_pluck(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A sequencer blip: saw harmonics, the higher ones dying sooner."""
    ratios = range(1, _partials_below(hz, 4_500) + 1)
    return _struck(hz, seconds + 0.3, ratios, [1 / k for k in ratios], [0.45 / k for k in ratios])


def bass(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A round fingered bass of a few harmonics, damped when the note ends."""
    ratios, levels, decays = (1, 2, 3, 4, 5), (1.0, 0.6, 0.3, 0.15, 0.08), (1.6, 0.6, 0.3, 0.2, 0.1)
    shape = _held(seconds * 0.95, attack=0.006, release=0.08)
    return shape * _struck(hz, seconds + 0.1, ratios, levels, decays)[: len(shape)]


def bell(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A cast bell: hum, prime, minor third, fifth, nominal and three upper partials."""
    ratios = (0.5, 1.0, 1.2, 1.5, 2.0, 2.51, 3.01, 4.17)
    levels = (0.4, 1.0, 0.45, 0.25, 0.7, 0.25, 0.2, 0.12)
    decays = (1.6, 1.1, 0.8, 0.6, 0.5, 0.3, 0.22, 0.14)
    return _struck(hz, seconds + 1.5, ratios, levels, decays)


def marimba(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A tuned wooden bar: its fundamental, the overtone two octaves up and a short knock."""
    return _struck(hz, 0.9, (1.0, 3.95, 9.2), (1.0, 0.3, 0.1), (0.28, 0.07, 0.02))


def kick(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A bass drum: a sine that falls to the given pitch within a few hundredths of a second."""
    t = np.arange(int(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
    cycles = hz * t + 3.0 * hz * 0.03 * (1 - np.exp(-t / 0.03))
    return np.sin(2 * np.pi * cycles) * np.exp(-t / 0.11) * _fade_out(len(t))


def snare(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A snare drum: a short tone under low-passed noise."""
    t = np.arange(int(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    rattle = lowpass(rng.standard_normal(len(t)), 3_500) * np.exp(-t / 0.05)
    skin = np.sin(2 * np.pi * hz * t) * np.exp(-t / 0.06)
    return (0.5 * rattle + skin) * _fade_out(len(t))


def hat(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A muffled closed hat or shaker: a tick of noise between 3 and 5 kHz."""
    t = np.arange(int(0.08 * SAMPLE_RATE)) / SAMPLE_RATE
    noise = lowpass(rng.standard_normal(len(t)), 5_000)
    return (noise - lowpass(noise, 3_000)) * np.exp(-t / 0.015) * _fade_out(len(t))


def lowpass(signal: np.ndarray, cutoff_hz: float, order: int = 4) -> np.ndarray:
    """Applies a zero-phase filter with a Butterworth magnitude along the first axis.

    Args:
        signal: Samples, shape ``(n,)`` or ``(n, channels)``.
        cutoff_hz: Frequency in hertz at which the gain is -3 dB.
        order: Steepness; the slope is ``6 * order`` dB per octave.

    Returns:
        The filtered signal, same shape.
    """
    size = 2 * len(signal)
    gain = 1 / np.sqrt(1 + (np.fft.rfftfreq(size, 1 / SAMPLE_RATE) / cutoff_hz) ** (2 * order))
    spectrum = np.fft.rfft(signal, size, axis=0)
    shaped = spectrum * gain.reshape(-1, *[1] * (signal.ndim - 1))
    return np.fft.irfft(shaped, size, axis=0)[: len(signal)]


def _struck(
    hz: float,
    seconds: float,
    ratios: Sequence[float],
    levels: Sequence[float],
    decays: Sequence[float],
) -> np.ndarray:
    """Sums sines that start together and die away on their own.

    Args:
        hz: Fundamental in hertz.
        seconds: Length of the result in seconds.
        ratios: Frequency of each partial over the fundamental; too high ones are left out.
        levels: Linear amplitude of each partial.
        decays: Time in seconds in which each partial falls by a factor of e.

    Returns:
        The mono tone, faded to silence at its end.
    """
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = np.zeros_like(t)
    for ratio, level, decay in zip(ratios, levels, decays, strict=True):
        if ratio * hz < _HIGHEST_PARTIAL_HZ:
            tone += level * np.sin(2 * np.pi * ratio * hz * t) * np.exp(-t / decay)
    return tone * np.minimum(1, t / 0.002) * _fade_out(len(t))


def _held(seconds: float, attack: float, release: float) -> np.ndarray:
    """Raised-cosine swell, plateau and release; the release (s) comes after the held time (s)."""
    t = np.arange(int((seconds + release) * SAMPLE_RATE)) / SAMPLE_RATE
    rise = np.clip(t / attack, 0, 1)
    fall = np.clip((seconds + release - t) / release, 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * rise)) * (0.5 - 0.5 * np.cos(np.pi * fall))


def _fade_out(samples: int) -> np.ndarray:
    """Ones with a linear ramp to zero over the last quarter."""
    return np.minimum(1, 4 * np.arange(samples, 0, -1) / samples)


def _vibrato_phase(hz: float, samples: int, depth: float) -> np.ndarray:
    """Phase in radians of a tone whose 5.5 Hz vibrato reaches its relative depth in 0.4 s."""
    t = np.arange(samples) / SAMPLE_RATE
    sway = depth * np.minimum(1, t / 0.4) * np.sin(2 * np.pi * 5.5 * t)
    return 2 * np.pi * np.cumsum(hz * (1 + sway)) / SAMPLE_RATE


def _retuned(signal: np.ndarray, speed: float) -> np.ndarray:
    """Reads a signal ``speed`` times as fast, interpolating linearly between samples."""
    return np.interp(np.arange(0, len(signal) - 1, speed), np.arange(len(signal)), signal)


def _partials_below(hz: float, limit_hz: float) -> int:
    """Number of harmonics of a fundamental up to a limit, both in hertz; at least one."""
    return max(1, int(limit_hz / hz))
