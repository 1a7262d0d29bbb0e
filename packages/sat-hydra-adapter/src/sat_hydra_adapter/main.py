"""Running a task under Hydra."""

import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sat_config import ConfigError, Experiment, UserError, errors
from sat_hydra_adapter import sweep
from sat_hydra_adapter.convert import BASE, check_composed
from sat_hydra_adapter.errors import composition_error
from sat_hydra_adapter.record import keep_hydra_files, words_of
from sat_hydra_adapter.words import GROUPS, forced

Task = Callable[..., Any]
"""Takes an experiment, and the origins of its values if it has a parameter `origins`. What it gives
may have a `folder` (where Hydra's files go, under `.hydra/`), `metrics` (figures by name) and an
`objective` (the number that a sweep makes small)."""


def load_task(name: str) -> Task:
    """Import the function that `module:function` names.

    Raises:
        UserError: The name has another form, or leads to nothing that can be called.
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise UserError(f"{name!r} names no task; expected module:function, such as sat_train:fit")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{name!r} cannot be imported: {error}") from error
    if not callable(found):
        raise UserError(f"{name!r} is a {type(found).__name__}, not a function")
    task: Task = found
    return task


def hydra_main(task: Task) -> Callable[[], None]:
    """Make a Hydra application of a task that takes an experiment.

    The application reads Hydra's own flags (`--config-dir`, `--multirun`, ...) and words from the
    command line. The working directory is not changed.

    Raises:
        UserError: By the application, for a mistake in the configuration or the data; in a sweep
            after all of its jobs.
    """
    mistakes: list[UserError] = []
    run = partial(_run, task, mistakes)
    job = hydra.main(config_path=None, config_name="config", **BASE)(run)

    def application() -> None:
        sweep.forget()
        mistakes.clear()
        try:
            with _command_line(_arranged(sys.argv[1:])), _errors_raised():
                job()
        except (HydraException, OmegaConfBaseException) as error:
            raise composition_error(error) from error
        if mistakes:
            raise mistakes[0]
        sweep.raise_failures()

    return application


def _run(task: Task, mistakes: list[UserError], composed: DictConfig) -> float | None:
    """One job: decode, run, and leave a record of it; the result is what a sweeper minimises.

    Mistakes are collected where Hydra need not know of them: it would print the words once more.
    """
    settings = HydraConfig.get()
    in_sweep = settings.mode is RunMode.MULTIRUN
    try:
        experiment, origins = _decoded(task, composed)
        result = task(experiment) if origins is None else task(experiment, origins=origins)
    except UserError as error:
        if not in_sweep:
            mistakes.append(error)
            return None
        sweep.record_failure(settings, error)
        if "basic_sweeper" not in settings.sweeper._target_:
            raise
        sys.stderr.write(f"{error}\n")
        return None
    folder = getattr(result, "folder", None)
    if isinstance(folder, Path):
        keep_hydra_files(folder / ".hydra", composed, settings)
    if in_sweep:
        sweep.record(settings, result)
    return sweep.objective(result)


def _decoded(task: Task, composed: DictConfig) -> tuple[Experiment, dict[str, str] | None]:
    """The experiment, and the origins of its values if the task asks for them."""
    settings = HydraConfig.get()
    name, words = settings.job.config_name or "config", words_of(settings)
    traced = "origins" in inspect.signature(task).parameters
    report = check_composed(composed, config_name=name, words=words, traced=traced)
    if report.errors:
        raise ConfigError(report.problems)
    if report.problems:
        errors.report(report.problems)
    return report.config, report.origins if traced else None


def _arranged(words: Sequence[str]) -> list[str]:
    """The command line for Hydra: values forced, and the user's folder before the shipped groups.

    Raises:
        UserError: The folder is not there.
    """
    arranged: list[str] = []
    for word in forced(words):
        flag, equals, folder = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            arranged.append(f"--config-path={_folder(folder)}" if equals else "--config-path")
        elif arranged and arranged[-1] == "--config-path":
            arranged[-1] = f"--config-path={_folder(word)}"
        else:
            arranged.append(word)
    if not any(word.startswith("--config-path") or word == "-cp" for word in arranged):
        arranged.append(f"--config-path={GROUPS}")
    return arranged


def _folder(name: str) -> str:
    if not os.path.isdir(name):
        raise UserError(f"--config-dir {name}: there is no such folder")
    return os.path.abspath(name)


@contextmanager
def _command_line(words: Sequence[str]) -> Iterator[None]:
    kept = sys.argv
    sys.argv = [kept[0], *words]
    try:
        yield
    finally:
        sys.argv = kept


@contextmanager
def _errors_raised() -> Iterator[None]:
    """Have Hydra raise what goes wrong, instead of printing it and ending the process."""
    name = "HYDRA_FULL_ERROR"
    kept = os.environ.get(name)
    os.environ[name] = "1"
    try:
        with warnings.catch_warnings():  # Hydra 1.4 doubts every class that a file names, ours too
            ours = ".*_target_='sat_hydra_adapter"
            warnings.filterwarnings("ignore", message=ours, category=UserWarning)
            yield
    finally:
        os.environ.pop(name)
        if kept is not None:
            os.environ[name] = kept
