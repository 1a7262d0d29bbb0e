import numpy as np
import pytest
import soundfile
import torch
import torchaudio.functional
from hypothesis import given, settings
from hypothesis import strategies as st

from sat_models.audio import AudioInfo, probe, read_audio, write_audio
from sat_models.errors import AudioError

RATE = 44100


def tones(frames, channels=2, rate=RATE):
    """Gliding tones with some noise: nowhere alike, so that a shift by one sample shows."""
    time = np.arange(frames) / rate
    rng = np.random.default_rng(3)
    rows = [0.4 * np.sin(2 * np.pi * (200 + 90 * c + 60 * time) * time) for c in range(channels)]
    noise = 0.05 * rng.standard_normal((channels, frames))
    return (np.stack(rows) + noise).T.astype(np.float32)


def write(path, audio, rate=RATE, **options):
    with soundfile.SoundFile(path, "w", rate, audio.shape[1], **options) as file:
        for at in range(0, len(audio), 1 << 16):
            file.write(audio[at : at + (1 << 16)])
    return path


def read(path, start=0, num_samples=10_000, sample_rate=RATE, channels=2):
    return read_audio(
        path, start=start, num_samples=num_samples, sample_rate=sample_rate, channels=channels
    )


FORMATS = {
    "wav": {},
    "flac": {},
    "aiff": {},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "mp3": {"format": "MP3", "bitrate_mode": "VARIABLE", "compression_level": 0.5},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    audio = tones(3 * RATE + 77)
    for suffix, options in FORMATS.items():
        write(folder / f"a.{suffix}", audio, **options)
    lowest = {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 0.99}
    write(folder / "low.mp3", audio, **lowest)
    write(folder / "cbr.mp3", audio, format="MP3", bitrate_mode="CONSTANT", compression_level=0.5)
    write(folder / "slow.mp3", audio[:, :1], 16000, format="MP3", compression_level=0.99)
    write(folder / "slow.ogg", tones(13 * 8000, 1, 8000), 8000, compression_level=0.99)
    write(folder / "a.opus", audio, 48000, format="OGG", subtype="OPUS")
    for rate in (22050, 48000):
        write(folder / f"{rate}.wav", audio[: 2 * rate], rate, subtype="FLOAT")
    write(folder / "44100.wav", audio[: 2 * RATE], RATE, subtype="FLOAT")
    return folder


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.ogg", "a.mp3"])
def test_probe_reads_length_rate_and_channels(folder, name):
    assert probe(folder / name) == AudioInfo(frames=3 * RATE + 77, sample_rate=RATE, channels=2)


@pytest.mark.parametrize(
    "name",
    ["a.wav", "a.flac", "a.aiff", "a.ogg", "a.mp3", "low.mp3", "slow.mp3", "slow.ogg", "a.opus"],
)
def test_part_of_a_file_equals_the_same_part_of_the_whole(folder, name):
    whole, rate = soundfile.read(folder / name, dtype="float32", always_2d=True)
    whole = torch.from_numpy(whole).T.clamp(-1, 1)
    length, channels = whole.shape[1], whole.shape[0]
    starts = [0, 1, 1151, 20_000, *range(length // 2, length - 100, 9973), length - 100, length - 1]
    for start in starts:
        part = read(folder / name, start, 3000, rate, channels)
        assert part.shape[1] == min(3000, length - start)
        torch.testing.assert_close(part, whole[:, start : start + 3000], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("source", "target"), [(44100, 48000), (48000, 44100), (44100, 22050), (22050, 44100)]
)
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_resampled_part_equals_the_same_part_of_the_resampled_whole(folder, source, target, data):
    path = folder / f"{source}.wav"
    whole = torch.from_numpy(soundfile.read(path, dtype="float32")[0]).T
    whole = torchaudio.functional.resample(whole, source, target)
    start = data.draw(st.integers(0, whole.shape[1] - 1))
    num_samples = data.draw(st.integers(1, 30_000))
    part = read(path, start, num_samples, target)
    torch.testing.assert_close(part, whole[:, start : start + num_samples], atol=1e-5, rtol=0)


def test_length_at_another_rate_is_what_reading_gives(folder):
    info = probe(folder / "a.flac")
    assert info.length_at(48000) == read(folder / "a.flac", 0, 10**6, 48000).shape[1]


def test_one_channel_is_copied_and_several_are_averaged(tmp_path):
    mono = write(tmp_path / "mono.wav", tones(500, 1), subtype="FLOAT")
    stereo = write(tmp_path / "stereo.wav", tones(500, 2), subtype="FLOAT")
    copied = read(mono)
    assert copied.shape == (2, 500)
    assert torch.equal(copied[0], copied[1])
    torch.testing.assert_close(
        read(stereo, channels=1), torch.from_numpy(tones(500).T).mean(0, keepdim=True)
    )


def test_channels_that_cannot_be_mixed_are_an_error_naming_the_file(tmp_path):
    path = write(tmp_path / "surround.wav", tones(500, 6))
    with pytest.raises(AudioError, match=r"surround\.wav: has 6 channels where 2 are wanted"):
        read(path)


def test_values_beyond_full_scale_are_clipped(tmp_path):
    path = write(tmp_path / "loud.wav", 4 * tones(500), subtype="FLOAT")
    assert read(path).abs().max() == 1


def test_values_that_are_not_finite_are_an_error(tmp_path):
    audio = tones(500)
    audio[40, 1] = np.nan
    with pytest.raises(AudioError, match=r"nan\.wav: holds values that are not finite"):
        read(write(tmp_path / "nan.wav", audio, subtype="FLOAT"))


def test_part_that_cannot_exist_is_a_value_error(folder):
    with pytest.raises(ValueError, match="got -1 and 10000"):
        read(folder / "a.wav", start=-1)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.wav", None, "no such file"),
        ("empty.flac", b"", "the file is empty"),
        ("text.wav", b"hello, this is text" * 9, "cannot be decoded: Format not recognised"),
        ("zeros.mp3", bytes(5000), "cannot be decoded"),
    ],
)
@pytest.mark.parametrize("use", [probe, read])
def test_file_without_audio_is_an_error_naming_file_and_reason(
    tmp_path, name, content, reason, use
):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        use(path)
    assert str(caught.value).startswith(f"{path}: {reason}")


def test_file_without_frames_is_an_error(tmp_path):
    path = write(tmp_path / "nothing.wav", tones(0))
    with pytest.raises(AudioError, match=r"nothing\.wav: holds no audio"):
        probe(path)


def cut(path, share, to):
    content = path.read_bytes()
    to.write_bytes(content[: int(share * len(content))])
    return to


def test_flac_that_was_cut_short_is_noticed_without_decoding_it(folder, tmp_path):
    path = cut(folder / "a.flac", 0.5, tmp_path / "half.flac")
    with pytest.raises(AudioError, match=r"half\.flac: has been cut short: .* promises 3\.00 s"):
        probe(path)
    assert read(path, 1000).shape == (2, 10_000)
    with pytest.raises(AudioError, match=r"half\.flac"):
        read(path, 2 * RATE)


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.ogg", "slow.ogg", "a.opus", "a.mp3"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.98])
def test_file_that_was_cut_short_is_noticed(folder, tmp_path, name, share):
    path = cut(folder / name, share, tmp_path / f"part.{name}")
    if name == "a.mp3" and share > 0.9:
        return  # what is missing is less than a decoder may need to start
    with pytest.raises(AudioError, match=rf"part\.{name}: (has been cut short|cannot be decoded)"):
        probe(path)


def test_ogg_cut_between_two_pages_is_noticed(folder, tmp_path):
    content = (folder / "a.ogg").read_bytes()
    path = tmp_path / "pages.ogg"
    path.write_bytes(content[: content.rindex(b"OggS")])
    with pytest.raises(AudioError, match=r"without a whole last page"):
        probe(path)


def test_wav_written_to_a_pipe_is_no_broken_file(folder, tmp_path):
    content = bytearray((folder / "a.wav").read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = content[4:8] = b"\xff" * 4
    path = tmp_path / "piped.wav"
    path.write_bytes(content)
    assert probe(path).frames == 3 * RATE + 77


def test_mp3_of_estimated_length_that_was_cut_short_gives_what_it_holds(folder, tmp_path):
    content = (folder / "cbr.mp3").read_bytes()
    begin = content.index(content[:2], content.index(b"Info"))
    path = tmp_path / "half.mp3"
    path.write_bytes(content[begin : len(content) // 2])
    frames = probe(path).frames
    assert RATE < frames < 2 * RATE
    assert read(path, frames - 100, 10_000).shape == (2, 100)
    with pytest.raises(AudioError, match=r"half\.mp3: holds no audio from 2\.50 s on"):
        read(path, 5 * RATE // 2)


def test_part_after_the_end_is_an_error(folder):
    with pytest.raises(AudioError, match=r"a\.wav: holds no audio from 4\.00 s on$"):
        read(folder / "a.wav", 4 * RATE)


def test_length_of_mp3_without_information_header_is_measured(folder, tmp_path):
    content = (folder / "cbr.mp3").read_bytes()
    header = content.index(b"Info")
    path = tmp_path / "bare.mp3"
    path.write_bytes(content[content.index(content[:2], header) :])
    assert probe(path).frames == read(path, 0, 10**6).shape[1]
    assert probe(path).frames != soundfile.info(path).frames


def test_length_of_flac_written_to_a_pipe_is_counted(folder, tmp_path):
    content = bytearray((folder / "a.flac").read_bytes())
    content[21] &= 0xF0  # the 36 bits that hold the number of samples
    content[22:26] = bytes(4)
    path = tmp_path / "piped.flac"
    path.write_bytes(content)
    assert probe(path).frames == 3 * RATE + 77
    assert torch.equal(read(path, RATE), read(folder / "a.flac", RATE))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".WAV"])
def test_written_file_reads_back(tmp_path, suffix):
    audio = torch.from_numpy(tones(2000).T)
    write_audio(tmp_path / f"a{suffix}", audio, sample_rate=8000)
    assert probe(tmp_path / f"a{suffix}") == AudioInfo(2000, 8000, 2)
    again = read(tmp_path / f"a{suffix}", sample_rate=8000)
    torch.testing.assert_close(again, audio, atol=1e-4, rtol=0)


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".mp3"])
def test_lossy_formats_are_written(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_audio(path, torch.from_numpy(tones(100_000).T), sample_rate=48000)
    assert probe(path).frames == 100_000


def test_writing_an_unknown_format_lists_the_known_ones(tmp_path):
    with pytest.raises(AudioError, match=r"cannot write '\.m4a'; expected one of \.wav, \.flac"):
        write_audio(tmp_path / "a.m4a", torch.zeros(1, 10), sample_rate=8000)


def test_failed_write_leaves_nothing_behind(tmp_path):
    with pytest.raises(AudioError, match=r"a\.opus: cannot be written"):
        write_audio(tmp_path / "a.opus", torch.zeros(1, 10), sample_rate=44100)
    assert list(tmp_path.iterdir()) == []
