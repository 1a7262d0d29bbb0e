"""Table of contents: importing this registers what the audio family brings to training."""

import sat_train.audio.data
import sat_train.audio.training
import sat_train.methods.autoencoder
import sat_train.methods.conditioned
import sat_train.methods.diffusion
import sat_train.methods.diffusion_autoencoder
import sat_train.methods.language_model  # noqa: F401
