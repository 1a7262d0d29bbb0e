"""The audio family: every node of stable-audio-tools' files. Importing this registers it."""

import sat_config.audio.experiment  # registers the roots and all below them
import sat_config.audio.rules
import sat_config.audio.rules_autoencoder  # noqa: F401 - enters the rules
