"""Writing audio files, whole or not at all."""

from pathlib import Path

import soundfile
from jaxtyping import Float
from torch import Tensor

from sat_models.audio.sndfile import reason
from sat_models.errors import AudioError
from sat_models.files import replacing

WRITE_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".aif": ("AIFF", "PCM_16"),
    ".aiff": ("AIFF", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}

_BLOCK = 1 << 16


def check_suffix(path: Path) -> None:
    """Refuse a name that says no format that can be written.

    Raises:
        AudioError: Names the formats.
    """
    if path.suffix.lower() not in WRITE_FORMATS:
        raise AudioError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'!r};"
            f" expected one of {', '.join(WRITE_FORMATS)}"
        )


def write_audio(
    path: str | Path,
    audio: Float[Tensor, "c t"],
    *,
    sample_rate: int,
    comment: str | None = None,
) -> None:
    """Write a file in the format that its suffix names; integer formats get 16 bits.

    The file appears under its name only when it is whole. Values beyond [-1, 1] are clipped.

    Args:
        path: The file.
        audio: Samples in [-1, 1].
        sample_rate: Hz.
        comment: A text that players show as the file's comment.

    Raises:
        AudioError: The suffix is unknown, or the format does not take this rate or channel count.
    """
    path = Path(path)
    check_suffix(path)
    container, encoding = WRITE_FORMATS[path.suffix.lower()]
    samples = audio.detach().to("cpu").float().clamp(-1, 1).T.contiguous().numpy()
    try:
        with (
            replacing(path) as temporary,
            soundfile.SoundFile(
                temporary,
                "w",
                samplerate=sample_rate,
                channels=audio.shape[0],
                format=container,
                subtype=encoding,
            ) as file,
        ):
            if comment is not None:
                file.comment = comment
            # In blocks, because the Vorbis encoder overflows its stack on long ones.
            for at in range(0, len(samples), _BLOCK):
                file.write(samples[at : at + _BLOCK])
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path}: cannot be written: {reason(error)}") from error
