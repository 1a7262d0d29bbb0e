"""Short strings for melodies, chord figures and drum beats, read into timed notes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "b": -1}
_QUALITIES = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
}
_FIFTH = 7
_OCTAVE = 12


@dataclass(frozen=True)
class Note:
    """One sounding pitch.

    Attributes:
        start: Onset in beats from the beginning of the tune.
        beats: Length in beats.
        pitch: MIDI note number (60 is middle C, 69 is 440 Hz).
        velocity: Linear amplitude, 1.0 for a plain note.
    """

    start: float
    beats: float
    pitch: int
    velocity: float = 1.0

    @property
    def hz(self) -> float:
        """Fundamental frequency in hertz, equal temperament."""
        return 440.0 * 2.0 ** ((self.pitch - 69) / 12)


def pitch(name: str) -> int:
    """Reads a pitch name with its octave, such as ``F#4``, as a MIDI note number."""
    letter, accidental, octave = re.fullmatch(r"([A-G])([#b]?)(\d)", name).groups()
    return _SEMITONES[letter] + _ACCIDENTALS[accidental] + _OCTAVE * (int(octave) + 1)


def melody(line: str, unit: float = 1.0) -> list[Note]:
    """Reads a line of pitches played one after another.

    Args:
        line: Words such as ``G4:1.5`` (pitch and length in units, one when left out), ``C4+E4:2``
            for several pitches at once, and ``.:0.5`` for a rest. A ``|`` is a bar line.
        unit: Length in beats that counts as one in the line.

    Returns:
        The notes, the first one at beat 0.
    """
    notes, start = [], 0.0
    for word in line.replace("|", " ").split():
        names, _, length = word.partition(":")
        beats = unit * float(length or 1)
        if names != ".":
            notes += [Note(start, beats, pitch(name)) for name in names.split("+")]
        start += beats
    return notes


def figure(symbols: str, beats: float, low: str, pattern: str) -> list[Note]:
    """Plays the same figure over each chord of a progression.

    Args:
        symbols: Chord symbols such as ``Am F C G7``.
        beats: Length of each chord in beats.
        low: Pitch name; every chord is voiced in the octave that starts there.
        pattern: One character per equal step of the chord: ``x`` the whole chord, a digit one
            of its notes counted from the lowest (going on into the next octave), ``r`` the root,
            ``R`` the root an octave up, ``f`` the fifth above the root, ``-`` hold, ``.`` rest.

    Returns:
        The notes in order of onset.
    """
    notes = []
    for index, symbol in enumerate(symbols.split()):
        for offset, length, mark in _steps(pattern, beats):
            start = index * beats + offset
            notes += [Note(start, length, p) for p in _chosen(symbol, pitch(low), mark)]
    return notes


def drums(pattern: str, beats: float, tuned: str, repeats: int = 1) -> list[Note]:
    """Plays a drum pattern over and over.

    Args:
        pattern: One character per equal step: ``X`` an accent, ``x`` a softer hit, ``.`` a rest.
        beats: Length of the pattern in beats.
        tuned: Pitch name given to every hit.
        repeats: How many times the pattern is played.

    Returns:
        The hits in order of onset.
    """
    levels = {"X": 1.0, "x": 0.6}
    return [
        Note(turn * beats + offset, length, pitch(tuned), levels[mark])
        for turn in range(repeats)
        for offset, length, mark in _steps(pattern, beats)
    ]


def _steps(pattern: str, beats: float) -> Iterator[tuple[float, float, str]]:
    """Yields onset in beats, length in beats and mark of each event in a pattern."""
    step = beats / len(pattern)
    for event in re.finditer(r"([^.-])-*", pattern):
        yield event.start() * step, len(event[0]) * step, event[1]


def _chosen(symbol: str, low: int, mark: str) -> list[int]:
    """Picks the MIDI pitches that one pattern mark asks of a chord."""
    root, tones = _voicing(symbol, low)
    if mark == "x":
        return tones
    if mark.isdigit():
        octave, index = divmod(int(mark), len(tones))
        return [tones[index] + _OCTAVE * octave]
    return [root + {"r": 0, "R": _OCTAVE, "f": _FIFTH}[mark]]


def _voicing(symbol: str, low: int) -> tuple[int, list[int]]:
    """Places a chord's root and its tones, ascending, in the octave from ``low`` upwards."""
    letter, accidental, quality = re.fullmatch(r"([A-G])([#b]?)(.*)", symbol).groups()
    name = _SEMITONES[letter] + _ACCIDENTALS[accidental]
    tones = [low + (name + step - low) % _OCTAVE for step in _QUALITIES[quality]]
    return tones[0], sorted(tones)
