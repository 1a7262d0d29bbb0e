# /// script
# requires-python = ">=3.11"
# dependencies = ["sat-config", "sat-hydra-adapter", "pydantic>=2"]
#
# [tool.uv.sources]
# sat-config = { path = "../packages/sat-config", editable = true }
# sat-hydra-adapter = { path = "../packages/sat-hydra-adapter", editable = true }
# ///
"""What typed configuration costs: decoding, loading, the command as a process, and the import.

    uv run benchmarks/config.py --out benchmarks/results/config.txt

Each ratio compares ways of getting there that take turns in one process (or, for whole processes,
are started in turns), so that a busy machine slows all of them. Where pydantic or Hydra is not
installed, the lines about it are left out.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

import sat_config
from sat_config import encode, plugins, registry

ROOT = Path(__file__).parents[1]
EXPERIMENT = ROOT / "configs" / "experiments" / "quickstart.toml"
MODEL_OF_SAT = ROOT / "tests" / "editors" / "probes" / "document.json"
HYDRA = ROOT / "configs" / "hydra"
CORPUS = Path(os.environ.get("SAT_CORPUS_DIR", ROOT.parent / "shared" / "corpus"))
PRESETS = Path(sat_config.__file__).parent / "presets"

warnings.simplefilter("ignore", sat_config.ConfigWarning)


def main() -> None:
    """Measure, print, and write the same to a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="file that also takes the results")
    parser.add_argument("--rounds", type=int, default=15, help="turns per comparison")
    arguments = parser.parse_args()
    plugins.load()
    head = (
        f"{cpu_name()}, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()},"
        f" msgspec {msgspec.__version__}; median of {arguments.rounds} turns (lowest)"
    )
    blocks = [head]
    print(head)
    for part in (decoding, loading, sizes, members, processes):
        blocks.append("\n".join(part(arguments.rounds)))
        print(f"\n{blocks[-1]}")
    text = "\n\n".join(blocks) + "\n"
    if arguments.out:
        arguments.out.write_text(text)


# ----------------------------------------------------------------------------------- in one process


def decoding(rounds: int) -> Iterator[str]:
    """Typed decoding of the largest public model document against other ways to read it."""
    name, plain = largest_model()
    root = registry.current().roots()[0].member_for(plain)
    if root is None:
        raise SystemExit(f"{name} is no model document")
    text = json.dumps(plain, indent=4).encode()
    ways: dict[str, Callable[[], object]] = {
        "msgspec.json.decode, untyped": lambda: msgspec.json.decode(text),
        "msgspec.json.decode, typed": lambda: msgspec.json.decode(text, type=root),
        "msgspec.convert": lambda: msgspec.convert(plain, root),
        "sat_config.decode, rules and all": lambda: sat_config.decode(plain),
    }
    if importlib.util.find_spec("pydantic"):
        import pydantic_twin

        twin = pydantic_twin.twin_of(root)
        ways["pydantic, from JSON"] = lambda: twin.model_validate_json(text)
        ways["pydantic, from a mapping"] = lambda: twin.model_validate(plain)
    times = take_turns(ways, rounds, repeat=100)
    yield f"{name}, {len(text)} bytes"
    yield from table(times, "us", 1e6 / 100)
    yield ratio(times, "msgspec.json.decode, typed", "msgspec.json.decode, untyped", "at most 1.3")
    if "pydantic, from JSON" in times:
        yield ratio(times, "pydantic, from JSON", "msgspec.json.decode, typed", "at least 2.5")
        yield ratio(times, "pydantic, from a mapping", "msgspec.convert", "at least 4")


def largest_model() -> tuple[str, Any]:
    """The largest model document that is read by SAT itself, or the largest preset."""
    found = []
    if (CORPUS / "index.json").is_file():
        for row in json.loads((CORPUS / "index.json").read_text()):
            if row["kind"] == "model" and row["status"] == "upstream":
                plain = json.loads((CORPUS / row["file"]).read_text())
                found.append((Path(row["file"]).name, plain))
    else:
        for path in [*PRESETS.rglob("*.toml"), *(ROOT / "configs" / "models").glob("*.toml")]:
            with contextlib.suppress(sat_config.ConfigError):
                found.append((path.name, encode.plain(sat_config.load_model(path))))
    return max(found, key=lambda pair: len(json.dumps(pair[1])))


def loading(rounds: int) -> Iterator[str]:
    """A layered experiment from its TOML files against Hydra composing the same groups."""
    ways: dict[str, Callable[[], object]] = {"sat_config.load": lambda: sat_config.load(EXPERIMENT)}
    yield "the quickstart, from its files: two TOML files, or four groups of Hydra"
    if not importlib.util.find_spec("hydra"):
        yield from table(take_turns(ways, rounds, repeat=5), "ms", 1e3 / 5)
        return
    import hydra

    with hydra.initialize_config_dir(str(HYDRA), version_base="1.3"):
        ways["hydra.compose"] = lambda: hydra.compose("config", ["experiment=quickstart"])
        times = take_turns(ways, rounds, repeat=5)
    yield from table(times, "ms", 1e3 / 5)
    yield ratio(times, "hydra.compose", "sat_config.load", "at least 40")
    yield from adapter(rounds)


def adapter(rounds: int) -> Iterator[str]:
    """Hydra's compose alone, and the adapter's, which decodes and checks besides."""
    import hydra

    import sat_hydra_adapter

    def plain() -> object:
        with hydra.initialize_config_dir(str(HYDRA.resolve()), version_base="1.3"):
            return hydra.compose("config", ["experiment=quickstart", "++batch_size=3"])

    def ours() -> object:
        return sat_hydra_adapter.compose(HYDRA, ["experiment=quickstart", "batch_size=3"])

    times = take_turns({"hydra.compose, set up": plain, "sat_hydra_adapter.compose": ours}, rounds)
    yield ratio(times, "sat_hydra_adapter.compose", "hydra.compose, set up", "at most 1.1")


def sizes(rounds: int) -> Iterator[str]:
    """Decoding against the size of a document."""
    yield "decoding against size: a model with so many conditioners"
    for count in (1, 10, 100, 1000):
        plain = conditional(count)
        root = registry.current().roots()[0].member_for(plain)
        repeat = max(1, 200 // count)
        times = take_turns(
            {
                "msgspec.convert": lambda plain=plain, root=root: msgspec.convert(plain, root),
                "sat_config.decode": lambda plain=plain: sat_config.decode(plain),
            },
            rounds,
            repeat=repeat,
        )
        shown = [f"{statistics.median(found) * 1e6 / repeat:10.1f} us" for found in times.values()]
        size = len(json.dumps(plain))
        yield f"{count:>5} ({size:>6} bytes) convert {shown[0]}   sat_config.decode {shown[1]}"


def conditional(count: int) -> dict[str, Any]:
    """A conditional model with a number of conditioners, all of them used."""
    names = [f"c{number}" for number in range(count)]
    number = {"type": "number", "config": {"min_val": 0, "max_val": 512}}
    dit = {"io_channels": 64, "embed_dim": 128, "depth": 2, "num_heads": 2, "cond_token_dim": 64}
    return {
        "model_type": "diffusion_cond",
        "sample_rate": 44100,
        "sample_size": 65536,
        "model": {
            "io_channels": 64,
            "conditioning": {"cond_dim": 64, "configs": [{"id": name, **number} for name in names]},
            "diffusion": {"type": "dit", "config": dit, "cross_attention_cond_ids": names},
            "pretransform": {"type": "patched", "config": {"channels": 2, "patch_size": 32}},
        },
    }


# --------------------------------------------------------------------------------- whole processes

MEMBERS = """
import sys, time
import msgspec, sat_config
from sat_config import plugins, registry, schema
from sat_config.node import Node
plugins.load()
from sat_config.audio.bottleneck import BottleneckNode
for number in range(int(sys.argv[1])):
    config = msgspec.defstruct("Config", [("dim", int, 8)], bases=(Node,), kw_only=True)
    registry.member(msgspec.defstruct(
        f"Node{number}", [("config", config, config())], bases=(BottleneckNode,),
        tag=f"extra{number}", kw_only=True))
config = {"channels": 8, "c_mults": [1], "strides": [2], "latent_dim": 8}
plain = {
    "model_type": "autoencoder", "sample_rate": 44100, "sample_size": 64,
    "model": {"latent_dim": 8, "downsampling_ratio": 2, "io_channels": 2,
              "encoder": {"type": "oobleck", "config": {"in_channels": 2, **config}},
              "decoder": {"type": "oobleck", "config": {"out_channels": 2, **config}},
              "bottleneck": {"type": "tanh"}},
}
start = time.perf_counter()
sat_config.decode(plain)
first = time.perf_counter() - start
root = registry.current().roots()[0].member_for(plain)
times = []
for _ in range(20):
    start = time.perf_counter()
    for _ in range(200):
        msgspec.convert(plain, root)
    times.append((time.perf_counter() - start) / 200)
print(first * 1e3, sorted(times)[10] * 1e6)
"""


def members(rounds: int) -> Iterator[str]:
    """Decoding against the number of registered types, each count in processes of its own."""
    types = sum(len(family.members) for family in registry.current().families.values())
    yield f"decoding against the number of types: {types} of our own and so many bottlenecks more"
    with bytecode_kept() as environment:
        for count in (0, 100, 1000):
            argv = [sys.executable, "-c", MEMBERS, str(count)]
            found = [
                [float(word) for word in run(argv, environment).split()]
                for _ in range(max(3, rounds // 3))
            ]
            first, warm = (statistics.median(column) for column in zip(*found, strict=True))
            yield f"{count:>5} more: first decoding {first:6.1f} ms, msgspec.convert {warm:6.2f} us"


def processes(rounds: int) -> Iterator[str]:
    """Whole processes: imports, and the commands."""
    folder = str(Path(sys.executable).parent)
    command = shutil.which("sat-config", path=folder) or "sat-config"
    python = [sys.executable, "-c"]
    commands = {
        "python -c pass": [*python, "pass"],
        "import msgspec": [*python, "import msgspec"],
        "import sat_config": [*python, "import sat_config"],
        "import sat_config.audio": [*python, "import sat_config.audio"],
        "sat-config validate": [command, "validate", str(EXPERIMENT)],
        "sat-config show": [command, "show", str(EXPERIMENT)],
        "sat-config show --origins": [command, "show", str(EXPERIMENT), "--origins"],
        "sat-config explain FILE KEY": [command, "explain", str(EXPERIMENT), "seed"],
        "sat-config explain KEY": [command, "explain", "model.bottleneck"],
        "sat-config explain": [command, "explain"],
        "sat-config diff A B": [command, "diff", str(EXPERIMENT), str(EXPERIMENT)],
        "sat-config schema": [command, "schema"],
        "sat-config migrate": [command, "migrate", str(MODEL_OF_SAT), "--force", "--output"],
        "sat-config init": [command, "init"],
    }
    if (hydra := shutil.which("sat-hydra", path=folder)) and importlib.util.find_spec("hydra"):
        words = ["builtins:print", "--config-dir", str(HYDRA), "experiment=quickstart"]
        commands["sat-hydra --cfg job"] = [hydra, *words, "--cfg", "job"]
        bare = [sys.executable, str(Path(__file__).parent / "hydra_app.py")]
        commands["bare Hydra app --cfg job"] = [*bare, *words[1:], "--cfg", "job"]
    with bytecode_kept() as environment:
        migrated = Path(environment["PYTHONPYCACHEPREFIX"], "migrated.toml")
        commands["sat-config migrate"].append(str(migrated))
        ways = {name: (lambda argv=argv: run(argv, environment)) for name, argv in commands.items()}
        times = take_turns(ways, rounds)
    yield "whole processes, their bytecode compiled beforehand"
    yield from table(times, "ms", 1e3)
    more = statistics.median(times["import sat_config"]) - statistics.median(
        times["import msgspec"]
    )
    yield f"import sat_config over import msgspec: {more * 1e3:.1f} ms more (aim: at most 15)"
    floor = statistics.median(times["import msgspec"])
    for name in (name for name in times if name.startswith("sat-config ")):
        over = statistics.median(times[name]) - floor
        yield f"{name} over import msgspec: {over * 1e3:.0f} ms more (aim: at most 100)"
    if "sat-hydra --cfg job" in times:
        yield ratio(times, "sat-hydra --cfg job", "sat-config validate", "at least 3")
        yield ratio(times, "bare Hydra app --cfg job", "sat-config validate", "at least 3")


@contextlib.contextmanager
def bytecode_kept() -> Iterator[dict[str, str]]:
    """An environment in which Python keeps compiled modules, in a folder for the occasion."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {key: v for key, v in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        yield {**kept, "PYTHONPYCACHEPREFIX": folder}


def run(argv: list[str], environment: dict[str, str]) -> str:
    """What a process that succeeds prints."""
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=environment)
    return done.stdout


# ------------------------------------------------------------------------------------------- clocks


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


def table(times: dict[str, list[float]], unit: str, factor: float) -> Iterator[str]:
    """One line per way: its time, and its ratio to the first."""
    first = statistics.median(next(iter(times.values())))
    for name, found in times.items():
        yield (
            f"{name:<34}{statistics.median(found) * factor:>9.1f} {unit}"
            f" ({min(found) * factor:.1f}){statistics.median(found) / first:>8.2f} x"
        )


def ratio(times: dict[str, list[float]], over: str, under: str, aim: str) -> str:
    """How many times as long one way takes as another, turn by turn."""
    pairs = zip(times[over], times[under], strict=True)
    found = statistics.median(slow / fast for slow, fast in pairs)
    return f"{over} over {under}: {found:.2f} times (aim: {aim})"


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
