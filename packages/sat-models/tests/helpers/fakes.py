"""Stand-ins for packages that are not installed where tests run."""

from types import ModuleType


def fake_module(**members):
    """A module with these members."""
    module = ModuleType("fake")
    vars(module).update(members)
    return module
