"""Train for ten minutes while things go wrong at random, and see that nothing is lost.

    python tools/soak.py [--minutes 10] [--seed 0] [--out FOLDER]

A small autoencoder trains on a disk of its own (a tmpfs of a few megabytes, where that can be
mounted). Again and again the run is killed, a process that loads data is killed, the disk is
filled, a file becomes unreadable, a checkpoint is cut short, or the run is asked to stop. Each time
it is started again with the same command, and what it left behind is looked through. For the last
part it is left in peace, and its memory must stay as it is.
"""

import argparse
import csv
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

import sat_config

DISK_MEGABYTES = 24
QUIET_SHARE = 0.35
"""Of the time, at the end: no faults, and memory is watched."""

GROWTH = 0.05
"""By how much resident memory may grow while the run is left in peace."""

RATE = 8000
COMMAND = (sys.executable, "-c", "from sat_train.cli import main; raise SystemExit(main())")
CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}


class Lost(Exception):  # noqa: N818 - what the whole thing is about
    """Something that a run promised was not there."""


class Soak:
    """One run, and what is done to it.

    Args:
        folder: Data, disk and log.
        draw: Decides what happens when.
    """

    def __init__(self, folder: Path, *, draw: random.Random) -> None:
        self.folder, self.draw = folder, draw
        self.data, self.disk = folder / "music", folder / "disk"
        self.started = time.monotonic()
        self.lines: list[str] = []
        self.counts: dict[str, int] = {}
        self.damaged: set[Path] = set()
        self.process: subprocess.Popen[bytes]
        self.output = (folder / "output.txt").open("wb")

    def say(self, text: str) -> None:
        """Write a line of the log."""
        self.lines.append(f"{time.monotonic() - self.started:7.1f} s  {text}")
        print(self.lines[-1], flush=True)

    # ------------------------------------------------------------------------------ the run

    def prepare(self) -> None:
        """Make clips, the disk and the experiment."""
        self.data.mkdir()
        self.disk.mkdir()
        for number in range(12):
            self.write_clip(number)
        size = f"size={DISK_MEGABYTES}m"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.disk)])
        self.small = done.returncode == 0
        self.say(f"disk: {'tmpfs, ' + size if self.small else 'not mounted; it is never full'}")
        experiment = sat_config.decode(self.document())
        (self.folder / "soak.toml").write_text(sat_config.dumps(experiment))

    def document(self) -> dict[str, object]:
        """A small autoencoder with everything switched on."""
        node = {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": str(self.data)}]}
        spectral = {"fft_sizes": [128, 64], "hop_sizes": [32, 16], "win_lengths": [128, 64]}
        return {
            "model_type": "autoencoder",
            "sample_rate": RATE,
            "sample_size": 1024,
            "audio_channels": 2,
            "name": "soak",
            "save_dir": str(self.disk),
            "recover": True,
            "num_workers": 2,
            "batch_size": 2,
            "accelerator": "cpu",
            "devices": 1,
            "checkpoint_every": 50,
            "save_top_k": 2,
            "val_every": 200,
            "max_bad_share": 0.9,
            "runtime": {"num_threads": 1},
            "model": {
                "encoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 6}},
                "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 3}},
                "bottleneck": {"type": "vae"},
                "latent_dim": 3,
                "downsampling_ratio": 8,
                "io_channels": 2,
            },
            "training": {
                "learning_rate": 1e-3,
                "demo": {"demo_every": 1000},
                "loss_configs": {
                    "spectral": {"config": spectral, "weights": {"mrstft": 1.0}},
                    "time": {"weights": {"l1": 0.3}},
                    "bottleneck": {"weights": {"kl": 0.01}},
                },
            },
            "dataset": node,
            "val_dataset": node,
        }

    def write_clip(self, number: int) -> Path:
        """A clip that the run may read."""
        draw = np.random.default_rng(number)
        seconds = np.arange(RATE) / RATE
        notes = draw.uniform(100, 2000, (2, 3))
        path = self.data / f"tune {number}.wav"
        soundfile.write(path, 0.2 * np.sin(2 * np.pi * notes[..., None] * seconds).sum(1).T, RATE)
        return path

    def start(self) -> None:
        """Start the run, or start it again: the command is the same."""
        self.process = subprocess.Popen(
            (*COMMAND, "soak.toml"),
            cwd=self.folder,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        before = self.step()
        deadline = time.monotonic() + 120
        while self.step() <= before or not self.is_new():
            if self.process.poll() is not None:
                raise Lost(f"the run ended with {self.process.returncode} before it went on")
            if time.monotonic() > deadline:
                raise Lost("the run did not go on within two minutes")
            time.sleep(0.2)

    def is_new(self) -> bool:
        """Whether the record is of the process that runs now."""
        record = self.record()
        return record.get("status") == "running" and self.step() > 0

    def wait(self) -> int:
        """Until the run has ended.

        Raises:
            Lost: It does not end.
        """
        try:
            return self.process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            raise Lost("the run did not end within two minutes") from None

    def run_folder(self) -> Path | None:
        """The one folder that the run has; a second one would be a loss of the first."""
        folders = [path for path in self.disk.glob("soak/*") if path.is_dir()]
        kept = [path for path in folders if list(path.glob("checkpoints/*.ckpt"))]
        if len(kept) > 1:
            raise Lost(f"there are {len(kept)} runs where there should be one")
        return (kept or folders or [None])[0]

    def record(self) -> dict[str, object]:
        """What `summary.json` says."""
        folder = self.run_folder()
        path = folder / "summary.json" if folder else None
        return json.loads(path.read_text()) if path and path.exists() else {}

    def step(self) -> int:
        """The newest step that has figures."""
        rows = self.rows()
        return int(rows[-1]["step"]) if rows else 0

    def rows(self) -> list[dict[str, str]]:
        """The figures."""
        folder = self.run_folder()
        path = folder / "logs" / "metrics.csv" if folder else None
        if path is None or not path.exists():
            return []
        text = path.read_text().rpartition("\n")[0]
        return list(csv.DictReader(io.StringIO(text)))

    # --------------------------------------------------------------------------- the faults

    def faults(self) -> dict[str, Callable[[], None]]:
        """What can go wrong, by name."""
        found = {
            "kill -9": self.kill,
            "a worker dies": self.kill_worker,
            "bad file": self.spoil_file,
            "truncated checkpoint": self.truncate,
            "SIGTERM": self.terminate,
        }
        return {**found, "disk full": self.fill_disk} if self.small else found

    def kill(self) -> None:
        """Everything of the run at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()
        self.restart()

    def kill_worker(self) -> None:
        """One of the processes that load data."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        workers = [int(word) for word in children.read_text().split()]
        if not workers:
            return
        os.kill(self.draw.choice(workers), signal.SIGKILL)
        status = self.wait()
        if status != 1:
            raise Lost(f"after the death of a worker the status was {status}, not 1")
        self.restart()

    def spoil_file(self) -> None:
        """A file holds no audio for some seconds; the run leaves it out and goes on."""
        path = self.write_clip(self.draw.randrange(12))
        path.write_bytes(b"no audio " * 100)
        before = self.step()
        time.sleep(4)
        self.write_clip(int(path.stem.split()[1]))
        self.expect_progress(before)

    def truncate(self) -> None:
        """The newest checkpoint is cut short while nobody trains."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()
        whole = self.whole_checkpoints()
        if len(whole) > 1:
            newest = whole[0]
            newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
            self.damaged.add(newest)
            self.say(f"cut {newest.name}")
        self.restart()

    def terminate(self) -> None:
        """The run is asked to stop, and leaves a checkpoint of its last step."""
        self.process.terminate()
        status = self.wait()
        if status != 143:
            raise Lost(f"after SIGTERM the status was {status}, not 143")
        step = self.record()["step"]
        if f"step={step:08d}" not in self.whole_checkpoints()[0].name:
            raise Lost(f"SIGTERM at step {step} left {self.whole_checkpoints()[0].name}")
        self.restart()

    def fill_disk(self) -> None:
        """No byte is left for some seconds; the run goes on and catches up."""
        filler = self.disk / "filler"
        before = self.step()
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
            except OSError:
                pass
        time.sleep(self.draw.uniform(4, 8))
        filler.unlink()
        self.expect_progress(before)

    def expect_progress(self, before: int) -> None:
        """The run has not ended, and takes further steps."""
        deadline = time.monotonic() + 60
        while self.step() <= before:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Lost(f"the run did not go on from step {before}")
            time.sleep(0.2)

    def restart(self) -> None:
        """Look through what is left, start again, and see that it goes on from there."""
        self.look_through()
        whole = self.whole_checkpoints()
        expected = int(whole[0].name[5:13]) if whole else 0
        self.start()
        folder = self.run_folder()
        asides = sorted(
            (folder or self.disk).glob("before_step=*"), key=lambda path: path.stat().st_mtime
        )
        went_on = int(asides[-1].name[12:20]) if asides else 0
        if went_on != expected:
            raise Lost(f"went on from step {went_on}, but step {expected} is whole")
        self.say(f"goes on from step {went_on}")

    # -------------------------------------------------------------------------- the promises

    def whole_checkpoints(self) -> list[Path]:
        """The newest first; one that is not whole and that nobody cut is a loss."""
        folder = self.run_folder()
        found = []
        for path in sorted(folder.glob("checkpoints/step=*"), reverse=True) if folder else []:
            if path in self.damaged:
                continue
            try:
                with zipfile.ZipFile(path) as archive:
                    good = archive.testzip() is None
            except zipfile.BadZipFile:
                good = False
            if not good:
                raise Lost(f"{path.name} is not whole")
            found.append(path)
        return found

    def look_through(self) -> None:
        """Everything that has a name is whole, and no step is missing or there twice."""
        self.whole_checkpoints()
        folder = self.run_folder()
        if folder is None:
            return
        for path in folder.rglob("*.json"):
            json.loads(path.read_text())
        for path in folder.rglob("*.flac"):
            soundfile.read(path)
        for path in folder.glob("*.jsonl"):
            [json.loads(line) for line in path.read_text().splitlines()]
        page = folder / "report.html"
        if page.exists() and not page.read_text().endswith("</html>\n"):
            raise Lost("report.html is cut short")
        steps = [int(row["step"]) for row in self.rows()]
        if steps != list(range(len(steps))):
            wrong = next(at for at, step in enumerate(steps) if at != step)
            raise Lost(f"metrics.csv has {steps[wrong - 2 : wrong + 3]} where {wrong} should be")

    def watch_memory(self, seconds: float) -> None:
        """Leave the run in peace, and see that its memory stays as it is."""
        time.sleep(seconds / 4)
        first = self.memory()
        time.sleep(seconds * 3 / 4)
        last = self.memory()
        self.say(f"resident memory {first:.3f} GB, {seconds * 3 / 4:.0f} s later {last:.3f} GB")
        if last > first * (1 + GROWTH):
            raise Lost("memory grows")

    def memory(self) -> float:
        """What the run said last."""
        named = [row["memory/process_gb"] for row in self.rows() if row.get("memory/process_gb")]
        return float(named[-1])


def soak(folder: Path, *, minutes: float, seed: int) -> tuple[Soak, str | None]:
    """Do it; the second result says what was lost."""
    made = Soak(folder, draw=random.Random(seed))
    end = made.started + 60 * minutes
    try:
        made.prepare()
        made.start()
        while time.monotonic() < end - 60 * minutes * QUIET_SHARE:
            time.sleep(made.draw.uniform(3, 15))
            name = made.draw.choice(sorted(made.faults()))
            made.say(f"{name}, at step {made.step()}")
            made.faults()[name]()
            made.counts[name] = made.counts.get(name, 0) + 1
        made.say("left in peace")
        made.watch_memory(max(end - time.monotonic(), 20))
        made.terminate()
        made.say("stopped and went on once more")
        made.process.terminate()
        made.wait()
        made.look_through()
    except (Lost, OSError, ValueError) as lost:
        return made, f"{type(lost).__name__}: {lost}"
    finally:
        if made.process.poll() is None:
            os.killpg(made.process.pid, signal.SIGKILL)
            made.process.wait()
        made.output.close()
    return made, None


def main() -> int:
    """Run the command; 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where log and report are copied")
    request = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        made, lost = soak(folder, minutes=request.minutes, seed=request.seed)
        try:
            faults = ", ".join(f"{count} x {what}" for what, count in sorted(made.counts.items()))
            made.say(f"{made.step()} steps; {faults}")
            made.say(f"LOST: {lost}" if lost else "nothing was lost")
            if lost:
                print((folder / "output.txt").read_text(errors="replace")[-4000:])
            if request.out is not None:
                request.out.mkdir(parents=True, exist_ok=True)
                (request.out / "soak.log").write_text("\n".join(made.lines) + "\n")
                if (run := made.run_folder()) is not None:
                    shutil.copy(run / "report.html", request.out / "soak_report.html")
        finally:
            if made.small:
                subprocess.run(["umount", str(made.disk)], check=True)
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
