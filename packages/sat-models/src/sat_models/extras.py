"""Optional dependencies: imported where they are needed, and named when they are missing."""

from importlib import import_module
from types import ModuleType

from sat_config.errors import MissingExtraError


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a package that only some models need.

    Args:
        module: The package.
        extra: What to install of sat-models to have it.
        purpose: What needs it, as the beginning of a sentence.

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
            f" install 'sat-models[{extra}]'"
        ) from error
