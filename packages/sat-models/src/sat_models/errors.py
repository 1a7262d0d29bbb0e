"""Mistakes of people that this package explains; the message is all that is shown."""

from sat_config.errors import UserError


class AudioError(UserError):
    """An audio file that cannot be read or written; the message names file and reason."""


class DataError(UserError):
    """A dataset that yields nothing, or items that do not fit the experiment."""


class CustomCodeError(DataError):
    """A dataset that wants to run somebody's Python in a process that was not told to."""


class CheckpointError(UserError):
    """Weights that cannot be found, opened or matched to a model."""


class MissingBuilderError(UserError):
    """A node that is known to the schema but that nothing installed can build."""


class SamplerError(UserError):
    """A sampler, or a setting of it, that does not fit the model."""


class GenerationError(UserError):
    """A wish for audio that the model cannot fulfil."""


class ConditionError(UserError):
    """Metadata that a conditioner cannot read, or a pretrained part of it that is not there."""
