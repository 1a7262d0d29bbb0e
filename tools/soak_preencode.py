"""Pre-encode while things go wrong at random instants, and see that the same bytes come out.

    python tools/soak_preencode.py [--points 100] [--seed 0] [--out FOLDER]

A small autoencoder encodes clips. First nothing disturbs it, and what it writes is counted. Then,
once for every point, it is killed or its disk is full:

- *byte*: `kill -9` inside a write; the byte is drawn uniformly from all that a run writes;
- *call*: `kill -9` before or after one of the calls that change the folder (write, flush, rename,
  remove), drawn uniformly from all of them;
- *disk*: the folder is on a tmpfs that is too small by a number of bytes drawn uniformly;
- *worker*: three processes share the work, and one of them is killed at a byte of its own;
- *command*: the real command, killed after a time drawn uniformly from that of a whole run.

The same command is given again (and killed again, now and then) until it ends by itself. Then the
folder must hold the bytes of the undisturbed run, no file more or less, and `verify` must find
nothing. All but *command* fork from a process that has everything loaded.
"""

import argparse
import hashlib
import io
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from rich.console import Console

import sat_config
from sat_models.build import build_model
from sat_models.checkpoint import save_checkpoint
from sat_preencode import StoreError, preencode
from sat_preencode.folders import verify
from sat_preencode.progress import Reporter
from sat_preencode.share import ALL, Share

RATE, SIZE = 8000, 1024
CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
COMMAND = (sys.executable, "-c", "from sat_preencode.cli import main; raise SystemExit(main())")
CALLS = ("write", "fsync", "replace", "rename", "unlink", "mkdir")
UNCOMPARED = {"bad_files.jsonl"}
"""The ledger tells the time of each reading."""

KINDS = ("byte", "byte", "byte", "byte", "call", "call", "call", "disk", "worker", "worker")
"""What happens at the points, in turn."""

PAGE = 4096
"""Bytes by which a tmpfs can be larger or smaller."""

AGAIN = 0.3
"""Share of restarts that are killed as well."""


class Wrong(Exception):  # noqa: N818 - what the whole thing is about
    """A folder that is not what it should be."""


class Meter:
    """Stands in for the calls that change files: counts them, and kills at a given instant.

    Args:
        byte: Die once so many bytes are written.
        call: Die before or after the call of this number.
        after: Whether that is after it.
    """

    def __init__(
        self, *, byte: float = float("inf"), call: int | None = None, after: bool = False
    ) -> None:
        self.byte, self.call, self.after = byte, call, after
        self.written, self.calls = 0, 0
        self.real = {name: getattr(os, name) for name in CALLS}

    def install(self) -> None:
        """Take the place of the real calls."""
        for name in CALLS:
            setattr(os, name, self._standing_in(name))

    def remove(self) -> None:
        """Give the place back."""
        for name, real in self.real.items():
            setattr(os, name, real)

    def _standing_in(self, name: str) -> Callable[..., object]:
        def standing_in(*arguments: object, **named: object) -> object:
            self.calls += 1
            due = self.calls == self.call
            if due and not self.after:
                _die()
            if name == "write":
                self._count(*arguments)  # type: ignore[arg-type]
            try:
                return self.real[name](*arguments, **named)
            finally:
                if due:
                    _die()

        return standing_in

    def _count(self, descriptor: int, content: bytes) -> None:
        if self.written + len(content) > self.byte:
            self.real["write"](descriptor, bytes(content)[: int(self.byte) - self.written])
            _die()
        self.written += len(content)


class Soak:
    """A dataset, an undisturbed run of it, and runs that are disturbed.

    Args:
        folder: Audio, weights and latents.
        draw: Decides the instants.
    """

    def __init__(self, folder: Path, *, draw: random.Random) -> None:
        self.folder, self.draw = folder, draw
        self.disk = folder / "disk"
        self.lines: list[str] = []
        self.started = time.monotonic()

    def say(self, text: str) -> None:
        """Write a line of the log."""
        self.lines.append(f"{time.monotonic() - self.started:7.1f} s  {text}")
        print(self.lines[-1], flush=True)

    def prepare(self) -> None:
        """Make clips (one of them unreadable in the middle), weights, and the whole run."""
        (self.folder / "audio").mkdir()
        self.disk.mkdir()
        draw = np.random.default_rng(0)
        for number in range(9):
            length = int(draw.integers(SIZE // 2, 5 * SIZE))
            clip = draw.uniform(-0.5, 0.5, (length, 2)).astype(np.float32)
            if number == 4:
                clip[SIZE // 4] = np.nan
            soundfile.write(self.folder / f"audio/{number}.wav", clip, RATE, subtype="FLOAT")
        torch.manual_seed(0)
        weights = self.folder / "vae.safetensors"
        save_checkpoint(weights, build_model(self.experiment("wds", "latents")), config="{}")
        self.whole: dict[str, dict[str, str]] = {}
        self.bytes: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self.encode("wds", "latents")  # what is remembered of the clips is in the cache by now
        shutil.rmtree(self.folder / "latents")
        for layout in ("wds", "sat"):
            meter = Meter()
            meter.install()
            self.encode(layout, "latents")
            meter.remove()
            self.whole[layout] = self.content("latents")
            self.bytes[layout], self.calls[layout] = meter.written, meter.calls
            shutil.rmtree(self.folder / "latents")
            files = len(self.whole[layout])
            self.say(f"{layout}: {meter.written} bytes in {meter.calls} calls make {files} files")

    def mount(self, options: str) -> bool:
        """Mount a tmpfs; false where that is not allowed."""
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.disk)]
        return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0

    def experiment(self, layout: str, output: str) -> sat_config.Experiment:
        """What is asked for."""
        entry = {"id": "clips", "path": str(self.folder / "audio")}
        return sat_config.decode(
            {
                "model_type": "autoencoder",
                "sample_rate": RATE,
                "sample_size": SIZE,
                "audio_channels": 2,
                "name": "soak",
                "accelerator": "cpu",
                "num_workers": 0,
                "batch_size": 2,
                "max_bad_share": 1.0,
                "model": {
                    "encoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 16}},
                    "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 8}},
                    "bottleneck": {"type": "vae"},
                    "latent_dim": 8,
                    "downsampling_ratio": 8,
                    "io_channels": 2,
                },
                "dataset": {"dataset_type": "audio_dir", "datasets": [entry]},
                "preencode": {
                    "output_path": str(self.folder / output),
                    "checkpoint": str(self.folder / "vae.safetensors"),
                    "format": layout,
                    "shard_size": 4,
                },
            }
        )

    def encode(self, layout: str, output: str, *, share: Share = ALL) -> bool:
        """Encode in this process; returns whether the folder is complete."""
        quiet = Reporter(Console(file=io.StringIO()))
        return preencode(self.experiment(layout, output), reporter=quiet, share=share).complete

    def content(self, output: str) -> dict[str, str]:
        """What a folder holds, locks and ledger aside; the folder's place is cut out."""
        folder = self.folder / output
        place = str(folder).encode()
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(
                path.read_bytes().replace(place, b"")
            ).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.parent.name != ".locks" and path.name not in UNCOMPARED
        }

    # -------------------------------------------------------------------- what happens at a point

    def point(self, kind: str, layout: str) -> str:
        """Disturb a run, let it go on, and look at the folder; returns what was done."""
        output = "disk/latents" if kind == "disk" else "latents"
        shutil.rmtree(self.folder / output, ignore_errors=True)
        done = getattr(self, f"_{kind}")(layout, output)
        again = 0
        while kind != "disk" and self.draw.random() < AGAIN:
            again += self._killed(layout, output, byte=self.draw.randrange(self.bytes[layout]))
        ended = self._child(lambda: self.encode(layout, output))
        if ended != 0:
            raise Wrong(f"{layout}, {done}: the last run ended with {ended}")
        if (found := self.content(output)) != self.whole[layout]:
            names = found.keys() ^ self.whole[layout].keys()
            names |= {n for n in found if found[n] != self.whole[layout].get(n)}
            raise Wrong(f"{layout}, {done}: {', '.join(sorted(names))} differ")
        if faults := list(verify(self.folder / output)):
            raise Wrong(f"{layout}, {done}: {faults}")
        if os.path.ismount(self.disk):
            subprocess.run(["umount", str(self.disk)], check=True)
        return f"{done}, again {again} x" if again else done

    def _byte(self, layout: str, output: str) -> str:
        byte = self.draw.randrange(self.bytes[layout])
        self._killed(layout, output, byte=byte, must=True)
        return f"killed at byte {byte}"

    def _call(self, layout: str, output: str) -> str:
        call, after = self.draw.randrange(self.calls[layout]) + 1, self.draw.random() < 0.5
        self._killed(layout, output, call=call, after=after, must=True)
        return f"killed {'after' if after else 'before'} call {call}"

    def _disk(self, layout: str, output: str) -> str:
        """Too small a disk, which then grows; nothing of that without the right to mount."""
        size = max(self.draw.randrange(self.bytes[layout]) // PAGE, 1) * PAGE
        if not self.mount(f"size={size}"):
            return "no disk can be mounted, so none was full"
        status = self._child(lambda: self.encode(layout, output))
        if status != 1:
            raise Wrong(f"on a disk of {size} bytes the run ended with {status}, not 1")
        self.mount("remount,size=64m")
        return f"disk of {size} bytes"

    def _worker(self, layout: str, output: str) -> str:
        byte = self.draw.randrange(self.bytes[layout] // 3)
        victim = self.draw.randrange(3)
        children = [
            self._fork(
                lambda rank=rank: self.encode(layout, output, share=Share(rank, 3)),  # type: ignore[misc]
                Meter(byte=byte) if rank == victim else None,
            )
            for rank in range(3)
        ]
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        if any(code != 0 for rank, code in enumerate(ended) if rank != victim):
            raise Wrong(f"{layout}: one of three was killed, and the others ended with {ended}")
        complete = (self.folder / output / "manifest.jsonl").exists()
        state = "the others finished" if complete else "shards were left"
        return f"worker {victim} of 3 killed at its byte {byte}, {state}"

    def _command(self, layout: str, output: str) -> str:
        file = self.folder / "soak.toml"
        file.write_text(sat_config.dumps(self.experiment(layout, output)))
        before = time.monotonic()
        with subprocess.Popen((*COMMAND, str(file)), stdout=subprocess.DEVNULL) as process:
            wait = self.draw.uniform(0.3, 1.0) * self.seconds
            try:
                process.wait(timeout=wait)
            except subprocess.TimeoutExpired:
                process.kill()
        ended = "killed" if process.returncode == -signal.SIGKILL else "ended"
        return f"command {ended} after {time.monotonic() - before:.1f} s"

    def time_command(self) -> None:
        """How long a whole run of the command takes."""
        self.seconds = 60.0
        before = time.monotonic()
        self._command("wds", "latents")
        self.seconds = time.monotonic() - before

    def _killed(
        self,
        layout: str,
        output: str,
        *,
        byte: float = float("inf"),
        call: int | None = None,
        after: bool = False,
        must: bool = False,
    ) -> bool:
        """Whether a run died at an instant; it may end before that if less was left to do."""
        meter = Meter(byte=byte, call=call, after=after)
        status = self._child(lambda: self.encode(layout, output), meter)
        if status not in (0, -signal.SIGKILL) or (must and status == 0):
            instant = f"at byte {byte} or call {call}"
            raise Wrong(f"{layout}: a run that was to be killed {instant} ended with {status}")
        return status != 0

    def _child(self, run: Callable[[], object], meter: Meter | None = None) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._fork(run, meter), 0)[1])

    def _fork(self, run: Callable[[], object], meter: Meter | None = None) -> int:
        child = os.fork()
        if child:
            return child
        status = 2
        try:
            if meter is not None:
                meter.install()
            run()
            status = 0
        except Exception as error:  # noqa: BLE001 - told, and counted
            status = 1 if isinstance(error, StoreError) and "No space left" in str(error) else 2
            if status == 2:
                traceback.print_exc()
        finally:
            os._exit(status)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Run the command; 0 if every folder came out as it should."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--commands", type=int, default=4, help="how many of them are commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the log is copied")
    request = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # of the clip that cannot be read
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        os.environ["SAT_CACHE_DIR"] = str(Path(name) / "cache")
        soak = Soak(Path(name), draw=random.Random(request.seed))
        status = 0
        try:
            soak.prepare()
            soak.time_command()
            counts: Counter[str] = Counter()
            for number in range(request.points):
                command = number >= request.points - request.commands
                kind = "command" if command else KINDS[number % len(KINDS)]
                layout = ("wds", "sat")[number // 2 % 2]
                soak.say(f"{number + 1:3d}  {layout}  {soak.point(kind, layout)}")
                counts[kind] += 1
            done = ", ".join(f"{count} x {kind}" for kind, count in sorted(counts.items()))
            soak.say(f"{done}: every folder has the bytes of an undisturbed run")
        except Wrong as wrong:
            soak.say(f"WRONG: {wrong}")
            status = 1
        finally:
            if os.path.ismount(soak.disk):
                subprocess.run(["umount", str(soak.disk)], check=True)
        if request.out is not None:
            request.out.mkdir(parents=True, exist_ok=True)
            (request.out / "soak_preencode.log").write_text("\n".join(soak.lines) + "\n")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
