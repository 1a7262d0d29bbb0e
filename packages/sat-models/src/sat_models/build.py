"""From a node of a configuration to the object that it describes.

Each kind of object has one `functools.singledispatch` function, and dispatch is on the node's
class. The modules that register with them are named under an entry-point group: audio's are there
like anyone else's. All are imported when a node is first met without a builder.
"""

from functools import singledispatch
from importlib.metadata import entry_points

from torch import nn

from sat_config.run import Experiment
from sat_models.errors import MissingBuilderError

GROUP = "sat_models.builders"

FAILED: dict[str, str] = {}
"""Modules that could not be imported, and why; shown when a builder is missing."""

_loaded: set[str] = set()


def load_builtin(group: str = GROUP) -> bool:
    """Import every module that registers builders, those of other packages included.

    Args:
        group: The entry-point group that names them.

    Returns:
        Whether this call did it: true once per process and group.
    """
    if group in _loaded:
        return False
    _loaded.add(group)
    for entry in entry_points(group=group):
        try:
            entry.load()
        except Exception as error:  # noqa: BLE001 - whatever a stranger's module raises
            FAILED[entry.value] = f"{type(error).__name__}: {error}"
    return True


def missing_builder(node: object, *, group: str = GROUP) -> MissingBuilderError:
    """The error for a node whose class has no builder."""
    cls = type(node)
    text = (
        f"nothing installed builds {cls.__module__}.{cls.__qualname__}; the package that declares"
        f" it must also register a builder, in a module named under the entry-point group"
        f" {group!r}"
    )
    failed = "".join(f"\n  {module}: {reason}" for module, reason in FAILED.items())
    return MissingBuilderError(
        f"{text}\nThese modules could not be imported:{failed}" if failed else text
    )


@singledispatch
def build_model(experiment: Experiment) -> nn.Module:
    """Build the network of an experiment, with fresh weights.

    Args:
        experiment: A whole experiment; its class decides which model is built.

    Raises:
        MissingBuilderError: Nothing installed builds this class of experiment.
    """
    if load_builtin():
        return build_model(experiment)
    raise missing_builder(experiment)
