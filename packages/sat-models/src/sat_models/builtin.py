"""Table of contents: importing this registers every builder that the package brings."""

import sat_models.backbones.dit
import sat_models.bottlenecks.dac_rvq
import sat_models.bottlenecks.dithered_fsq
import sat_models.bottlenecks.fsq
import sat_models.bottlenecks.l2_norm
import sat_models.bottlenecks.rvq
import sat_models.bottlenecks.softnorm
import sat_models.bottlenecks.tanh
import sat_models.bottlenecks.vae
import sat_models.bottlenecks.wasserstein
import sat_models.data.audio_dir
import sat_models.data.latents
import sat_models.decoders.dac
import sat_models.decoders.local_attn
import sat_models.decoders.oobleck
import sat_models.decoders.seanet
import sat_models.decoders.taae
import sat_models.encoders.dac
import sat_models.encoders.local_attn
import sat_models.encoders.oobleck
import sat_models.encoders.seanet
import sat_models.encoders.taae
import sat_models.models.autoencoder
import sat_models.models.diffusion
import sat_models.pretransforms.audiocraft_pretrained
import sat_models.pretransforms.autoencoder
import sat_models.pretransforms.dac_pretrained
import sat_models.pretransforms.patched
import sat_models.pretransforms.pqmf
import sat_models.pretransforms.wavelet  # noqa: F401
