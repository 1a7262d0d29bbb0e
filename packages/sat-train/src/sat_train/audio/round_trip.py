"""Whether a pretransform gives back what it was given."""

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config import UserError
from sat_models.pretransforms.base import Pretransform

USELESS_DB = 0.0


@torch.no_grad()
def describe_round_trip(pretransform: Pretransform, audio: Float[Tensor, "b c t"]) -> str:
    """The error of encoding and decoding, in words.

    Raises:
        UserError: What comes back is not finite.
    """
    length = audio.shape[-1] // pretransform.hop_length * pretransform.hop_length
    audio = audio[..., :length]
    decoded = pretransform.decode(pretransform.encode(audio, sample=False)).float()
    if not decoded.isfinite().all():
        raise UserError(
            "the pretransform decodes to numbers that are not finite: its weights are damaged, or"
            " the precision is not for it"
        )
    audio = audio.float()[..., : decoded.shape[-1]]
    error = (audio - decoded).square().mean()
    ratio = float(10 * torch.log10(audio.square().mean() / error.clamp(min=1e-20)))
    text = f"encoded and decoded with an error of {float(error.sqrt()):.3g}, {ratio:.1f} dB below"
    worse = "; NO BETTER THAN SILENCE, are these its weights?" if ratio <= USELESS_DB else ""
    return f"{text} the audio{worse}"
