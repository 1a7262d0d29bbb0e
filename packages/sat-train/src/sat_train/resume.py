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

import sat_config
from sat_config import Experiment, UserError
from sat_config.changes import Change, describe, diff
from sat_models.checkpoint import resolve_checkpoint
from sat_models.errors import CheckpointError
from sat_train.record import load_record
from sat_train.run_folder import RunFolder

log = logging.getLogger(__name__)

REQUIRED = ("state_dict", "optimizer_states", "loops", "global_step", "sat")
BROKEN = (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError)
STARTING_WEIGHTS = ("pretrained_ckpt_path", "pretransform_ckpt_path")


@dataclass(frozen=True)
class Resume:
    """A training state to continue from.

    Attributes:
        path: The checkpoint.
        step: Optimizer steps it has taken.
        batches: Batches it has seen.
        run: Its run, if that is to be continued; None starts a run of its own.
        changes: Settings that differ from those it was trained with.
    """

    path: Path
    step: int
    batches: int
    run: RunFolder | None
    changes: tuple[Change, ...]

    def is_finished(self, experiment: Experiment) -> bool:
        """Whether there is no step left to take."""
        return experiment.max_steps is not None and self.step >= experiment.max_steps


def find_resume(experiment: Experiment, *, source: Path | None) -> Resume | None:
    """What `recover` or else `ckpt_path` asks to continue from; None for a fresh start.

    With `recover` that is the newest whole checkpoint of the run whose configuration `source` is,
    or else of the runs of this name, the newest first. Checkpoints that are cut short or damaged
    are passed over with a warning. None at all is a fresh start.

    Args:
        experiment: The experiment.
        source: The file that it was read from.

    Raises:
        CheckpointError: `ckpt_path` leads to nothing that training can continue from.
        UserError: The model has changed since.
    """
    if experiment.recover:
        for run in _candidates(experiment, source):
            for path in run.checkpoints():
                if (content := _read(path)) is not None:
                    return _resume(path, content, experiment, run=run)
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


def _candidates(experiment: Experiment, source: Path | None) -> Iterator[RunFolder]:
    """The runs that may be continued."""
    own = RunFolder.around(source) if source is not None else None
    if own is not None:
        yield own
        log.warning("%s has no whole checkpoint; starting afresh", own.path)
        return
    yield from runs_of(Path(experiment.save_dir) / experiment.name)


def runs_of(folder: Path) -> list[RunFolder]:
    """All runs of a name, the newest first: by their number, which no clock can confuse."""
    records = {path: load_record(RunFolder(path).record) for path in folder.glob("*-*")}
    order = {
        path: (record.sequence if record else 0, path.name) for path, record in records.items()
    }
    return [RunFolder(path) for path in sorted(order, key=order.__getitem__, reverse=True)]


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
    path: Path, content: dict[str, Any], experiment: Experiment, *, run: RunFolder | None
) -> Resume:
    changes = changes_since(content["sat"]["config"], experiment, where=path)
    fixed = [change for change in changes if not _can_apply(change, experiment)]
    if fixed:
        raise UserError(
            f"training cannot continue from {path} with what has changed since:\n"
            + table(fixed)
            + "\nSet it back, or start afresh: recover = false, or another name"
        )
    return Resume(
        path=path,
        step=content["global_step"],
        batches=content["sat"]["batches"],
        run=run,
        changes=changes,
    )


def changes_since(config: str, experiment: Experiment, *, where: Path) -> tuple[Change, ...]:
    """What differs from a stored configuration.

    Args:
        config: Its JSON text.
        experiment: The configuration now.
        where: Where it was stored, for messages.

    Raises:
        UserError: It cannot be read, or is an experiment of another family.
    """
    before = sat_config.check(json.loads(config)).config
    try:
        return diff(before, experiment)
    except (TypeError, AttributeError) as error:
        raise UserError(
            f"the configuration in {where} cannot be compared with this one: {error}"
        ) from error


def table(changes: tuple[Change, ...] | list[Change]) -> str:
    """One line per change, with what it does."""
    return "\n".join(f"  {describe(change)}" for change in changes)


def _can_apply(change: Change, experiment: Experiment) -> bool:
    """Whether a run can go on with a change: it acts in training alone, or on no result.

    The weights that a run started from are of the past; only to name none is no contradiction.
    """
    key = change.path[0]
    if key in STARTING_WEIGHTS:
        return change.after is None
    bases = type(experiment).__mro__
    training = {key for base in bases for key in vars(base).get("training_keys") or ()}
    return change.effect == "harmless" or (change.effect == "restart" and key in training)
