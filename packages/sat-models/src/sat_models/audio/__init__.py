"""Audio files: length, parts of them, loudness, writing.

A crop costs what it needs: the decoder seeks to it, and only a margin beside it is decoded for the
resampler. Whatever the format, a crop equals the same samples of the file read whole.
"""

from sat_models.audio.loudness import loudness
from sat_models.audio.reading import check_channels, probe, read_audio
from sat_models.audio.source import AudioBytes, AudioInfo, AudioLike
from sat_models.audio.writing import WRITE_FORMATS, write_audio

__all__ = [
    "WRITE_FORMATS",
    "AudioBytes",
    "AudioInfo",
    "AudioLike",
    "check_channels",
    "loudness",
    "probe",
    "read_audio",
    "write_audio",
]
