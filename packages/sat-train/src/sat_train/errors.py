"""Mistakes and mishaps that this package explains; the message is all that is shown."""

from sat_config.errors import UserError


class DivergedError(UserError):
    """Training that yields no finite numbers any more."""
