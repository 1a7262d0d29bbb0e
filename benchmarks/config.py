"""What typed configuration costs: decoding, the command as a process, and the import.

    python benchmarks/config.py --out benchmarks/results/config.txt

Each ratio compares two ways of getting there that take turns in one process (or, for whole
processes, are started in turns), so that a busy machine slows both.
"""

import argparse
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import sat_config
from sat_config import encode

ROOT = Path(__file__).parents[1]
EXPERIMENT = ROOT / "configs" / "experiments" / "quickstart.toml"


def main() -> None:
    """Measure, print, and write the same to a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="file that also takes the results")
    parser.add_argument("--rounds", type=int, default=15, help="turns per comparison")
    arguments = parser.parse_args()
    lines = [
        f"{cpu_name()}, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()},"
        f" msgspec {msgspec.__version__}",
        f"configs/experiments/quickstart.toml; median of {arguments.rounds} turns (lowest)",
        "",
        *decoding(arguments.rounds),
        "",
        *processes(arguments.rounds),
    ]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text)


def decoding(rounds: int) -> list[str]:
    """Typed decoding of the resolved experiment against untyped decoding of its JSON."""
    config = sat_config.load(EXPERIMENT)
    text = sat_config.dumps(config, "json").encode()
    plain = encode.plain(config)
    root = type(config)
    times = take_turns(
        {
            "msgspec.json.decode, untyped": lambda: msgspec.json.decode(text),
            "msgspec.convert alone": lambda: msgspec.convert(plain, root),
            "sat_config.decode, warm": lambda: sat_config.decode(plain),
        },
        rounds,
        repeat=200,
    )
    return table(times, "us", 1e6 / 200)


def processes(rounds: int) -> list[str]:
    """Whole processes: imports, and the command."""
    command = shutil.which("sat-config", path=str(Path(sys.executable).parent)) or "sat-config"

    def run(*argv: str) -> Callable[[], object]:
        return lambda: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)

    times = take_turns(
        {
            "python -c pass": run(sys.executable, "-c", "pass"),
            "import msgspec": run(sys.executable, "-c", "import msgspec"),
            "import sat_config": run(sys.executable, "-c", "import sat_config"),
            "sat-config validate": run(command, "validate", str(EXPERIMENT)),
        },
        rounds,
    )
    medians = {name: statistics.median(found) for name, found in times.items()}
    over = (medians["import sat_config"] - medians["import msgspec"]) * 1e3
    ratio = medians["import sat_config"] / medians["import msgspec"]
    return [
        *table(times, "ms", 1e3),
        f"import sat_config over import msgspec: {ratio:.2f} times, {over:.1f} ms more",
    ]


def take_turns(
    ways: dict[str, Callable[[], object]], rounds: int, *, repeat: int = 1
) -> dict[str, list[float]]:
    """Seconds of each way in each round, after a round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            for _ in range(repeat):
                way()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def table(times: dict[str, list[float]], unit: str, factor: float) -> list[str]:
    """One line per way: its time, and its ratio to the first."""
    first = statistics.median(next(iter(times.values())))
    return [
        f"{name:<32}{statistics.median(found) * factor:>9.1f} {unit} ({min(found) * factor:.1f})"
        f"{statistics.median(found) / first:>8.2f} x"
        for name, found in times.items()
    ]


def cpu_name() -> str:
    """The processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


if __name__ == "__main__":
    main()
