"""Encoding and decoding of long signals in overlapping chunks, for bounded memory.

Every frame is computed in one chunk and kept from that one; a chunk's edges, which see silence
in place of their neighbours, are left out. An overlap above the networks' receptive field gives
what one pass gives, to 1e-5 of the peak.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sat_models.models.autoencoder import AudioAutoencoder


@dataclass(frozen=True)
class Chunk:
    """One chunk of a sequence, in frames.

    Attributes:
        start: First frame that is computed.
        stop: Frame after the last one that is computed.
        keep_start: First frame that is kept.
        keep_stop: Frame after the last one that is kept.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def plan_chunks(frames: int, *, chunk: int, overlap: int) -> list[Chunk]:
    """Cut a sequence into chunks of equal length whose kept parts follow one another.

    The last chunk ends with the sequence, so it may overlap more than the others.

    Args:
        frames: Length of the sequence.
        chunk: Frames per chunk; a shorter sequence is one chunk.
        overlap: Frames that neighbours share; each keeps half of them.

    Raises:
        ValueError: The overlap is not below the chunk.
    """
    if not 0 <= overlap < chunk:
        raise ValueError(f"expected an overlap from 0 to {chunk - 1} frames, got {overlap}")
    last = max(frames - chunk, 0)
    starts = [*range(0, last, chunk - overlap), last]
    bounds = [0, *(start + overlap // 2 for start in starts[1:]), frames]
    return [
        Chunk(start=start, stop=min(start + chunk, frames), keep_start=first, keep_stop=end)
        for start, first, end in zip(starts, bounds[:-1], bounds[1:], strict=True)
    ]


def encode_in_chunks(
    model: AudioAutoencoder,
    audio: Float[Tensor, "b c t"],
    *,
    chunk: int,
    overlap: int,
    sample: bool = True,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b d l"]:
    """Encode audio chunk by chunk; noise is drawn per chunk.

    Args:
        model: The autoencoder.
        audio: Samples in [-1, 1]; those after the last whole frame are left out.
        chunk: Latent frames per chunk.
        overlap: Latent frames that neighbouring chunks share.
        sample: Draw from the bottleneck's distribution, if it has one, or take its mean.
        generator: Source of the draw; torch's global one if left out.
    """
    hop = model.hop_length
    kept = []
    for part in plan_chunks(audio.shape[-1] // hop, chunk=chunk, overlap=overlap):
        piece = audio[..., part.start * hop : part.stop * hop]
        latents = model.encode(piece, sample=sample, generator=generator).latents
        kept.append(latents[..., part.keep_start - part.start : part.keep_stop - part.start])
    return torch.cat(kept, dim=-1)


def features_in_chunks(
    model: AudioAutoencoder, audio: Float[Tensor, "b c t"], *, chunk: int, overlap: int
) -> Float[Tensor, "b d2 l"]:
    """What the encoder makes of audio, chunk by chunk, before the bottleneck.

    Args:
        model: The autoencoder.
        audio: Samples in [-1, 1]; those after the last whole frame are left out.
        chunk: Latent frames per chunk.
        overlap: Latent frames that neighbouring chunks share.
    """
    hop = model.hop_length
    kept = []
    for part in plan_chunks(audio.shape[-1] // hop, chunk=chunk, overlap=overlap):
        features = model.features(audio[..., part.start * hop : part.stop * hop])
        kept.append(features[..., part.keep_start - part.start : part.keep_stop - part.start])
    return torch.cat(kept, dim=-1)


def decode_in_chunks(
    model: AudioAutoencoder,
    latents: Float[Tensor, "b d l"],
    *,
    chunk: int,
    overlap: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b c t"]:
    """Decode latents chunk by chunk.

    Args:
        model: The autoencoder.
        latents: The latents.
        chunk: Latent frames per chunk.
        overlap: Latent frames that neighbouring chunks share.
        generator: Source of noise, where the bottleneck adds some; torch's global one if left out.
    """
    hop, decode = model.hop_length, model.decoder_for(latents)
    kept = []
    for part in plan_chunks(latents.shape[-1], chunk=chunk, overlap=overlap):
        audio = decode(latents[..., part.start : part.stop], generator)
        first, end = part.keep_start - part.start, part.keep_stop - part.start
        kept.append(audio[..., first * hop : end * hop])
    return torch.cat(kept, dim=-1)
