"""The twelve tunes, written for these clips."""

from render import voices
from render.mixing import Part, Tune
from render.notation import drums, figure, melody


def all_tunes() -> list[Tune]:
    """Returns the tunes in the order of the manifest, the held-out one last."""
    return [
        _pluck_waltz(),
        _slow_pad(),
        _bass_groove(),
        _lead_melody(),
        _night_arpeggio(),
        _marimba_steps(),
        _bell_tower(),
        _organ_chorale(),
        _folk_picking(),
        _keys_ballad(),
        _string_bossa(),
        _dusk_plucks(),
    ]


def _pluck_waltz() -> Tune:
    chords = "G C D7 G"
    tune = "B4:2 D5:1 | E5:1.5 D5:0.5 C5:1 | A4:1 C5:1 F#5:1 | G5:3"
    parts = [
        Part(voices.plucked_string, melody(tune), 0.55, pan=0.25),
        Part(voices.plucked_string, figure(chords, 3, "F#3", ".xx"), 0.16, pan=-0.3, spread=0.3),
        Part(voices.bass, figure(chords, 3, "G2", "r-."), 0.26),
    ]
    return Tune("pluck_waltz", "Little Waltz", "G major", 210, 12, parts)


def _slow_pad() -> Tune:
    chords = "Am7 Fmaj7 G"
    parts = [
        Part(voices.pad, figure(chords, 2, "E3", "x"), 0.2, spread=0.6, reverb=0.5),
        Part(voices.bass, figure(chords, 2, "E2", "r-----R-"), 0.3),
        Part(voices.bell, melody(".:1 E5:1.5 C5:2 D5:1.5"), 0.1, pan=0.3, reverb=0.7),
    ]
    return Tune("slow_pad", "Slow Weather", "A minor", 104, 6, parts)


def _bass_groove() -> Tune:
    line = (
        "E2:0.75 E2:0.25 .:0.5 G2:0.5 A2:0.5 B2:0.75 D3:0.5 .:0.25"
        "| A1:0.75 A2:0.25 .:0.5 G2:0.5 E2:0.5 D2:0.75 B1:0.75"
    )
    parts = [
        Part(voices.bass, melody(line), 0.42, reverb=0.1),
        Part(
            voices.electric_piano, figure("Em7 A7", 4, "D4", "..x-..x...x-x-.."), 0.13, spread=0.6
        ),
        Part(voices.kick, drums("X.....x.X.X.....", 4, "A1", 2), 0.5, reverb=0.1),
        Part(voices.snare, drums("....X.......X..x", 4, "G3", 2), 0.28),
        Part(voices.hat, drums("x.X.x.X.x.X.x.Xx", 4, "C6", 2), 0.07, pan=0.35, reverb=0.2),
    ]
    return Tune("bass_groove", "Corner Groove", "E minor", 138, 8, parts)


def _lead_melody() -> Tune:
    chords = "D A Bm G"
    tune = "A4:0.5 D5:0.5 F#5:1 | E5:1.5 C#5:0.5 | D5:0.5 F#5:0.5 B5:1 | A5:0.5 G5:0.5 D5:1"
    parts = [
        Part(voices.lead, melody(tune), 0.4, pan=0.1, reverb=0.5),
        Part(voices.pad, figure(chords, 2, "F#3", "x"), 0.14, spread=0.6),
        Part(voices.bass, figure(chords, 2, "E2", "r-.rR-f-"), 0.32),
        Part(voices.kick, drums("X.x.", 4, "A1", 2), 0.3, reverb=0.1),
    ]
    return Tune("lead_melody", "Paper Kite", "D major", 138, 8, parts)


def _night_arpeggio() -> Tune:
    chords = "Cm Ab Eb Bb"
    parts = [
        Part(voices.synth_pluck, figure(chords, 2, "G4", "02134231"), 0.3, spread=0.9, reverb=0.5),
        Part(voices.pad, figure(chords, 2, "Eb3", "x"), 0.12, spread=-0.5),
        Part(voices.bass, figure(chords, 2, "E2", "r.rRr.rR"), 0.35, reverb=0.1),
        Part(voices.kick, drums("XXXX", 4, "A1", 2), 0.42, reverb=0.1),
    ]
    return Tune("night_arpeggio", "Night Train", "C minor", 140, 8, parts)


def _marimba_steps() -> Tune:
    chords = "F Dm Bb C7"
    tune = "C5 A4 F5 C5 A4 C5 | D5 A4 F5:2 D5 F5 | D5 Bb4 F5 D5 G5 F5 | E5 G5 C6 Bb5 G5 E5"
    parts = [
        Part(voices.marimba, melody(tune, unit=0.5), 0.4, pan=0.1, spread=0.5),
        Part(voices.marimba, figure(chords, 3, "C4", "0.12.1"), 0.25, pan=-0.3, spread=0.3),
        Part(voices.marimba, figure(chords, 3, "F2", "r..f.."), 0.34, pan=-0.05),
        Part(voices.bass, figure(chords, 3, "F2", "r----."), 0.2),
    ]
    return Tune("marimba_steps", "Wooden Steps", "F major", 210, 12, parts)


def _bell_tower() -> Tune:
    chords = "Gm Eb Cm D"
    tune = "G5:0.5 Bb5:0.5 A5:1 | G5:1 Eb5:1 | C5:0.5 D5:0.5 Eb5:1 | D5:0.5 F#5:0.5 A5:1"
    parts = [
        Part(voices.bell, melody(tune), 0.35, spread=0.7, reverb=0.5),
        Part(voices.bell, figure(chords, 2, "G3", "r"), 0.25, pan=-0.2),
        Part(voices.pad, figure(chords, 2, "G3", "x"), 0.1, spread=0.5),
    ]
    return Tune("bell_tower", "Bell Tower", "G minor", 138, 8, parts)


def _organ_chorale() -> Tune:
    bass = "Bb2 A2 G2 Eb3 F3 Bb2:1.5"
    upper = "F4+Bb4+D5 F4+A4+C5 D4+G4+Bb4 Eb4+G4+Bb4 C4+F4+A4 D4+F4+Bb4:1.5"
    parts = [
        Part(voices.organ, melody(upper), 0.2, spread=0.5, reverb=0.6),
        Part(voices.organ, melody(bass), 0.3, pan=-0.1, reverb=0.5),
    ]
    return Tune("organ_chorale", "Short Chorale", "Bb major", 112, 6.5, parts)


def _folk_picking() -> Tune:
    chords = "C Am F G"
    parts = [
        Part(voices.plucked_string, figure(chords, 2, "G2", "r-R-f-R-"), 0.36, pan=-0.15),
        Part(
            voices.plucked_string, figure(chords, 2, "G3", ".2.1320."), 0.36, pan=0.15, spread=0.5
        ),
        Part(voices.plucked_string, melody("E5:2 C5:1 E5:1 A4:1 C5:1 B4:2"), 0.4, pan=0.25),
    ]
    return Tune("folk_picking", "Porch Light", "C major", 140, 8, parts)


def _keys_ballad() -> Tune:
    chords = "Ebmaj7 Cm7 Fm7 Bb7"
    tune = ".:0.5 G4:0.5 Bb4:1 | Eb5:1.5 D5:0.5 | C5:0.5 Ab4:0.5 C5:1 | Bb4:2"
    parts = [
        Part(voices.electric_piano, figure(chords, 2, "Bb3", "x--.x-x-"), 0.16, spread=0.6),
        Part(voices.flute, melody(tune), 0.27, pan=0.15, reverb=0.5),
        Part(voices.bass, figure(chords, 2, "E2", "r----.ff"), 0.36),
        Part(voices.hat, drums(".x.X.x.X", 4, "C6", 2), 0.04, pan=-0.3, reverb=0.2),
    ]
    return Tune("keys_ballad", "Lamp and Rain", "Eb major", 136, 8, parts)


def _string_bossa() -> Tune:
    chords = "Dm7 G7 Cmaj7 A7"
    tune = "A4:0.75 C5:0.75 F5:0.5 | E5:0.75 D5:0.75 B4:0.5 | G4:0.75 B4:0.75 E5:0.5 | C#5:1 A4:1"
    parts = [
        Part(
            voices.plucked_string, figure(chords, 2, "F3", "x-.x-.x-"), 0.17, pan=-0.2, spread=0.4
        ),
        Part(voices.marimba, melody(tune), 0.36, pan=0.3),
        Part(voices.bass, figure(chords, 2, "E2", "r-----f-"), 0.4),
        Part(voices.kick, drums("X..xX..x", 4, "A1", 2), 0.25, reverb=0.1),
        Part(voices.hat, drums("Xxxx", 1, "C6", 8), 0.04, pan=0.4, reverb=0.2),
    ]
    return Tune("string_bossa", "Side Street", "D minor", 140, 8, parts)


def _dusk_plucks() -> Tune:
    chords = "Em C G D"
    tune = "B4:1 G4:0.5 B4:0.5 | E5:1 D5:0.5 C5:0.5 | D5:1 B4:0.5 G4:0.5 | A4:1 F#4:1"
    parts = [
        Part(voices.plucked_string, melody(tune), 0.45, pan=0.2),
        Part(
            voices.plucked_string, figure(chords, 2, "E3", "02130213"), 0.22, pan=-0.2, spread=0.4
        ),
        Part(voices.pad, figure(chords, 2, "G3", "x"), 0.11, spread=0.5),
        Part(voices.bass, figure(chords, 2, "E2", "r---f-r-"), 0.24),
        Part(voices.kick, drums("X.x.", 4, "A1", 2), 0.28, reverb=0.1),
        Part(voices.hat, drums("..x.", 1, "C6", 8), 0.04, pan=0.35, reverb=0.2),
    ]
    return Tune("dusk_plucks", "Dusk", "E minor", 138, 8, parts, split="heldout")
