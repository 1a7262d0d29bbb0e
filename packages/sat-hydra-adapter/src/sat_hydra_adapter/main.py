"""Running a task under Hydra."""

import importlib
from collections.abc import Callable
from typing import Any

import hydra
from omegaconf import DictConfig

from sat_config import Experiment, UserError
from sat_hydra_adapter.convert import experiment_from

Task = Callable[[Experiment], Any]


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

    The application reads Hydra's own flags (`--config-dir`, `--multirun`, ...) from the command
    line. The working directory is not changed.

    Raises:
        UserError: By the application, for a mistake in the configuration or the data.
    """
    mistakes: list[UserError] = []

    def run(composed: DictConfig) -> None:
        try:
            task(experiment_from(composed))
        except UserError as error:  # Hydra would print a traceback and end the process
            mistakes.append(error)

    under_hydra = hydra.main(config_path=None, config_name="config", version_base="1.3")(run)

    def application() -> None:
        under_hydra()
        if mistakes:
            raise mistakes[0]

    return application
