"""The way in: what needs no torch is checked before torch is imported."""

from collections.abc import Mapping

import sat_config
from sat_config import ConfigError, Experiment
from sat_train.result import RunResult


def fit(experiment: Experiment, *, origins: Mapping[str, str] | None = None) -> RunResult:
    """Train what an experiment describes, until `max_steps` or until asked to stop.

    Whatever is wrong with configuration, machine, weights or data is told before the run folder is
    made. SIGINT and SIGTERM end training after the current step, with a checkpoint.

    Args:
        experiment: The experiment; its class decides what is trained, on what and how.
        origins: Where each value came from, as `sat_config.check(...).origins` has it; stored.

    Raises:
        UserError: Something has to be corrected first.
    """
    found = sat_config.validate(experiment)
    if found.errors:
        raise ConfigError(found.problems)
    # Torch from here on: whoever made a mistake in a configuration need not wait for it.
    from sat_train.recipe import run

    return run(experiment, origins=origins or {})
