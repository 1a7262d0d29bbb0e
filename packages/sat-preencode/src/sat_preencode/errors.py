"""Mistakes of people that this package explains; the message is all that is shown."""

from sat_config.errors import UserError


class PreencodeError(UserError):
    """An experiment that cannot be pre-encoded as it stands; the message says what to change."""


class StoreError(UserError):
    """A latent folder that cannot be used or written; the message names it and the ways out."""
