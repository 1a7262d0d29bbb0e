"""From Hydra's composed configuration to a typed experiment."""

import os
from collections.abc import Sequence
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import sat_config
from sat_config import Experiment, UserError


class CompositionError(UserError):
    """The groups do not compose, or a value that must be given is missing."""


def compose(
    config_dir: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    config_name: str = "config",
) -> Experiment:
    """Compose YAML groups and decode the result.

    Args:
        config_dir: Folder of the groups.
        overrides: Words of Hydra's grammar, such as `model=small_vae` or `batch_size=8`.
        config_name: The primary file, without its suffix.

    Raises:
        CompositionError: A group, file or interpolation is not there, or a `???` was not filled.
        ConfigError: The composed data is no experiment that may run.
    """
    try:
        with initialize_config_dir(os.path.abspath(config_dir), version_base="1.3"):
            composed = hydra_compose(config_name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise CompositionError(f"{os.fspath(config_dir)}: {error}") from error
    return experiment_from(composed)


def experiment_from(composed: DictConfig) -> Experiment:
    """Decode what Hydra composed. Relative paths in it start from the working directory.

    Raises:
        CompositionError: An interpolation leads nowhere or a `???` was not filled.
        ConfigError: The data is no experiment that may run.
    """
    config: Experiment = sat_config.decode(_plain(composed))
    checked: Experiment = sat_config.validate(config).require()
    return checked


def _plain(composed: DictConfig) -> dict[str, Any]:
    """The composed values as plain data, interpolations resolved."""
    try:
        data = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "a key"
        raise CompositionError(f"{key}: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict):
        raise CompositionError("the composed configuration is a list, not a table of keys")
    return {str(key): value for key, value in data.items() if key != "hydra"}
