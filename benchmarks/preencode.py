"""Pre-encoding, the whole command, ours over the logic of stable-audio-tools' script, on a CPU.

    python benchmarks/preencode.py --sat FOLDER > benchmarks/results/preencode.txt

FOLDER is the site-packages of an environment for the same Python in which stable-audio-tools
0.0.19 is installed; it is put behind this environment's own. Its script, pre_encode.py, is not in
the package and asks for a GPU; so its steps are taken here, on the CPU: its own loader and model,
Lightning's validation loop, a collection of garbage per batch, a `.npy` and a `.json` per item.
Where torchcodec does not load, soundfile reads the files for it.

Every run is a process of its own with one thread (`--threads`), imports included, the files in the
page cache. Both encode the same files with the same weights: one item per file. `share` is the part
of the time between the first and the last batch in which the encoder computes; `memory` the largest
resident set of a run over one file of six minutes and of an hour, encoded whole in windows;
`processes` two processes that divide the work against one.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

import sat_config
import sat_models.builtin  # noqa: F401 - builders, where the package is not installed but on a path
from sat_models.audio import write_audio
from sat_models.build import build_model
from sat_models.checkpoint import save_checkpoint

RATE = 44_100
SIZE = 262_144
FILES = 8
ROUNDS = 3
PARTS = ("command", "share", "processes", "memory")
STRIDES = {"large": [4, 8, 8], "small": [4, 8, 8, 8]}
CHANNELS = {"large": 32, "small": 4}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sat", type=Path, help="site-packages with stable-audio-tools")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; may be repeated")
    parser.add_argument("--run", choices=("ours", "share", "sat"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        RUNS[arguments.run](arguments.folder, arguments.sat)
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()},", end=" ")
    print(f"torch {torch.__version__}, {arguments.threads} thread; not run on a GPU")
    for part in arguments.part or PARTS:
        with tempfile.TemporaryDirectory() as temporary:
            print()
            MEASURES[part](Path(temporary), arguments)
            sys.stdout.flush()


def document(size: str) -> dict:
    """An experiment on a variational autoencoder."""
    mults = [1, 2, 4, 8][: len(STRIDES[size])]
    coder = {"channels": CHANNELS[size], "c_mults": mults, "strides": STRIDES[size]}
    coder |= {"use_snake": True}
    decoder = {**coder, "out_channels": 2, "latent_dim": 32, "final_tanh": False}
    return {
        "model_type": "autoencoder",
        "sample_rate": RATE,
        "sample_size": SIZE,
        "audio_channels": 2,
        "model": {
            "encoder": {"type": "oobleck", "config": {**coder, "in_channels": 2, "latent_dim": 64}},
            "decoder": {"type": "oobleck", "config": decoder},
            "bottleneck": {"type": "vae"},
            "latent_dim": 32,
            "downsampling_ratio": int(np.prod(STRIDES[size])),
            "io_channels": 2,
        },
    }


def prepare(folder: Path, *, size: str, seconds: list[float], **table: object) -> None:
    """Audio, weights, and the experiment for both."""
    (folder / "audio").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, length in enumerate(seconds):
        time_axis = np.arange(round(length * RATE)) / RATE
        tones = [0.3 * np.sin(2 * np.pi * (f + number) * time_axis) for f in (220, 331)]
        audio = np.stack(tones) + 0.02 * rng.standard_normal((2, len(time_axis)))
        path = folder / "audio" / f"{number:03d}.flac"
        write_audio(path, torch.from_numpy(audio.astype(np.float32)), sample_rate=RATE)
    experiment = document(size)
    torch.manual_seed(0)
    model = build_model(sat_config.decode(experiment))
    save_checkpoint(folder / "vae.safetensors", model, config="{}")
    torch.save({"state_dict": model.state_dict()}, folder / "vae.ckpt")
    (folder / "model.json").write_text(json.dumps(experiment))
    experiment |= {
        "batch_size": 1,
        "num_workers": 1,
        "accelerator": "cpu",
        "dataset": {
            "dataset_type": "audio_dir",
            "datasets": [{"id": "music", "path": str(folder / "audio")}],
        },
        "preencode": {
            "output_path": "latents",
            "checkpoint": str(folder / "vae.safetensors"),
            **table,
        },
    }
    (folder / "experiment.json").write_text(json.dumps(experiment))


def measure_command(folder: Path, arguments: argparse.Namespace) -> None:
    """Seconds of the whole command."""
    prepare(folder, size="large", seconds=[SIZE / RATE] * FILES)
    kinds = ["ours"] + (["sat"] if arguments.sat else [])
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(ROUNDS):
        for kind in kinds:
            seconds[kind].append(run(kind, folder, arguments, turn=turn)[0])
    print(f"command: {FILES} files of {SIZE / RATE:.2f} s, batches of 1, median of {ROUNDS} turns")
    for kind in kinds:
        middle = statistics.median(seconds[kind])
        print(f"  {kind:<6}{middle:8.2f} s, {middle / FILES:.2f} s per file")
    if arguments.sat:
        pairs = zip(seconds["sat"], seconds["ours"], strict=True)
        ratios = [theirs / ours for theirs, ours in pairs]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(f"  ours over sat {middle:.2f} ({low:.2f} to {high:.2f})")


def measure_share(folder: Path, arguments: argparse.Namespace) -> None:
    """Share of the time in which the encoder computes."""
    prepare(folder, size="large", seconds=[SIZE / RATE] * FILES)
    shares = [float(run("share", folder, arguments, turn=turn)[1]) for turn in range(ROUNDS)]
    print(f"share: the encoder computes {100 * statistics.median(shares):.1f} % of the time")


def measure_memory(folder: Path, arguments: argparse.Namespace) -> None:
    """Largest resident set over short and long files."""
    print("memory: one file encoded whole, windows of a small model")
    for minutes in (6, 60):
        inner = folder / str(minutes)
        prepare(inner, size="small", seconds=[60.0 * minutes], whole_files=True)
        seconds, said = run("ours", inner, arguments, turn=0)
        peak = int(said.split()[-1]) / 1024
        print(f"  {minutes:>2} minutes: {peak:.0f} MiB, {seconds:.1f} s")


def measure_processes(folder: Path, arguments: argparse.Namespace) -> None:
    """Two processes against one."""
    prepare(folder, size="large", seconds=[SIZE / RATE] * 2 * FILES, shard_size=1)
    ratios = []
    for turn in range(ROUNDS):
        one, _ = run("ours", folder, arguments, turn=turn)
        began = time.perf_counter()
        both = [
            start("ours", folder, arguments, turn=turn + ROUNDS, RANK=str(rank), WORLD_SIZE="2")
            for rank in range(2)
        ]
        for process in both:
            finish(process)
        ratios.append(one / (time.perf_counter() - began))
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    print(f"processes: two over one {middle:.2f} ({low:.2f} to {high:.2f}), start included")


def start(
    kind: str, folder: Path, arguments: argparse.Namespace, *, turn: int, **variables: str
) -> subprocess.Popen[str]:
    """Begin a run in a folder of its own."""
    place = folder / f"{kind}-{turn}"
    place.mkdir(exist_ok=True)
    words = [sys.executable, str(Path(__file__).resolve()), "--run", kind, "--folder", str(folder)]
    words += ["--sat", str(arguments.sat.resolve())] if arguments.sat else []
    threads = {"OMP_NUM_THREADS": str(arguments.threads), "MKL_NUM_THREADS": str(arguments.threads)}
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    cache = {"SAT_CACHE_DIR": str(place / "cache"), "PYTHONPATH": path}
    return subprocess.Popen(
        words,
        cwd=place,
        env=os.environ | threads | cache | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """The last line that a run has written.

    Raises:
        RuntimeError: It failed.
    """
    said, complaints = process.communicate()
    if process.returncode:
        raise RuntimeError(said + complaints)
    return said.strip().splitlines()[-1]


def run(kind: str, folder: Path, arguments: argparse.Namespace, *, turn: int) -> tuple[float, str]:
    """Seconds of a run, and its last line."""
    began = time.perf_counter()
    said = finish(start(kind, folder, arguments, turn=turn))
    return time.perf_counter() - began, said


def run_ours(folder: Path, _sat: Path | None) -> None:
    """The command, and the largest resident set in KiB."""
    from sat_preencode.cli import main as command

    if status := command([str(folder / "experiment.json")]):
        sys.exit(status)
    facts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(facts["VmHWM"].split()[0])


def run_share(folder: Path, _sat: Path | None) -> None:
    """The command in which the encoder's time is taken."""
    from sat_preencode.cli import main as command
    from sat_preencode.encoding import Encoder
    from sat_preencode.work import Work

    spent = {"computing": 0.0, "all": 0.0}

    def timed(owner: type, name: str, key: str) -> None:
        original = getattr(owner, name)

        def measuring(*values: object, **named: object) -> object:
            began = time.perf_counter()
            found = original(*values, **named)
            spent[key] += time.perf_counter() - began
            return found

        setattr(owner, name, measuring)

    timed(Encoder, "features", "computing")
    timed(Encoder, "finish", "computing")
    timed(Work, "encode_missing", "all")
    if status := command([str(folder / "experiment.json")]):
        sys.exit(status)
    print(spent["computing"] / spent["all"])


def run_sat(folder: Path, sat: Path | None) -> None:
    """What pre_encode.py does, on the CPU."""
    import gc

    import pytorch_lightning as pl
    import soundfile
    import torchaudio
    from torch.nn import functional

    sys.path.append(str(sat))
    from stable_audio_tools.data.dataset import create_dataloader_from_config
    from stable_audio_tools.models.factory import create_model_from_config
    from stable_audio_tools.models.utils import copy_state_dict, load_ckpt_state_dict

    try:
        from torchcodec.decoders import AudioDecoder  # noqa: F401 - does it load?
    except (ImportError, RuntimeError):

        def load(path: str, **_: object) -> tuple[torch.Tensor, int]:
            values, rate = soundfile.read(path, dtype="float32", always_2d=True)
            return torch.from_numpy(values.T), rate

        torchaudio.load = load

    class Encoding(pl.LightningModule):
        """Encodes in the validation step."""

        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def validation_step(self, batch: tuple, number: int) -> None:
            """Encode a batch and write its items."""
            audio, metadata = batch
            gc.collect()
            with torch.no_grad():
                latents = self.model.encode(audio).cpu().numpy()
            for row, (latent, facts) in enumerate(zip(latents, metadata, strict=True)):
                path = Path("0", f"000{number:06d}{row:04d}")
                np.save(path.with_suffix(".npy"), latent)
                mask = facts["padding_mask"][None, None].float()
                mask = functional.interpolate(mask, size=latent.shape[1], mode="nearest")
                facts["padding_mask"] = mask.flatten().int().tolist()
                path.with_suffix(".json").write_text(json.dumps(facts))

        def configure_optimizers(self) -> None:
            """Nothing is trained."""

    Path("0").mkdir(exist_ok=True)
    config = json.loads((folder / "model.json").read_text())
    model = create_model_from_config(config)
    copy_state_dict(model, load_ckpt_state_dict(str(folder / "vae.ckpt")))
    loader = create_dataloader_from_config(
        {
            "dataset_type": "audio_dir",
            "drop_last": False,
            "datasets": [{"id": "music", "path": str(folder / "audio")}],
        },
        batch_size=1,
        num_workers=1,
        sample_rate=RATE,
        sample_size=SIZE,
        audio_channels=2,
        shuffle=False,
    )
    module = Encoding(model.eval().requires_grad_(False))
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, precision="32"
    )
    trainer.validate(module, loader)
    print(len(list(Path("0").glob("*.npy"))))


RUNS = {"ours": run_ours, "share": run_share, "sat": run_sat}
MEASURES = {
    "command": measure_command,
    "share": measure_share,
    "processes": measure_processes,
    "memory": measure_memory,
}

if __name__ == "__main__":
    main()
