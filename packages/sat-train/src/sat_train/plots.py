"""Spectrograms as pictures, without matplotlib's global state."""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from sat_models.files import replacing

RANGE_DB = 80.0


def spectrogram_db(audio: Float[Tensor, "c t"], *, size: int) -> Float[Tensor, "f l"]:
    """Power in dB of the channels' mean, 0 dB being a full-scale sine; at least `-2 * RANGE_DB`."""
    audio = audio.float()
    window = torch.hann_window(size, dtype=audio.dtype)
    spectra = torch.stft(
        audio.mean(0),
        size,
        size // 4,
        window=window,
        pad_mode="constant",
        return_complex=True,
    )
    amplitude = spectra.abs() * 2 / window.sum()
    return (20 * amplitude.clamp(min=10 ** (-RANGE_DB / 10)).log10()).clamp(max=0)


def save_spectrograms(
    path: Path,
    clips: Mapping[str, Float[Tensor, "c t"]],
    *,
    sample_rate: int,
    latents: Float[Tensor, "d l"] | None = None,
) -> None:
    """Write one picture with a spectrogram per clip, one above the other on the same scales.

    Args:
        path: A .png.
        clips: Audio by title.
        sample_rate: Hz.
        latents: Of the first clip, to be shown below all of them; none if left out.
    """
    rows = len(clips) + (latents is not None)
    figure = Figure(figsize=(9, 0.8 + 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for ax, (title, audio) in zip(axes, clips.items(), strict=False):
        image = _draw(ax, audio, sample_rate=sample_rate)
        ax.set_title(title)
    figure.colorbar(image, ax=list(axes[: len(clips)]), label="level (dB)")
    if latents is not None:
        seconds = next(iter(clips.values())).shape[-1] / sample_rate
        figure.colorbar(_draw_latents(axes[-1], latents, seconds=seconds), ax=axes[-1])
    axes[-1].set_xlabel("time (s)")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _draw(ax: Axes, audio: Float[Tensor, "c t"], *, sample_rate: int) -> AxesImage:
    # About 23 ms, so that both notes and attacks can be told apart.
    size = 2 ** max(6, round(sample_rate * 0.023).bit_length())
    level = spectrogram_db(audio, size=size)
    ax.set_ylabel("frequency (kHz)")
    return ax.imshow(
        level.numpy(),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-RANGE_DB,
        vmax=0,
        extent=(0, audio.shape[-1] / sample_rate, 0, sample_rate / 2000),
        interpolation="nearest",
    )


def _draw_latents(ax: Axes, latents: Float[Tensor, "d l"], *, seconds: float) -> AxesImage:
    latents = latents.float()
    limit = float(latents.abs().max())
    ax.set_title("latents")
    ax.set_ylabel("channel")
    return ax.imshow(
        latents.numpy(),
        origin="lower",
        aspect="auto",
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        extent=(0, seconds, -0.5, latents.shape[0] - 0.5),
        interpolation="nearest",
    )
