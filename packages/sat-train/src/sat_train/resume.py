"""Which checkpoint a run continues from, and what has changed in the configuration since."""

import json
import logging
import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sat_config import Experiment, UserError, dumps
from sat_models.checkpoint import resolve_checkpoint
from sat_models.errors import CheckpointError

log = logging.getLogger(__name__)

REQUIRED = ("state_dict", "optimizer_states", "loops", "global_step", "sat")
BROKEN = (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError)
FIXED = ("model_type", "model", "sample_rate", "audio_channels")


@dataclass(frozen=True)
class Resume:
    """A training state to continue from.

    Attributes:
        path: The checkpoint.
        step: Optimizer steps it has taken.
        batches: Batches it has seen.
        run: Folder of its run, if that run is to be continued; None starts a run of its own.
        changes: Settings that differ from those it was trained with, one line each.
    """

    path: Path
    step: int
    batches: int
    run: Path | None
    changes: tuple[str, ...]

    def is_finished(self, experiment: Experiment) -> bool:
        """Whether there is no step left to take."""
        return experiment.max_steps is not None and self.step >= experiment.max_steps


def find_resume(experiment: Experiment) -> Resume | None:
    """What `recover` or else `ckpt_path` asks to continue from; None for a fresh start.

    With `recover` that is the newest whole checkpoint of the newest run of this name; ones that are
    cut short or damaged are passed over with a warning. None at all is a fresh start.

    Raises:
        CheckpointError: `ckpt_path` leads to nothing that training can continue from.
        UserError: The model has changed since.
    """
    if experiment.recover:
        for path in _newest_first(Path(experiment.save_dir) / experiment.name):
            if (content := _read(path)) is not None:
                return _resume(path, content, experiment, run=path.parent.parent)
            log.warning("%s is damaged or incomplete; looking for an older checkpoint", path)
    if experiment.ckpt_path is None:
        return None
    path = resolve_checkpoint(experiment.ckpt_path)
    content = _read(path)
    if content is None:
        raise CheckpointError(
            f"ckpt_path: {path} is not a whole training checkpoint of sat-train; to start from the"
            " weights of another kind of file, set pretrained_ckpt_path"
        )
    return _resume(path, content, experiment, run=None)


def _newest_first(folder: Path) -> Iterator[Path]:
    for run in sorted(folder.glob("*-*"), reverse=True):
        yield from sorted(run.glob("checkpoints/step=*.ckpt"), reverse=True)


def _read(path: Path) -> dict[str, Any] | None:
    """A checkpoint without its tensors' data; None if it is not whole, every byte checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        content: dict[str, Any] = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (*BROKEN, zipfile.BadZipFile):
        return None
    return content if all(key in content for key in REQUIRED) else None


def _resume(
    path: Path, content: dict[str, Any], experiment: Experiment, *, run: Path | None
) -> Resume:
    before = dict(_leaves(json.loads(content["sat"]["config"])))
    now = dict(_leaves(json.loads(dumps(experiment, format="json"))))
    changed = [
        key
        for key in sorted(before.keys() | now.keys())
        if key != "schema_version" and before.get(key) != now.get(key)
    ]
    lines = {key: f"{key}: {_shown(before.get(key))} -> {_shown(now.get(key))}" for key in changed}
    fixed = [line for key, line in lines.items() if key.partition(".")[0] in FIXED]
    if fixed:
        raise UserError(
            f"training cannot continue from {path}, whose model is another one:\n  "
            + "\n  ".join(fixed)
            + "\nSet back what changed, or start afresh: recover = false, or another name"
        )
    return Resume(
        path=path,
        step=content["global_step"],
        batches=content["sat"]["batches"],
        run=run,
        changes=tuple(lines.values()),
    )


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _shown(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
