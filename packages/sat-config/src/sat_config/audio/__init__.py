"""The audio family: every node of stable-audio-tools' files. Importing this registers it."""

import sat_config.audio.experiment  # registers the roots and all below them
import sat_config.audio.rules
import sat_config.audio.rules_autoencoder
import sat_config.audio.rules_codec
import sat_config.audio.rules_conditioning
import sat_config.audio.rules_diffusion
import sat_config.audio.rules_training  # noqa: F401 - enters the rules
