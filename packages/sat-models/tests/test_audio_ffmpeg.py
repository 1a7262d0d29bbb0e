"""What libsndfile does not know is read by FFmpeg, through an extra."""

import logging
import sys

import numpy as np
import pytest
import torch

from sat_models.audio import AudioBytes, probe, read_audio
from sat_models.audio.reading import _note_choice
from sat_models.errors import AudioError

av = pytest.importorskip("av")

RATE = 22_050
FORMATS = {"a.m4a": "aac", "a.aac": "aac", "a.wma": "wmav2", "a.mka": "libopus", "alac.m4a": "alac"}


def encode(path, codec, *, seconds=8, rate=RATE):
    rate = 48_000 if codec == "libopus" else rate
    time = np.arange(seconds * rate) / rate
    glide = np.sin(2 * np.pi * (200 + 100 * time) * time)
    audio = (0.4 * np.stack([glide, np.roll(glide, 77)])).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(audio, format="fltp", layout="stereo")
        frame.rate = rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="stereo", rate=rate, frame_size=1024
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return rate, audio


def read(source, start, count, rate):
    return read_audio(source, start=start, num_samples=count, sample_rate=rate, channels=2)


@pytest.mark.parametrize("name", FORMATS)
def test_part_equals_the_same_part_of_the_whole(tmp_path, name):
    rate, audio = encode(tmp_path / name, FORMATS[name])
    frames = probe(tmp_path / name).frames
    assert abs(frames - audio.shape[1]) < 4096
    whole = read(tmp_path / name, 0, frames, rate)
    assert whole.shape == (2, frames)
    for start in (0, 5_000, 3 * rate + 17, frames - 1_000):
        part = read(tmp_path / name, start, 1_000, rate)
        torch.testing.assert_close(part, whole[:, start : start + 1_000], atol=1e-4, rtol=0)


def test_lossless_samples_come_back_and_so_do_bytes_in_memory(tmp_path):
    rate, audio = encode(tmp_path / "alac.m4a", "alac")
    source = AudioBytes("x/alac.m4a", (tmp_path / "alac.m4a").read_bytes())
    found = read(source, 1_000, 5_000, rate)
    np.testing.assert_allclose(found.numpy(), audio[:, 1_000:6_000], atol=2e-4)


def test_choice_of_the_decoder_is_logged_once(tmp_path, caplog):
    encode(tmp_path / "a.m4a", "aac", seconds=1)
    _note_choice.cache_clear()
    with caplog.at_level(logging.INFO):
        probe(tmp_path / "a.m4a")
        probe(tmp_path / "a.m4a")
    assert [record.message for record in caplog.records] == [
        f"files ending in .m4a are read by FFmpeg (PyAV {av.__version__}, aac):"
        " libsndfile does not know them"
    ]


def test_without_the_extra_the_message_names_it(tmp_path, monkeypatch):
    encode(tmp_path / "a.m4a", "aac", seconds=1)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"a.m4a: cannot be decoded: .*sat-models\[ffmpeg\]"):
        probe(tmp_path / "a.m4a")
