"""Optional dependencies: imported where they are needed, and named when they are missing."""

from importlib import import_module
from types import ModuleType

from sat_config.errors import MissingExtraError


def import_extra(
    module: str, *, extra: str, purpose: str, distribution: str = "sat-models"
) -> ModuleType:
    """Import a package that only some experiments need.

    Args:
        module: The package.
        extra: What to install of the distribution to have it.
        purpose: What needs it, as the beginning of a sentence.
        distribution: Which of ours has the extra.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {module}, which is not installed; install it with: pip"
            f" install '{distribution}[{extra}]'"
        ) from error
