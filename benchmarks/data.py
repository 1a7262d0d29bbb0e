"""Crops per second from three-minute files, ours over stable-audio-tools' dataset class.

    python benchmarks/data.py --sat FOLDER > benchmarks/results/data.txt

FOLDER is the site-packages of an environment for the same Python in which stable-audio-tools
0.0.19 is installed; it is put behind this environment's own. Without it ours is measured alone.
Where torchcodec, through which torchaudio 2.9 and later read files, cannot load FFmpeg, soundfile
reads the whole file in its place, as in earlier versions of torchaudio.

Three ways take turns on the same files, which are in the page cache. `frames` decodes the frames of
a crop with soundfile and does nothing else: at the files' own rate, the floor. `ours` and `sat` are
the loaders with batches of 4, timed from the first batch of each worker on.

    python benchmarks/data.py --files 100000

measures instead how long a dataset of so many short files takes to be built, for the first time
(each is opened) and again (what was learnt is kept).
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio

import sat_config
import sat_models.builtin  # noqa: F401 - builders, where the package is not installed but on a path
from sat_config.audio.dataset import AudioDirNode, Folder
from sat_models.audio import write_audio
from sat_models.data.build import build_dataset
from sat_models.data.ledger import Ledger
from sat_models.data.loader import build_loader

SOURCE_RATE = 44_100
SUFFIXES = ("flac", "wav", "ogg")
CASES = ((44_100, 0), (44_100, 2), (48_000, 0))
"""Rate of the crops in Hz, and worker processes."""
FILES = 64
BATCH = 4
ROUNDS = 3
BATCHES = {"frames": 20, "ours": 40, "sat": 2}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sat", type=Path, help="site-packages with stable-audio-tools")
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the files")
    parser.add_argument("--crop", type=int, default=65_536, help="samples per crop")
    parser.add_argument("--files", type=int, help="measure the start over so many files instead")
    arguments = parser.parse_args()
    if arguments.crop >= arguments.seconds * SOURCE_RATE:
        parser.error("--crop must be shorter than the files")
    torch.set_num_threads(1)
    print(f"{cpu_name()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d},")
    print(f"Python {platform.python_version()}, torch {torch.__version__},", end=" ")
    print(f"libsndfile {soundfile.__libsndfile_version__}; not run on a GPU")
    if arguments.files is not None:
        measure_start(arguments.files)
        return
    if arguments.sat is not None:
        sys.path.append(str(arguments.sat))
        print(f"stable-audio-tools reads with {whole_file_reader()}")
    print(f"stereo files of {arguments.seconds:g} s at {SOURCE_RATE} Hz, crops of {arguments.crop}")
    print(f"crops per second, median of {ROUNDS} rounds; ratio: ours over sat, with its range\n")
    columns = f"{'frames':>9}{'ours':>9}{'sat':>9}{'ratio':>8}"
    print(f"{'file':<6}{'target Hz':>10}{'workers':>9}{columns}")
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["SAT_CACHE_DIR"] = f"{temporary}/cache"
        for suffix in SUFFIXES:
            folder = make_files(Path(temporary, suffix), suffix, seconds=arguments.seconds)
            for rate, workers in CASES:
                figures = compare(
                    folder,
                    crop=arguments.crop,
                    rate=rate,
                    workers=workers,
                    sat=arguments.sat is not None,
                )
                print(f"{suffix:<6}{rate:>10}{workers:>9}{figures}", flush=True)


def make_files(folder: Path, suffix: str, *, seconds: float) -> Path:
    """A folder of the same file under many names."""
    folder.mkdir()
    first = folder / f"00.{suffix}"
    write_audio(first, make_audio(seconds), sample_rate=SOURCE_RATE)
    for number in range(1, FILES):
        os.link(first, folder / f"{number:02d}.{suffix}")
    return folder


def make_audio(seconds: float) -> torch.Tensor:
    """Gliding tones and noise, so that the encoders have something to do."""
    time_axis = np.arange(int(seconds * SOURCE_RATE)) / SOURCE_RATE
    rng = np.random.default_rng(0)
    tones = [np.sin(2 * np.pi * (f + 2 * time_axis) * time_axis) for f in (220.0, 331.0)]
    audio = 0.3 * np.stack(tones) + 0.02 * rng.standard_normal((2, len(time_axis)))
    return torch.from_numpy(audio.astype(np.float32))


def compare(folder: Path, *, crop: int, rate: int, workers: int, sat: bool) -> str:
    """The rest of a line of the table."""
    ways = {"frames": frames_only, "ours": our_loader} | ({"sat": sat_loader} if sat else {})
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS):
        for name, way in ways.items():
            batches = way(folder, crop=crop, rate=rate, workers=workers, seed=turn)
            speeds[name].append(speed_of(batches, count=BATCHES[name], skip=max(workers, 1)))
    text = f"{statistics.median(speeds['frames']):>9.1f}{statistics.median(speeds['ours']):>9.1f}"
    if not sat:
        return text
    ratios = [ours / theirs for ours, theirs in zip(speeds["ours"], speeds["sat"], strict=True)]
    text += f"{statistics.median(speeds['sat']):>9.2f}{statistics.median(ratios):>8.0f}"
    return f"{text}  ({min(ratios):.0f} to {max(ratios):.0f})"


def speed_of(batches: Iterable[object], *, count: int, skip: int) -> float:
    """Crops per second of some batches after the first ones."""
    stream = iter(batches)
    for _ in range(skip):
        next(stream)
    began = time.perf_counter()
    for _ in range(count):
        next(stream)
    return count * BATCH / (time.perf_counter() - began)


def frames_only(
    folder: Path, *, crop: int, rate: int, workers: int, seed: int
) -> Iterable[list[np.ndarray]]:
    """Seek and decode with soundfile, in this process whatever the number of workers."""
    del rate, workers
    rng = np.random.default_rng(seed)
    paths = sorted(folder.iterdir())
    length = soundfile.info(paths[0]).frames
    while True:
        starts = rng.integers(0, length - crop, BATCH)
        chosen = rng.integers(0, len(paths), BATCH)
        yield [
            soundfile.read(paths[path], start=start, frames=crop, dtype="float32")[0]
            for path, start in zip(chosen, starts, strict=True)
        ]


def our_loader(folder: Path, *, crop: int, rate: int, workers: int, seed: int) -> Iterable[object]:
    """Training batches of ours."""
    experiment = sat_config.decode(
        {
            "model_type": "autoencoder",
            "sample_rate": rate,
            "sample_size": crop,
            "audio_channels": 2,
            "batch_size": BATCH,
            "num_workers": workers,
            "seed": seed,
            "model": {
                "encoder": {"type": "oobleck", "config": {"in_channels": 2}},
                "decoder": {"type": "oobleck", "config": {"out_channels": 2}},
                "latent_dim": 32,
                "downsampling_ratio": 512,
                "io_channels": 2,
            },
            "dataset": {
                "dataset_type": "audio_dir",
                "datasets": [{"id": "long", "path": str(folder)}],
            },
        }
    )
    return build_loader(
        experiment, experiment.dataset, training=True, ledger=Ledger(None, on_bad_file="error")
    )


def sat_loader(folder: Path, *, crop: int, rate: int, workers: int, seed: int) -> Iterable[object]:
    """stable-audio-tools' dataset in the loader that it would build, which needs a worker."""
    from stable_audio_tools.data.dataset import LocalDatasetConfig, SampleDataset, collation_fn

    with redirect_stdout(StringIO()):
        dataset = SampleDataset(
            [LocalDatasetConfig(id="long", path=str(folder))], sample_size=crop, sample_rate=rate
        )
    return torch.utils.data.DataLoader(
        dataset,
        BATCH,
        shuffle=True,
        num_workers=workers,
        collate_fn=collation_fn,
        generator=torch.Generator().manual_seed(seed),
    )


def whole_file_reader() -> str:
    """What torchaudio reads with; gives it soundfile where torchcodec does not load."""
    try:
        from torchcodec.decoders import AudioDecoder  # noqa: F401 - does it load?
    except (ImportError, RuntimeError):

        def load(path: str, **_: object) -> tuple[torch.Tensor, int]:
            values, rate = soundfile.read(path, dtype="float32", always_2d=True)
            return torch.from_numpy(values.T), rate

        torchaudio.load = load
        return "soundfile, in place of torchcodec"
    return "torchcodec"


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


def cpu_name() -> str:
    """The processor as the system calls it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
