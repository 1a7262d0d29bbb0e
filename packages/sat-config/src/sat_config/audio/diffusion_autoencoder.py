"""The diffusion autoencoder: a diffusion model that decodes an encoder's latents."""

from __future__ import annotations

import sat_config.audio.autoencoder as autoencoder
import sat_config.audio.diffusion as diffusion
from sat_config.registry import Open


class DiffusionAutoencoderConfig(autoencoder.LatentCodec, kw_only=True):
    """A diffusion autoencoder (Preechakul et al. 2022), as it stands under `model`.

    The latents, through the decoder if there is one, are stretched to the length of the signal and
    condition a diffusion model as further input channels. Without an encoder they are made from the
    signal itself.

    Attributes:
        diffusion: The diffusion model, whose channels of condition are the decoder's output or,
            without one, the latents.
    """

    diffusion: Open[diffusion.DiffusionAutoencoderBackboneNode]

    @property
    def signal_channels(self) -> int:
        """Channels that the encoder and the diffusion model get."""
        return self.io_channels

    @property
    def audio_channels(self) -> int | None:
        """Channels of the audio that it is trained on; None if only weights tell."""
        return self.pretransform.channels if self.pretransform else self.io_channels
