"""Table of contents: the modules that register training methods, plug-ins included."""

from importlib import import_module
from importlib.metadata import entry_points

MODULES = ("sat_train.methods.autoencoder", "sat_train.methods.diffusion")
PLUGIN_GROUP = "sat_train.methods"


def load() -> None:
    """Import them all; doing so again changes nothing."""
    for module in MODULES:
        import_module(module)
    for entry in entry_points(group=PLUGIN_GROUP):
        entry.load()
