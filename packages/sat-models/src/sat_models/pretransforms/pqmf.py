"""A bank of pseudo quadrature mirror filters (Nguyen 1994; Lin and Vaidyanathan 1998)."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.pretransform import PQMFNode
from sat_models.pretransforms.base import build_pretransform
from sat_models.pretransforms.filter_design import modulate, prototype_filter
from sat_models.pretransforms.fixed import FixedPretransform


class PQMFPretransform(FixedPretransform):
    """Bands of equal width as channels, those of the first audio channel in front.

    Away from the ends, decoding gives back what was encoded, as far as the filters' attenuation
    goes. Audio whose length is no multiple of the bands is followed by zeros.

    Deviations from SAT: `hop_length` and `latent_dim` are there, and there is no need of SciPy
    (SAT calls functions that SciPy no longer has); the design finds the same filters.
    """

    def __init__(self, *, channels: int, num_bands: int, attenuation: float) -> None:
        """Design the filters.

        Args:
            channels: Channels of the audio.
            num_bands: Bands, a power of two.
            attenuation: Of other bands, in dB.
        """
        super().__init__(channels=channels, latent_dim=channels * num_bands, hop_length=num_bands)
        self.pqmf = _Bank(num_bands=num_bands, attenuation=attenuation)

    def encode(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Split audio into bands; nothing is drawn."""
        padded = functional.pad(audio, (0, -audio.shape[-1] % self.hop_length))
        phases = rearrange(padded, "b c (t n) -> (b c) n t", n=self.hop_length)
        kernel = rearrange(self.pqmf.filter_bank, "d (t n) -> d n t", n=self.hop_length)
        bands = functional.conv1d(phases, kernel, padding=kernel.shape[-1] // 2)[..., :-1]
        return rearrange(_alternate(bands), "(b c) d l -> b (c d) l", c=self.channels)

    def decode(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Join bands to audio."""
        bands = rearrange(latents, "b (c d) l -> (b c) d l", c=self.channels)
        kernel = rearrange(self.pqmf.filter_bank.flip(-1), "d (t n) -> n d t", n=self.hop_length)
        padding = kernel.shape[-1] // 2 + 1
        phases = functional.conv1d(_alternate(bands), kernel, padding=padding)[..., 2:-1]
        return self.hop_length * rearrange(
            phases.flip(1), "(b c) n t -> b c (t n)", c=self.channels
        )


class _Bank(nn.Module):
    """The filters; SAT's state dict has them below this module's name."""

    filter_bank: Tensor
    prototype: Tensor

    def __init__(self, *, num_bands: int, attenuation: float) -> None:
        super().__init__()
        prototype = prototype_filter(num_bands=num_bands, attenuation=attenuation)
        bank = modulate(prototype, num_bands=num_bands)
        missing = (1 << (bank.shape[-1] - 1).bit_length()) - bank.shape[-1]
        bank = functional.pad(bank, (missing // 2, missing - missing // 2))
        self.register_buffer("filter_bank", bank)
        self.register_buffer("prototype", prototype)


def _alternate(bands: Float[Tensor, "b d l"]) -> Float[Tensor, "b d l"]:
    """Turn the sign of every second frame of every second band, which aliasing has turned."""
    places = torch.arange(bands.shape[1], device=bands.device)[:, None] % 2
    times = torch.arange(bands.shape[2], device=bands.device) % 2
    return bands * (1 - 2 * places * (1 - times))


@build_pretransform.register
def _(node: PQMFNode, *, sample_rate: int) -> PQMFPretransform:
    config = node.config
    return PQMFPretransform(
        channels=config.channels, num_bands=config.num_bands, attenuation=config.attenuation
    )
