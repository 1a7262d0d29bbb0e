"""From stable-audio-tools' files and command lines to one experiment in TOML.

`migrate` takes a `defaults.ini`, the flags of train.py and a pre_encode.py command line, and gives
the text of an experiment that loads to the same, with the comments kept, and all that a person
should know of the difference.
"""

from sat_config.migrate.experiment import Migration, migrate
from sat_config.migrate.preencode import words_of as words_of_preencode

__all__ = ["Migration", "migrate", "words_of_preencode"]
