"""Hydra's own files of a job, kept beside what the job made."""

import os
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf


def keep_hydra_files(folder: Path, composed: DictConfig, settings: HydraConf) -> None:
    """Write `config.yaml`, `hydra.yaml` and `overrides.yaml`, as Hydra does.

    Args:
        folder: Where to; made if it is not there.
        composed: The configuration of the job, without Hydra's part.
        settings: Hydra's part.
    """
    folder.mkdir(exist_ok=True)
    write_whole(folder / "config.yaml", OmegaConf.to_yaml(composed))
    write_whole(folder / "hydra.yaml", OmegaConf.to_yaml(HydraConfig.instance().cfg or settings))
    write_whole(folder / "overrides.yaml", OmegaConf.to_yaml(settings.overrides.task))


def words_of(settings: HydraConf) -> list[str]:
    """The words of a job, as Hydra got them: interpolations in them are not resolved."""
    words: Any = OmegaConf.to_container(settings.overrides.task, resolve=False)
    return list(words)


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name and rename it, so that it is never there by half."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
