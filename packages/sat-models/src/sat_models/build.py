"""From a node of a configuration to the object that it describes.

Each kind of object has one `functools.singledispatch` function, and dispatch is on the node's
class. The modules that register with them are listed in `sat_models.builtin` and, for plug-ins,
under the entry-point group `sat_models.builders`; all are imported when a node is first met without
a builder.
"""

from functools import singledispatch
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from torch import nn
from torch.utils.data import Dataset

from sat_config.audio.dataset import DatasetNode
from sat_config.run import Experiment
from sat_models.data.ledger import Ledger
from sat_models.errors import MissingBuilderError

PLUGIN_GROUP = "sat_models.builders"

_loaded = False


def load_builtin() -> bool:
    """Import every module that registers builders, plug-ins included.

    Returns:
        Whether this call did it: true once per process.
    """
    global _loaded
    if _loaded:
        return False
    import_module("sat_models.builtin")
    for entry in entry_points(group=PLUGIN_GROUP):
        entry.load()
    _loaded = True
    return True


def missing_builder(node: object) -> MissingBuilderError:
    """The error for a node whose class has no builder."""
    cls = type(node)
    return MissingBuilderError(
        f"nothing installed builds {cls.__module__}.{cls.__qualname__}; the package that declares"
        f" it must also register a builder, in a module named under the entry-point group"
        f" {PLUGIN_GROUP!r}"
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


@singledispatch
def build_dataset(
    node: DatasetNode,
    *,
    sample_rate: int,
    sample_size: int,
    channels: int,
    seed: int,
    training: bool,
    ledger: Ledger,
) -> Dataset[Any]:
    """Build the dataset of a node.

    Args:
        node: A dataset node.
        sample_rate: Hz of every waveform that comes out.
        sample_size: Samples per item, at that rate.
        channels: Channels per item.
        seed: Decides crops and phase flips, together with epoch and index.
        training: Whether items may be random crops and flipped.
        ledger: Where files that cannot be read are written down.

    Raises:
        MissingBuilderError: Nothing installed builds this class of dataset.
    """
    if load_builtin():
        return build_dataset(
            node,
            sample_rate=sample_rate,
            sample_size=sample_size,
            channels=channels,
            seed=seed,
            training=training,
            ledger=ledger,
        )
    raise missing_builder(node)
