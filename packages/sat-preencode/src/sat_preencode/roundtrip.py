"""Latents turned back into audio and compared with what they were made from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

import sat_config
from sat_models.audio import read_audio
from sat_models.models.chunks import decode_in_chunks
from sat_preencode.checks import preencode_table
from sat_preencode.encoding import Encoder, load_encoder
from sat_preencode.errors import StoreError
from sat_preencode.folders import as_floats, stored_metadata, stored_values
from sat_preencode.progress import Reporter
from sat_preencode.records import Entry, read_folder
from sat_preencode.settings import Details


@dataclass(frozen=True)
class RoundTrip:
    """How near an item's latents are to its audio.

    Attributes:
        id: The item.
        error_db: Level of the difference between decoded latents and the source, against the
            source's, in dB: lower is better.
    """

    id: str
    error_db: float


def decode_some(folder: Path, *, count: int, reporter: Reporter) -> Iterator[RoundTrip]:
    """Decode items that lie evenly over a finished folder, with the weights that made them.

    Raises:
        StoreError: The folder is not finished, or the weights are others by now.
        UserError: The weights or a source cannot be read.
    """
    details, entries = read_folder(folder)
    experiment, table = preencode_table(sat_config.decode(details.config))
    encoder = load_encoder(experiment, table, reporter=reporter)
    if encoder.settings.autoencoder_fingerprint != details.autoencoder_fingerprint:
        raise StoreError(
            f"{folder} was made with weights {details.autoencoder_fingerprint}, and"
            f" {details.checkpoint} has {encoder.settings.autoencoder_fingerprint} by now"
        )
    chosen = {round(at) for at in np.linspace(0, len(entries) - 1, min(count, len(entries)))}
    for number in sorted(chosen):
        yield _compare(folder, entries[number], encoder, details)


def _compare(folder: Path, entry: Entry, encoder: Encoder, details: Details) -> RoundTrip:
    sidecar = msgspec.json.decode(stored_metadata(folder, entry), type=dict[str, Any])
    source = read_audio(
        sidecar["path"],
        start=entry.start_sample,
        num_samples=entry.num_samples,
        sample_rate=encoder.settings.sample_rate,
        channels=encoder.settings.channels,
    )
    values = as_floats(stored_values(folder, entry), entry, folder=folder, details=details)
    decoded = decode_stored(torch.from_numpy(values)[None], encoder)
    difference = decoded[0].float().cpu()[:, : source.shape[1]] - source
    return RoundTrip(entry.id, 10 * math.log10(_power(difference) / max(_power(source), 1e-20)))


def decode_stored(values: Shaped[Tensor, "1 d l"], encoder: Encoder) -> Float[Tensor, "1 c t"]:
    """The audio of an item: of latents in float32, in windows where whole files are; of codes."""
    model, settings = encoder.autoencoder, encoder.settings
    with torch.inference_mode():
        if settings.tokens:
            return model.decode_tokens(values.long().to(encoder.device))
        latents = values.chunk(2, dim=1)[0] if settings.latent == "mean_scale" else values
        return decode_in_chunks(
            model,
            latents.to(encoder.device, encoder.arithmetic.stored),
            chunk=settings.sample_size // model.hop_length,
            overlap=settings.window_overlap or 0,
        )


def _power(audio: Float[Tensor, "c t"]) -> float:
    return max(audio.square().mean().item(), 1e-20)
