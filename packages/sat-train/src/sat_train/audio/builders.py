"""Table of contents: importing this registers what the audio family brings to training."""

import sat_train.audio.data
import sat_train.audio.training
import sat_train.methods.autoencoder
import sat_train.methods.conditioned
import sat_train.methods.diffusion  # noqa: F401
