"""Compose sat experiments with Hydra, then leave Hydra behind.

Hydra merges YAML groups and command-line words into plain data; from there on sat-config decodes,
checks and explains as it does for a TOML file. Nothing below a task ever sees an OmegaConf type.
"""

from sat_hydra_adapter.convert import compose
from sat_hydra_adapter.errors import CompositionError
from sat_hydra_adapter.main import hydra_main, load_task

__all__ = ["CompositionError", "compose", "hydra_main", "load_task"]
