"""Neighbouring samples as channels of one frame."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torchaudio.transforms import Resample

from sat_config.audio.pretransform import PatchedNode
from sat_models.pretransforms.base import build_pretransform
from sat_models.pretransforms.fixed import FixedPretransform


class PatchedPretransform(FixedPretransform):
    """Samples folded into channels, at a multiple of the sample rate if so wanted.

    Audio whose length is no multiple of a frame is followed by zeros.

    Deviation from SAT: `hop_length` counts the samples of the audio itself. SAT gives the patch
    size, which is too long by the factor of the oversampling.
    """

    def __init__(self, *, channels: int, patch_size: int, oversampling: int) -> None:
        """Create the resamplers, if any are needed.

        Args:
            channels: Channels of the audio.
            patch_size: Samples per frame, after resampling.
            oversampling: Factor of the sample rate; divides `patch_size`.
        """
        super().__init__(
            channels=channels,
            latent_dim=channels * patch_size,
            hop_length=patch_size // oversampling,
        )
        self.patch_size = patch_size
        self.input_upsampler = Resample(1, oversampling) if oversampling > 1 else None
        self.output_downsampler = Resample(oversampling, 1) if oversampling > 1 else None

    def encode(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Fold audio; nothing is drawn."""
        if self.input_upsampler is not None:
            audio = self.input_upsampler(audio)
        padded = functional.pad(audio, (0, -audio.shape[-1] % self.patch_size))
        return rearrange(padded, "b c (l p) -> b (c p) l", p=self.patch_size)

    def decode(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Unfold frames."""
        audio = rearrange(latents, "b (c p) l -> b c (l p)", p=self.patch_size)
        return audio if self.output_downsampler is None else self.output_downsampler(audio)


@build_pretransform.register
def _(node: PatchedNode, *, sample_rate: int) -> PatchedPretransform:
    config = node.config
    return PatchedPretransform(
        channels=config.channels,
        patch_size=config.patch_size,
        oversampling=config.oversampling,
    )
