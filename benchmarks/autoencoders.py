r"""Autoencoders against stable-audio-tools' own: speed, errors, memory, and the machine's limits.

    export OMP_WAIT_POLICY=PASSIVE
    python benchmarks/autoencoders.py full --sat FOLDER
    python benchmarks/autoencoders.py small --sat FOLDER
    python benchmarks/autoencoders.py compiled --sat FOLDER
    python benchmarks/autoencoders.py memory --sat FOLDER

FOLDER is the site-packages of an environment for the same Python in which stable-audio-tools is
installed (see tools/sat_builds_ours.py); it is put behind this environment's own. Each part takes
one to four minutes. `full` is stable_audio_2_0_vae at its full size, `compiled` the small model
through torch.compile. On a machine with other work, threads that spin while they wait hold each
other up, SAT's as ours: hence the wait policy.

Both models have the same weights. They take turns in one process, in an order that turns around,
and a ratio is the median over turns of SAT's float32 time over ours. Time is the processor's for
one thread, which other work on the machine hardly changes, and the clock's for two. Peak memory is
that of a process of its own that encodes or decodes three minutes, less what it held before.
"""

import argparse
import contextlib
import copy
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import sat_config
import sat_models.builtin  # noqa: F401 - builders, where the package is not installed but on a path
from sat_models.build import build_model
from sat_models.layers.weight_norm import fold_weight_norm
from sat_models.models.autoencoder import AudioAutoencoder
from sat_models.models.chunks import decode_in_chunks, encode_in_chunks

SMALL_CODER = {"channels": 32, "c_mults": [1, 2, 4], "strides": [4, 8, 8], "use_snake": True}
SMALL = {
    "model_type": "autoencoder",
    "sample_rate": 44100,
    "sample_size": 65536,
    "model": {
        "encoder": {
            "type": "oobleck",
            "config": {**SMALL_CODER, "in_channels": 2, "latent_dim": 64},
        },
        "decoder": {
            "type": "oobleck",
            "config": {**SMALL_CODER, "out_channels": 2, "latent_dim": 32, "final_tanh": False},
        },
        "bottleneck": {"type": "vae"},
        "latent_dim": 32,
        "downsampling_ratio": 256,
        "io_channels": 2,
    },
}
SECONDS = {"full": 1.5, "small": 4.0}
TURNS = 3
PARTS = ("full", "small", "compiled", "memory")
CHUNK, OVERLAP, LONG_SECONDS = 1024, 64, 180
LINE = "{:<6}{:>8}  {:<7}{:<18}{:>9}{:>8}{:>16}{:>10}{:>11}{:>7}"
HOW_TO_READ = """
x real: seconds of audio per second. ratio: SAT's float32 time over ours, with the lowest and the
highest turn. error: the largest over the peak. arithmetic: share of the limit. copy: what all
layers read and write, over what copies move in that time; above 100 % where caches hold it.
"""
Run = Callable[[], Tensor]


@dataclass(frozen=True)
class Limits:
    """What the machine reaches.

    Attributes:
        arithmetic: Operations per second of matrix products, by dtype.
        copying: Bytes per second, read or written, of copies that no cache holds.
    """

    arithmetic: dict[torch.dtype, float]
    copying: float


@dataclass(frozen=True)
class Work:
    """What a pass takes, whoever computes it.

    Attributes:
        operations: Multiplications and additions of its convolutions.
        values: Numbers that its layers read and write.
    """

    operations: int
    values: int


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--sat", type=Path, required=True, help="site-packages with SAT")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.path.append(str(arguments.sat))
    if arguments.memory_of is not None:
        print(memory_of(arguments.memory_of))
        return
    say(f"{arguments.part}, {datetime.now(UTC):%Y-%m-%d}: {cpu_name()}; not run on a GPU")
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    say(f"Python {platform.python_version()}, torch {torch.__version__}, OMP_WAIT_POLICY {policy}")
    if arguments.part == "memory":
        report_memory(arguments.sat)
    else:
        report_speed(arguments.part)


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def report_speed(part: str) -> None:
    """Print the limits of the machine and the rows of a model."""
    limits = {threads: measure_limits(threads) for threads in (1, 2)}
    say(HOW_TO_READ)
    head = ("model", "threads", "way", "variant", "x real", "ratio", "", "error", "arithmetic")
    say(LINE.format(*head, "copy"))
    if part == "compiled":
        compare("small", limits, compiled=True)
    else:
        compare(part, limits, compiled=False)


def measure_limits(threads: int) -> Limits:
    """Print and return what matrix products and copies reach."""
    torch.set_num_threads(threads)
    peaks = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
        peaks[dtype] = 2 * 2048**3 / min(seconds_of(lambda a=a, b=b: a @ b) for _ in range(7))
    source = torch.randn(1 << 26)
    target = torch.empty_like(source)
    copied = min(seconds_of(lambda: target.copy_(source)) for _ in range(5))
    limits = Limits(peaks, 2 * source.nbytes / copied)
    float32, bfloat16 = (f"{peaks[t] / 1e9:,.0f}" for t in (torch.float32, torch.bfloat16))
    say(
        f"limits, {threads} thread{'s' * (threads > 1)}: {float32} GFLOP/s in float32, {bfloat16}"
        f" in bfloat16; {limits.copying / 1e9:.1f} GB/s of reading and writing"
    )
    return limits


def seconds_of(run: Run) -> float:
    """How long a call takes."""
    clock = clock_now()
    start = clock()
    run()
    return clock() - start


def clock_now() -> Callable[[], float]:
    """The processor's time where one thread works, else the time on the wall."""
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def pair(name: str) -> tuple[nn.Module, AudioAutoencoder]:
    """SAT's model and ours, with the same weights."""
    with contextlib.redirect_stdout(None):  # it says that it lacks flash-attn
        from stable_audio_tools.models.factory import (  # type: ignore[import-not-found]
            create_model_from_config,
        )

    torch.manual_seed(0)
    experiment = experiment_of(name)
    theirs: nn.Module = create_model_from_config(json.loads(sat_config.dumps(experiment, "json")))
    ours = build_model(experiment)
    if not isinstance(ours, AudioAutoencoder):
        raise TypeError(f"expected an autoencoder, got {type(ours).__name__}")
    ours.load_state_dict(theirs.state_dict())
    return theirs.eval().requires_grad_(False), ours.eval().requires_grad_(False)


def experiment_of(name: str) -> Any:  # noqa: ANN401 - an experiment on an autoencoder
    """The configuration of a model."""
    if name == "full":
        return sat_config.load_model("sat:stable_audio_2_0_vae")
    return sat_config.decode(SMALL)


def compare(name: str, limits: dict[int, Limits], *, compiled: bool) -> None:
    """Print the rows of a model."""
    theirs, ours = pair(name)
    frames = int(SECONDS[name] * ours.sample_rate / ours.hop_length)
    signals = {
        "encode": 0.1 * torch.randn(1, 2, frames * ours.hop_length),
        "decode": torch.randn(1, ours.latent_dim, frames),
    }
    models = variants(ours)
    for threads, limit in limits.items():
        torch.set_num_threads(threads)
        for way, part in (("encode", "encoder"), ("decode", "decoder")):
            networks = {"SAT": theirs.get_submodule(part)}
            networks |= {variant: model.get_submodule(part) for variant, model in models.items()}
            if compiled:  # a graph is made for a number of threads
                torch.compiler.reset()
                networks = with_compiled(networks)
            rows = measure(networks, signals[way], turns=TURNS)
            work = work_of(ours.get_submodule(part), signals[way])
            report(f"{name:<6}{threads:>8}  {way:<7}", rows, work, limit)


def variants(ours: AudioAutoencoder) -> dict[str, nn.Module]:
    """Our model: with weight norm and folded, in both dtypes."""
    folded = copy.deepcopy(ours)
    fold_weight_norm(folded)
    return {
        "float32": ours,
        "folded float32": folded,
        "bfloat16": copy.deepcopy(ours).bfloat16(),
        "folded bfloat16": copy.deepcopy(folded).bfloat16(),
    }


def with_compiled(networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """SAT's and the folded network, as they are and as one graph by torch.compile."""
    chosen = {"SAT": networks["SAT"], "folded float32": networks["folded float32"]}
    chosen["SAT compiled"] = torch.compile(networks["SAT"])
    chosen["folded compiled"] = torch.compile(networks["folded float32"], fullgraph=True)
    return chosen


def work_of(network: nn.Module, x: Tensor) -> Work:
    """What a pass takes, in one piece."""
    values = 0

    def count(_layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal values
        values += given[0].numel() + made.numel()

    layers = [module for module in network.modules() if not [*module.children()]]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with FlopCounterMode(display=False) as counter:  # gradients on: no pieces
        network(x.clone().requires_grad_())
    for hook in hooks:
        hook.remove()
    return Work(int(counter.get_total_flops()), values)


def measure(
    networks: dict[str, nn.Module], x: Tensor, *, turns: int
) -> dict[str, tuple[list[float], Tensor]]:
    """Seconds of every turn and the result, for every network."""
    clock = clock_now()
    results: dict[str, Tensor] = {}
    times: dict[str, list[float]] = {variant: [] for variant in networks}
    with torch.inference_mode():
        for turn in range(turns + 1):
            order = list(networks) if turn % 2 else list(networks)[::-1]
            for variant in order:
                given = x.bfloat16() if "bfloat16" in variant else x
                start = clock()
                results[variant] = networks[variant](given)
                if turn:  # the first is to warm up
                    times[variant].append(clock() - start)
    return {variant: (times[variant], results[variant].float()) for variant in networks}


def report(
    label: str, rows: dict[str, tuple[list[float], Tensor]], work: Work, limits: Limits
) -> None:
    """Print the rows of a model, a number of threads and a direction."""
    base, expected = rows["SAT"]
    length = SECONDS[label.split()[0]]
    for variant, (times, result) in rows.items():
        ratios = [theirs / ours for theirs, ours in zip(base, times, strict=True)]
        error = ((result - expected).abs().max() / expected.abs().max()).item()
        dtype = torch.bfloat16 if "bfloat16" in variant else torch.float32
        middle = statistics.median(times)
        arithmetic = work.operations / middle / limits.arithmetic[dtype]
        copying = work.values * dtype.itemsize / middle / limits.copying
        say(
            label
            + f"{variant:<18}{length / middle:>9.2f}{statistics.median(ratios):>8.2f}"
            + f"{f'{min(ratios):.2f} to {max(ratios):.2f}':>16}{error:>10.0e}"
            + f"{arithmetic:>11.0%}{copying:>7.0%}"
        )


def report_memory(site_packages: Path) -> None:
    """Print the peak memory of encoding and decoding three minutes with the small model."""
    say(f"\npeak memory for {LONG_SECONDS} s of audio with the small model, in MiB; 1 thread,")
    say(f"chunks of {CHUNK} frames with an overlap of {OVERLAP}\n")
    say(f"{'':<8}{'SAT whole':>14}{'SAT chunked':>14}{'ours whole':>14}{'ours chunked':>14}")
    for way in ("encode", "decode"):
        row = f"{way:<8}"
        for who in ("SAT whole", "SAT chunked", "ours whole", "ours chunked"):
            command = [sys.executable, __file__, "memory", "--sat", str(site_packages)]
            command += ["--memory-of", f"{way} {who}"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            row += f"{done.stdout.split()[-1]:>14}"
        say(row)


def memory_of(what: str) -> int:
    """MiB that encoding or decoding adds to the peak of this process."""
    torch.set_num_threads(1)
    theirs, ours = pair("small")
    frames = LONG_SECONDS * ours.sample_rate // ours.hop_length
    way = what.partition(" ")[0]
    channels, length = (2, frames * ours.hop_length) if way == "encode" else (32, frames)
    x = 0.1 * torch.randn(1, channels, length)
    theirs_chunked = {"chunked": True, "overlap": OVERLAP, "chunk_size": CHUNK}
    ours_chunked = {"chunk": CHUNK, "overlap": OVERLAP}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    runs: dict[str, Run] = {
        "encode SAT whole": lambda: theirs.encode_audio(x, chunked=False),
        "encode SAT chunked": lambda: theirs.encode_audio(x, **theirs_chunked),
        "encode ours whole": lambda: ours.encode(x).latents,
        "encode ours chunked": lambda: encode_in_chunks(ours, x, **ours_chunked),
        "decode SAT whole": lambda: theirs.decode_audio(x, chunked=False),
        "decode SAT chunked": lambda: theirs.decode_audio(x, **theirs_chunked),
        "decode ours whole": lambda: ours.decode(x),
        "decode ours chunked": lambda: decode_in_chunks(ours, x, **ours_chunked),
    }
    with torch.inference_mode():
        runs[what]()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


def cpu_name() -> str:
    """What the processor calls itself."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


if __name__ == "__main__":
    main()
