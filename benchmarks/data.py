"""Crops per second from long compressed files: decoding a part against decoding everything.

    python benchmarks/data.py > benchmarks/results/data.txt

Makes one stereo file per format, then reads crops at random places from it in two ways that take
turns: `part` is `sat_models.audio.read_audio` on the crop; `whole` reads (and resamples) the whole
file by the same function and cuts the crop out, which is what loaders without seeking do. One
thread, as in a worker process; the file is in the page cache.

    python benchmarks/data.py --files 100000

measures instead how long a dataset of so many short files takes to be built, for the first time
(each is opened) and again (what was learnt is kept).
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import soundfile
import torch

from sat_config.audio.dataset import AudioDirNode, Folder
from sat_models.audio import probe, read_audio, write_audio
from sat_models.data.build import build_dataset
from sat_models.data.ledger import Ledger

SOURCE_RATE = 44_100
TARGET_RATES = (44_100, 48_000)
ROUNDS = 5
CROPS_PER_ROUND = {"part": 20, "whole": 2}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the files")
    parser.add_argument("--crop", type=int, default=65_536, help="samples per crop")
    parser.add_argument("--files", type=int, help="measure the start over so many files instead")
    arguments = parser.parse_args()
    if arguments.files is not None:
        measure_start(arguments.files)
        return
    if arguments.crop >= arguments.seconds * SOURCE_RATE:
        parser.error("--crop must be shorter than the files")
    torch.set_num_threads(1)
    print(f"{cpu_name()}, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()},")
    print(f"torch {torch.__version__}, libsndfile {soundfile.__libsndfile_version__}")
    print(f"stereo files of {arguments.seconds:g} s at {SOURCE_RATE} Hz, crops of {arguments.crop}")
    print(f"crops per second, median of {ROUNDS} rounds; ratio: median, lowest to highest\n")
    print(f"{'file':<6}{'target Hz':>10}{'part':>10}{'whole':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("flac", "ogg"):
            path = Path(folder) / f"long.{suffix}"
            write_audio(path, make_audio(arguments.seconds), sample_rate=SOURCE_RATE)
            for rate in TARGET_RATES:
                print(f"{suffix:<6}{rate:>10}" + compare(path, crop=arguments.crop, rate=rate))


def measure_start(count: int) -> None:
    """Build a dataset of `count` files of a tenth of a second twice, and print both times."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SAT_CACHE_DIR"] = f"{folder}/cache"
        first = Path(folder) / "music" / "000" / "000000.wav"
        write_audio(first, make_audio(0.1), sample_rate=SOURCE_RATE)
        content = first.read_bytes()
        for number in range(1, count):
            path = first.parents[1] / f"{number // 1000:03d}" / f"{number:06d}.wav"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        node = AudioDirNode(datasets=(Folder(id="music", path=str(first.parents[1])),))
        for what in ("first start", "second start"):
            began = time.perf_counter()
            dataset = build_dataset(
                node,
                sample_rate=SOURCE_RATE,
                sample_size=2048,
                channels=2,
                seed=0,
                training=True,
                ledger=Ledger(None, on_bad_file="error"),
            )
            seconds = time.perf_counter() - began
            print(f"{what}: {len(dataset)} files in {seconds:.1f} s")


def make_audio(seconds: float) -> torch.Tensor:
    """Gliding tones and noise, so that the encoders have something to do."""
    time_axis = np.arange(int(seconds * SOURCE_RATE)) / SOURCE_RATE
    rng = np.random.default_rng(0)
    tones = [np.sin(2 * np.pi * (f + 2 * time_axis) * time_axis) for f in (220.0, 331.0)]
    audio = 0.3 * np.stack(tones) + 0.02 * rng.standard_normal((2, len(time_axis)))
    return torch.from_numpy(audio.astype(np.float32))


def compare(path: Path, *, crop: int, rate: int) -> str:
    """The rest of a line of the table."""
    length = probe(path).length_at(rate)
    rng = np.random.default_rng(1)

    def read(start: int, num_samples: int) -> torch.Tensor:
        return read_audio(path, start=start, num_samples=num_samples, sample_rate=rate, channels=2)

    ways: dict[str, Callable[[int], torch.Tensor]] = {
        "part": lambda start: read(start, crop),
        "whole": lambda start: read(0, length)[:, start : start + crop],
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            starts = [int(start) for start in rng.integers(0, length - crop, CROPS_PER_ROUND[name])]
            began = time.perf_counter()
            for start in starts:
                way(start)
            speeds[name].append(len(starts) / (time.perf_counter() - began))
    ratios = [part / whole for part, whole in zip(speeds["part"], speeds["whole"], strict=True)]
    part, whole, ratio = map(statistics.median, (speeds["part"], speeds["whole"], ratios))
    return f"{part:>10.1f}{whole:>10.2f}{ratio:>8.0f}  ({min(ratios):.0f} to {max(ratios):.0f})"


def cpu_name() -> str:
    """The processor as the system calls it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
