"""Table of contents: importing this registers every builder that the package brings."""

import sat_models.backbones.dit
import sat_models.bottlenecks.vae
import sat_models.data.audio_dir
import sat_models.data.latents
import sat_models.decoders.oobleck
import sat_models.encoders.oobleck
import sat_models.models.autoencoder
import sat_models.models.diffusion
import sat_models.pretransforms.autoencoder  # noqa: F401
