r"""Autoencoders against stable-audio-tools' own: speed, errors, memory, and the machine's limits.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/autoencoders.py --sat FOLDER \
        --out benchmarks/results/autoencoders.txt

FOLDER is the site-packages of an environment for the same Python in which stable-audio-tools is
installed (see tools/sat_builds_ours.py); it is put behind this environment's own. `--compiled` adds
torch.compile for the small model, which takes minutes. On a machine with other work, threads that
spin while they wait hold each other up, SAT's as ours: hence the wait policy.

Both models have the same weights. They take turns in one process, in an order that turns around,
and a ratio is the median over turns of SAT's float32 time over ours. Peak memory is that of a
process of its own that decodes three minutes, less what it held before.
"""

import argparse
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
from sat_models.models.chunks import decode_in_chunks

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
CHUNK, OVERLAP, LONG_SECONDS = 1024, 64, 180
LINE = "{:<6}{:>8}  {:<7}{:<18}{:>9}{:>8}{:>16}{:>10}{:>8}"
Run = Callable[[], Tensor]

SAID: list[str] = []


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sat", type=Path, required=True, help="site-packages with SAT")
    parser.add_argument("--compiled", action="store_true", help="also with torch.compile")
    parser.add_argument("--out", type=Path, help="file that also takes the results")
    parser.add_argument("--only", choices=("full", "small"), help="one of the two models")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.path.append(str(arguments.sat))
    if arguments.memory_of is not None:
        print(memory_of(arguments.memory_of))
        return
    say(f"{cpu_name()}, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()},")
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    say(f"torch {torch.__version__}, OMP_WAIT_POLICY {policy}; not run on a GPU\n")
    limits = {threads: measure_limits(threads) for threads in (1, 2)}
    say(
        "\nx real time: seconds of audio per second. ratio: SAT's float32 time over ours, lowest to"
    )
    say("highest turn. error: the largest over the peak. limit: share of the arithmetic above\n")
    head = ("model", "threads", "way", "variant", "x real", "ratio", "", "error", "limit")
    say(LINE.format(*head))
    for name in (arguments.only,) if arguments.only else ("full", "small"):
        compare(name, limits, compiled=arguments.compiled and name == "small")
    report_memory(arguments.sat)
    if arguments.out is not None:
        arguments.out.write_text("\n".join(SAID) + "\n", encoding="utf-8")


def say(text: str) -> None:
    """Print a line, and keep it for the file."""
    print(text, flush=True)
    SAID.append(text)


def measure_limits(threads: int) -> dict[torch.dtype, float]:
    """Print and return the arithmetic that matrix products reach, in operations per second."""
    torch.set_num_threads(threads)
    peaks = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
        peaks[dtype] = 2 * 2048**3 / min(seconds_of(lambda a=a, b=b: a @ b) for _ in range(7))
    source = torch.randn(1 << 26)
    target = torch.empty_like(source)
    copied = min(seconds_of(lambda: target.copy_(source)) for _ in range(5))
    float32, bfloat16 = (f"{peaks[t] / 1e9:,.0f}" for t in (torch.float32, torch.bfloat16))
    say(
        f"limits, {threads} thread{'s' * (threads > 1)}: {float32} GFLOP/s in float32, {bfloat16}"
        f" in bfloat16; {2 * source.nbytes / copied / 1e9:.1f} GB/s of reading and writing"
    )
    return peaks


def seconds_of(run: Run) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def pair(name: str) -> tuple[nn.Module, AudioAutoencoder]:
    """SAT's model and ours, with the same weights."""
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


def compare(name: str, limits: dict[int, dict[torch.dtype, float]], *, compiled: bool) -> None:
    """Print the rows of a model."""
    theirs, ours = pair(name)
    folded = copy.deepcopy(ours)
    fold_weight_norm(folded)
    short = copy.deepcopy(folded).bfloat16()
    frames = int(SECONDS[name] * ours.sample_rate / ours.hop_length)
    signals = {
        "encode": 0.1 * torch.randn(1, 2, frames * ours.hop_length),
        "decode": torch.randn(1, ours.latent_dim, frames),
    }
    models: dict[str, nn.Module] = {"as it is": ours, "folded": folded, "folded, bfloat16": short}
    for way, part in (("encode", "encoder"), ("decode", "decoder")):
        networks = {"SAT": theirs.get_submodule(part)}
        networks |= {variant: model.get_submodule(part) for variant, model in models.items()}
        if compiled:
            networks["SAT, compiled"] = torch.compile(networks["SAT"])
            networks["folded, compiled"] = torch.compile(networks["folded"])
        for threads, peaks in limits.items():
            torch.set_num_threads(threads)
            rows = measure(networks, signals[way], turns=TURNS)
            report(f"{name:<6}{threads:>8}  {way:<7}", rows, flops(ours, part, signals[way]), peaks)


def flops(model: nn.Module, part: str, x: Tensor) -> int:
    """Operations of one pass, without gradients and in one piece."""
    with FlopCounterMode(display=False) as counter:  # gradients on: pieces would be counted twice
        model.get_submodule(part)(x.clone().requires_grad_())
    return int(counter.get_total_flops())


def measure(
    networks: dict[str, nn.Module], x: Tensor, *, turns: int
) -> dict[str, tuple[list[float], Tensor]]:
    """Seconds of every turn and the result, for every network."""
    results: dict[str, Tensor] = {}
    times: dict[str, list[float]] = {variant: [] for variant in networks}
    with torch.inference_mode():
        for turn in range(turns + 1):
            order = list(networks) if turn % 2 else list(networks)[::-1]
            for variant in order:
                given = x.bfloat16() if "bfloat16" in variant else x
                start = time.perf_counter()
                results[variant] = networks[variant](given)
                if turn:  # the first is to warm up
                    times[variant].append(time.perf_counter() - start)
    return {variant: (times[variant], results[variant].float()) for variant in networks}


def report(
    label: str,
    rows: dict[str, tuple[list[float], Tensor]],
    operations: int,
    peaks: dict[torch.dtype, float],
) -> None:
    """Print the rows of a model, a number of threads and a direction."""
    base, expected = rows["SAT"]
    length = SECONDS[label.split()[0]]
    for variant, (times, result) in rows.items():
        ratios = [theirs / ours for theirs, ours in zip(base, times, strict=True)]
        error = ((result - expected).abs().max() / expected.abs().max()).item()
        dtype = torch.bfloat16 if "bfloat16" in variant else torch.float32
        middle = statistics.median(times)
        say(
            label
            + f"{variant:<18}{length / middle:>9.2f}{statistics.median(ratios):>8.2f}"
            + f"{f'{min(ratios):.2f} to {max(ratios):.2f}':>16}{error:>10.0e}"
            + f"{operations / middle / peaks[dtype]:>8.0%}"
        )


def report_memory(site_packages: Path) -> None:
    """Print the peak memory of decoding three minutes with the small model."""
    say(f"\npeak memory of decoding {LONG_SECONDS} s with the small model, 1 thread:")
    for who in ("SAT whole", "SAT chunked", "ours whole", "ours chunked"):
        command = [sys.executable, __file__, "--sat", str(site_packages), "--memory-of", who]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        say(f"  {who:<14}{done.stdout.split()[-1]:>8} MiB")


def memory_of(who: str) -> int:
    """MiB that a decoding adds to the peak of this process."""
    torch.set_num_threads(1)
    theirs, ours = pair("small")
    frames = LONG_SECONDS * ours.sample_rate // ours.hop_length
    latents = torch.randn(1, ours.latent_dim, frames)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decode: dict[str, Run] = {
        "SAT whole": lambda: theirs.decode_audio(latents, chunked=False),
        "SAT chunked": lambda: theirs.decode_audio(
            latents, chunked=True, overlap=OVERLAP, chunk_size=CHUNK
        ),
        "ours whole": lambda: ours.decode(latents),
        "ours chunked": lambda: decode_in_chunks(ours, latents, chunk=CHUNK, overlap=OVERLAP),
    }
    with torch.inference_mode():
        decode[who]()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


def cpu_name() -> str:
    """What the processor calls itself."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


if __name__ == "__main__":
    main()
