"""The ladder of schema versions: a document written for an older one is lifted step by step."""

from collections.abc import Callable
from typing import Any

CURRENT = 1
"""The version that this package writes. stable-audio-tools' own files carry none."""

STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version to the function that lifts a document from it to the next."""


class VersionError(ValueError):
    """A document of a version that this package does not read."""


def upgrade(data: dict[str, Any]) -> dict[str, Any]:
    """The document in the current version, without its `schema_version`.

    Raises:
        VersionError: The version is no number that this package knows.
    """
    if "schema_version" not in data:
        return data
    version = data["schema_version"]
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= CURRENT:
        raise VersionError(
            f"schema_version is {version!r}, this sat-config reads 1 to {CURRENT};"
            " a newer sat-config wrote it, or it is a mistake"
        )
    lifted = {key: value for key, value in data.items() if key != "schema_version"}
    for step in range(version, CURRENT):
        lifted = STEPS[step](lifted)
    return lifted
