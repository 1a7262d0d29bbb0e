"""What an autoencoder learns from a teacher whose latents it is to share."""

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.experiment import AudioExperiment
from sat_config.errors import UserError
from sat_models.build import build_model
from sat_models.checkpoint import load_weights, open_checkpoint
from sat_models.losses.pointwise import l2_distance
from sat_models.models.autoencoder import AudioAutoencoder
from sat_train.methods.reconstruction import ReconstructionLosses, Terms, same_length

SHARE = 0.25
"""Weight of each term in shares of the spectral loss's."""


def load_teacher(document: AudioExperiment, checkpoint: str) -> AudioAutoencoder:
    """Build a teacher with its weights, frozen.

    Raises:
        UserError: It is no autoencoder, or its weights do not fit.
    """
    teacher = build_model(document)
    if not isinstance(teacher, AudioAutoencoder):
        raise UserError("training.teacher_model is no autoencoder, and only one can teach another")
    load_weights(teacher, open_checkpoint(checkpoint))
    return teacher.requires_grad_(False).eval()


def distillation_terms(
    losses: ReconstructionLosses,
    *,
    student: AudioAutoencoder,
    teacher: AudioAutoencoder,
    source: Float[Tensor, "b c t"],
    audio: Float[Tensor, "b c t"],
    latents: Float[Tensor, "b d l"],
    decoded: Float[Tensor, "b c t"],
) -> Terms:
    """Five terms of a quarter of the spectral weight each, in place of the spectral loss.

    The latents should be the teacher's; the reconstruction should be right, and be the teacher's;
    each one's decoder should understand the other's latents. Deviations from SAT: the last two have
    gradients (there they are computed without, and change nothing), and the teacher's latents are
    their mean, not a draw.

    Args:
        losses: Those of the student.
        student: What learns.
        teacher: What it learns from.
        source: What both encode.
        audio: What decoding should give.
        latents: The student's.
        decoded: What the student decodes from them.
    """
    with torch.no_grad():
        taught = teacher.encode(source, sample=False).latents
        taught_audio = teacher.decode(taught)
    spectral = losses.spectral
    terms = {
        "latent_distillation": l2_distance(latents, taught),
        "mrstft": spectral(*_floats(audio, decoded)),
        "mrstft_distillation": spectral(*_floats(taught_audio, decoded)),
        "mrstft_teacher_decodes": spectral(*_floats(audio, teacher.decode(latents))),
        "mrstft_teacher_encodes": spectral(*_floats(audio, student.decode(taught))),
    }
    weighted = SHARE * losses.weigh("mrstft", torch.stack(list(terms.values())))
    return dict(zip(terms, weighted.unbind(), strict=True))


def _floats(audio: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
    return same_length(audio.float(), decoded.float())
