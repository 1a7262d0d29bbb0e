"""What windows do to whole files: errors of latents and of decoded audio at joins and elsewhere.

    python tools/window_joins.py LATENTS [--items N] [--picture PICTURE.png]

LATENTS is a finished folder of whole files (`preencode.whole_files`, `latent = "mean"`), whose
weights and sources are still where they were. Each item is also encoded in one pass; then both are
decoded. The joins are the frames on both sides of where one window's part ends and the next begins.
The picture shows one item: its spectrogram, that of its decoded latents, and the joins.
"""

import argparse
from pathlib import Path

import msgspec
import torch
from torch import Tensor

import sat_config
import sat_models.builtin  # noqa: F401 - builders, where the package is not installed but on a path
from sat_models.audio import read_audio
from sat_preencode.checks import preencode_table
from sat_preencode.encoding import Encoder, load_encoder
from sat_preencode.folders import as_floats, stored_metadata, stored_values
from sat_preencode.progress import Reporter
from sat_preencode.records import read_folder
from sat_preencode.roundtrip import decode_stored
from sat_preencode.windows import Cutting


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, help="only so many")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    details, entries = read_folder(arguments.folder)
    experiment, table = preencode_table(sat_config.decode(details.config))
    encoder = load_encoder(experiment, table, reporter=Reporter())
    print(
        "| file | seconds | joins | latents, joins | latents, rest | audio, joins | audio, rest |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for entry in entries[: arguments.items]:
        facts = msgspec.json.decode(
            stored_metadata(arguments.folder, entry), type=dict[str, object]
        )
        source = read_audio(
            str(facts["path"]),
            start=0,
            num_samples=entry.num_samples,
            sample_rate=details.sample_rate,
            channels=encoder.settings.channels,
        )
        content = stored_values(arguments.folder, entry)
        values = as_floats(content, entry, folder=arguments.folder, details=details)
        joins = joins_of(encoder, entry.frames)
        figures, decoded = compare(encoder, source, torch.from_numpy(values), joins)
        seconds = entry.num_samples / details.sample_rate
        print(f"| {entry.relpath} | {seconds:.1f} | {len(joins)} | {' | '.join(figures)} |")
    if arguments.picture:
        draw(arguments.picture, source, decoded, joins, encoder)


def joins_of(encoder: Encoder, frames: int) -> list[int]:
    """The first frame of each window's part but the first."""
    settings = encoder.settings
    cutting = Cutting(
        sample_size=settings.sample_size,
        hop_length=encoder.autoencoder.hop_length,
        whole=True,
        overlap=settings.window_overlap or 0,
    )
    return [window.keep_start for window in cutting.windows(frames)][1:]


def compare(
    encoder: Encoder, source: Tensor, values: Tensor, joins: list[int]
) -> tuple[list[str], Tensor]:
    """Figures of an item, and its decoded audio."""
    hop = encoder.autoencoder.hop_length
    padded = torch.nn.functional.pad(source, (0, values.shape[1] * hop - source.shape[1]))
    with torch.inference_mode():
        once = encoder.autoencoder.encode(padded[None], sample=False).latents[0]
    decoded = decode_stored(values[None], encoder)[0]
    near = torch.zeros(values.shape[1], dtype=torch.bool)
    for join in joins:
        near[join - 1 : join + 1] = True
    scale = once.square().mean()
    latents = (values - once).square().mean(dim=0) / scale
    errors = (decoded - padded).square().reshape(decoded.shape[0], -1, hop).mean(dim=(0, 2))
    levels = padded.square().reshape(padded.shape[0], -1, hop).mean(dim=(0, 2))
    figures = [in_db(latents[part].mean()) for part in (near, ~near)]
    figures += [in_db(errors[part].mean() / levels[part].mean()) for part in (near, ~near)]
    return figures, decoded


def in_db(power: Tensor) -> str:
    """A ratio of powers."""
    return f"{10 * torch.log10(power.clamp(min=1e-20)).item():.1f} dB"


def draw(path: Path, source: Tensor, decoded: Tensor, joins: list[int], encoder: Encoder) -> None:
    """Spectrograms of the source and of what was decoded, with the joins."""
    from matplotlib.figure import Figure

    rate, hop = encoder.settings.sample_rate, encoder.autoencoder.hop_length
    figure = Figure(figsize=(11, 6), layout="constrained")
    for axes, (title, audio) in zip(
        figure.subplots(2, 1, sharex=True),
        [("source", source), ("encoded in windows and decoded; joins in white", decoded)],
        strict=True,
    ):
        axes.specgram(audio.mean(dim=0).numpy(), NFFT=2048, Fs=rate, noverlap=1024, vmin=-140)
        axes.set(title=title, ylabel="Hz")
    for join in joins:
        axes.axvline(join * hop / rate, color="white", linewidth=0.8, ymin=0.9)
    axes.set(xlabel="seconds", xlim=(0, source.shape[1] / rate))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
