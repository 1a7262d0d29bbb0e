"""The way in: what needs no torch is checked before torch is imported."""

from collections.abc import Mapping
from pathlib import Path

import sat_config
from sat_config import ConfigError, Experiment
from sat_train.result import RunResult


def fit(
    experiment: Experiment,
    *,
    origins: Mapping[str, str] | None = None,
    source: Path | None = None,
) -> RunResult:
    """Train what an experiment describes, until `max_steps` or until asked to stop.

    Whatever is wrong with configuration, machine, weights or data is told before the run folder is
    made. SIGINT, SIGTERM and SIGUSR1 end training after the current step, with a checkpoint.

    Args:
        experiment: The experiment; its class decides what is trained, on what and how.
        origins: Where each value came from, as `sat_config.check(...).origins` has it; stored.
        source: The file that it was read from; if that is a run's, `recover` continues this run.

    Raises:
        UserError: Something has to be corrected first.
    """
    _require_valid(experiment)
    # Torch from here on: whoever made a mistake in a configuration need not wait for it.
    from sat_train.recipe import run

    return run(experiment, origins=origins or {}, source=source)


def check(experiment: Experiment) -> None:
    """Find out whether an experiment would train, say what was found, and write nothing.

    Weights are opened, data is tried, and one step is taken and forgotten.

    Raises:
        UserError: It would not.
    """
    _require_valid(experiment)
    from sat_train import recipe

    recipe.check(experiment)


def _require_valid(experiment: Experiment) -> None:
    found = sat_config.validate(experiment)
    if found.errors:
        raise ConfigError(found.problems)
