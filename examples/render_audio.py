# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.26", "soundfile>=0.13"]
# ///
"""Renders the example clips and their manifest.

Run ``uv run examples/render_audio.py``; the same seed gives the same clips.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import soundfile
from render.mixing import Tune, render
from render.tunes import all_tunes
from render.voices import SAMPLE_RATE

SEED = 20_240_612
LICENCE = "CC0-1.0"


def main() -> None:
    """Reads the command line and renders every clip."""
    parser = argparse.ArgumentParser(description="Render the example clips and their manifest.")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).resolve().parent / "audio",
        help="folder to write the clips and manifest.json to (default: audio beside this script)",
    )
    write_all(parser.parse_args().out)


def write_all(out: Path) -> None:
    """Renders every tune to ``out`` and writes ``manifest.json`` there."""
    clips = [write_clip(tune, out) for tune in all_tunes()]
    manifest = {
        "licence": LICENCE,
        "rendered_by": "examples/render_audio.py",
        "seed": SEED,
        "clips": clips,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (out / "manifest.json").write_text(text, encoding="utf-8")


def write_clip(tune: Tune, out: Path) -> dict[str, object]:
    """Renders one tune to ``out/<split>/<name>.flac`` and returns its manifest entry."""
    pcm = render(tune, SEED)
    path = out / tune.split / f"{tune.name}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, pcm, SAMPLE_RATE, subtype="PCM_16", compression_level=1.0)
    return describe(tune, pcm)


def describe(tune: Tune, pcm: np.ndarray) -> dict[str, object]:
    """Builds a clip's manifest entry.

    Args:
        tune: The tune played.
        pcm: Its int16 samples, shape ``(samples, channels)``.

    Returns:
        The entry; levels are in dB relative to full scale, over all channels, and the checksum
        is of the interleaved little-endian samples.
    """
    samples, channels = pcm.shape
    level = pcm / 32_768
    return {
        "file": f"{tune.split}/{tune.name}.flac",
        "title": tune.title,
        "instruments": tune.instruments,
        "key": tune.key,
        "tempo_bpm": tune.tempo,
        "seconds": round(samples / SAMPLE_RATE, 4),
        "sample_rate": SAMPLE_RATE,
        "channels": channels,
        "peak_db": round(decibels(np.abs(level).max()), 2),
        "rms_db": round(decibels(np.sqrt((level**2).mean())), 2),
        "split": tune.split,
        "sha256": hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest(),
    }


def decibels(amplitude: float) -> float:
    """Converts a linear amplitude to dB relative to full scale."""
    return float(20 * np.log10(amplitude))


if __name__ == "__main__":
    main()
