"""The audio family: every node of stable-audio-tools' files. Importing this registers it."""

import sat_config.audio.experiment  # noqa: F401 - registers the roots and all below them
