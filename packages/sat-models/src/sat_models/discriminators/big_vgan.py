"""BigVGAN's discriminator (Gu et al. 2024, 2311.14957), which is known but not built."""

from typing import NoReturn

from sat_config.audio.discriminator import BigVGANDiscriminatorNode
from sat_config.errors import UserError
from sat_models.discriminators.base import build_discriminator


@build_discriminator.register
def refuse_big_vgan(node: BigVGANDiscriminatorNode, *, channels: int, sample_rate: int) -> NoReturn:
    """Say what to take instead.

    Raises:
        UserError: Always. No numbers exist to check its constant-Q transform against, since
            stable-audio-tools 0.0.19 cannot build it either.
    """
    raise UserError(
        "the big_vgan discriminator, which stable-audio-tools 0.0.19 cannot build, is not available"
        " here either; take dac, whose period networks are the same, or encodec"
    )
