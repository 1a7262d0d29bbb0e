"""A Hydra application that does nothing, for comparison."""

import hydra
from omegaconf import DictConfig


@hydra.main(config_path=None, config_name="config", version_base="1.3")
def main(composed: DictConfig) -> None:
    """Take what was composed."""


if __name__ == "__main__":
    main()
