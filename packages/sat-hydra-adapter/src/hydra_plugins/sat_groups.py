"""Hydra finds the groups that the adapter ships, behind those of the user."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from sat_hydra_adapter.words import GROUPS


class SatGroups(SearchPathPlugin):
    """Adds the shipped groups to every search path, so a folder need hold only what differs."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Hydra's hook."""
        search_path.append("sat-hydra-adapter", f"file://{GROUPS}")
