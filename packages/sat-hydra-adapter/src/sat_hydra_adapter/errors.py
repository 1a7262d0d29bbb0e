"""What Hydra and OmegaConf say when they cannot compose, in words that help."""

import re

from sat_config import UserError
from sat_hydra_adapter.words import nearest

_UNKNOWN = re.compile(r"(?:Could not override|Could not find a match for) '([^']+)'")


_INDEX = re.compile(r"\[(\w+)\]")


class CompositionError(UserError):
    """The groups do not compose."""


def composition_error(error: Exception) -> CompositionError:
    """Hydra's message without its advice to prefix "+", which would make any key legal."""
    lines = [line for line in str(error).splitlines() if not re.search(r"use '?\+", line)]
    unknown = _UNKNOWN.search(lines[0]) if lines else None
    if unknown is None or "Did you mean" in str(error):
        return CompositionError(_told("\n".join(lines).strip(), error))
    name = unknown[1]
    close = nearest(name)
    advice = f"\n      = try: {close}" if close else ""
    return CompositionError(f"there is no group and no key {name!r}{advice}")


def _told(message: str, error: Exception) -> str:
    """Hydra's message with the word as it was typed, the reason, and what to write in its place."""
    message = re.sub(r"(?<![+\w])\+\+(?=\w)", "", message)
    if message.startswith("Error merging override") and error.__cause__ is not None:
        message += f": {str(error.__cause__).splitlines()[0]}"
    found = re.search(r"LexerNoViableAltException: ([^=\s]*\[\w+\][^=]*)=", message)
    if found is not None:
        listed = _INDEX.sub(r".\1", found[1])
        message += f"\n      = try: {listed}=..., for Hydra names an element by its number"
    return message
