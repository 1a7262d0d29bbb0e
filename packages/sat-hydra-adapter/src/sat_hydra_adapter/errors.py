"""What Hydra and OmegaConf say when they cannot compose, in words that help."""

import re

from sat_config import UserError
from sat_hydra_adapter.words import nearest

_UNKNOWN = re.compile(r"(?:Could not override|Could not find a match for) '([^']+)'")


class CompositionError(UserError):
    """The groups do not compose."""


def composition_error(error: Exception) -> CompositionError:
    """Hydra's message without its advice to prefix "+", which would make any key legal."""
    lines = [line for line in str(error).splitlines() if not re.search(r"use '?\+", line)]
    unknown = _UNKNOWN.search(lines[0]) if lines else None
    if unknown is None or "Did you mean" in str(error):
        return CompositionError("\n".join(lines).strip())
    name = unknown[1]
    close = nearest(name)
    advice = f"\n      = try: {close}" if close else ""
    return CompositionError(f"there is no group and no key {name!r}{advice}")
