"""The folder of a run: where everything goes, and what it says about itself."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import sat_config
from sat_config import Experiment, UserError
from sat_models.files import replacing

DESCRIPTION = ("config.toml", "config.json", "origins.json", "data.json", "environment.json")
RESOLVED_YAML = "resolved_config.yaml"
"""The configuration once more, for those who wrote theirs as YAML."""

PACKAGES = (
    "sat-config",
    "sat-models",
    "sat-train",
    "torchaudio",
    "pytorch-lightning",
    "numpy",
    "soundfile",
    "msgspec",
)
TIME_FORMAT = "%Y%m%d-%H%M%S"
RECORD = "summary.json"
RESCUE = ".rescue"
PROCESS_VARIABLE = "SAT_RUN_FOLDER"
"""Tells the processes of further devices, which Lightning starts, where the first one's run is."""


@dataclass
class RunFolder:
    """Paths below a run's folder. Making one of these touches nothing on disk."""

    path: Path

    @classmethod
    def new(cls, experiment: Experiment) -> "RunFolder":
        """A folder that does not exist yet, named by the time and the resolved configuration."""
        if folder := os.environ.get(PROCESS_VARIABLE):
            return cls(Path(folder))
        resolved = sat_config.dumps(experiment, format="json")
        short_hash = hashlib.sha256(resolved.encode()).hexdigest()[:8]
        parent, now = Path(experiment.save_dir) / experiment.name, datetime.now()
        while any(parent.glob(f"{now:{TIME_FORMAT}}-*")):
            now += timedelta(seconds=1)
        return cls(parent / f"{now:{TIME_FORMAT}}-{short_hash}")

    @classmethod
    def around(cls, file: Path) -> "RunFolder | None":
        """The run that a file is the configuration of, if it lies in one."""
        folder = file.absolute().parent
        return cls(folder) if file.name in DESCRIPTION and (folder / RECORD).exists() else None

    @property
    def latest(self) -> Path:
        """The pointer to the newest checkpoint of all runs of this name."""
        return self.path.parent / "latest"

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.toml"

    @property
    def bad_files(self) -> Path:
        """The ledger of files that could not be read."""
        return self.path / "bad_files.jsonl"

    @property
    def logs(self) -> Path:
        """The loggers' folder."""
        return self.path / "logs"

    @property
    def bad_steps(self) -> Path:
        """The ledger of steps that were skipped."""
        return self.path / "bad_steps.jsonl"

    @property
    def record(self) -> Path:
        """How far the run is, for machines."""
        return self.path / RECORD

    @property
    def page(self) -> Path:
        """What the run says of itself, for people."""
        return self.path / "report.html"

    def checkpoint(self, step: int, *, rescue: bool = False) -> Path:
        """The checkpoint of a step.

        Args:
            step: Optimizer steps taken.
            rescue: Whether it only stands in until the next one.
        """
        return self.path / "checkpoints" / f"step={step:08d}{RESCUE if rescue else ''}.ckpt"

    def checkpoints(self) -> list[Path]:
        """All that are there, the newest first."""
        return sorted((self.path / "checkpoints").glob("step=*.ckpt"), reverse=True)

    @staticmethod
    def step_of(checkpoint: Path) -> int:
        """The step that a checkpoint's name says."""
        return int(checkpoint.name.removeprefix("step=").partition(".")[0])

    @staticmethod
    def is_rescue(checkpoint: Path) -> bool:
        """Whether a checkpoint only stands in until the next one."""
        return checkpoint.stem.endswith(RESCUE)

    def demos(self, step: int) -> Path:
        """The folder of a step's demos."""
        return self.path / "demos" / f"step={step:08d}"

    def resume_words(self) -> Sequence[str]:
        """The command that continues this run."""
        return ("sat-train", str(self.config), "--override", "recover=true")

    @contextmanager
    def known_to_children(self) -> Iterator[None]:
        """Let the processes of further devices use this folder, which they are started for."""
        before = os.environ.get(PROCESS_VARIABLE)
        os.environ[PROCESS_VARIABLE] = str(self.path)
        try:
            yield
        finally:
            del os.environ[PROCESS_VARIABLE]
            if before is not None:
                os.environ[PROCESS_VARIABLE] = before

    def point_to(self, checkpoint: Path) -> None:
        """Make the pointer name a checkpoint, relative to the pointer's folder."""
        _write(self.latest, f"{checkpoint.relative_to(self.latest.parent).as_posix()}\n")

    def describe(
        self,
        experiment: Experiment,
        *,
        origins: Mapping[str, str],
        data: Mapping[str, object],
        device: str,
    ) -> None:
        """Write configuration, origins, data and environment."""
        texts = (
            sat_config.dumps(experiment, format="toml"),
            sat_config.dumps(experiment, format="json"),
            _json(dict(origins)),
            _json(dict(data)),
            _json(environment(device=device)),
        )
        for name, text in zip(DESCRIPTION, texts, strict=True):
            _write(self.path / name, text)
        if any(re.search(r"\.ya?ml(:\d+)?$", place) for place in origins.values()):
            text = sat_config.dumps(experiment, format="yaml")
            _write(self.path / RESOLVED_YAML, text)

    def create(self) -> None:
        """Make the folder.

        Raises:
            UserError: Another run has just made it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.path.mkdir()
        except FileExistsError as error:
            raise UserError(
                f"another run of the same configuration has just started in {self.path}: start this"
                " one again"
            ) from error
        self.checkpoint(0).parent.mkdir()

    def sweep(self) -> None:
        """Remove the unfinished files of a process that was killed; ours is the only one here."""
        for path in list(self.path.rglob(".*.tmp")):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def set_aside(self, *, step: int) -> Path:
        """Copy what an earlier start of the same run said of itself to a folder of its own."""
        stem, number = f"before_step={step:08d}", 1
        while (history := self.path / (stem if number == 1 else f"{stem}-{number}")).exists():
            number += 1
        history.mkdir()
        for name in DESCRIPTION:
            if (self.path / name).exists():
                shutil.copy2(self.path / name, history / name)
        return history


def environment(*, device: str) -> dict[str, Any]:
    """Where a run takes place: versions, machine, command; nothing from environment variables."""
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
        "torch": {"version": torch.__version__, "cuda": torch.version.cuda},
        "packages": {name: _version(name) for name in PACKAGES},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ("git", *words), capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
