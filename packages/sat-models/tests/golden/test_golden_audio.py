"""Preparation of audio against numbers that stable-audio-tools computed (see golden.py)."""

import importlib.util
import random
from pathlib import Path

import pytest
import torch

import sat_config
from sat_models.audio import AudioInfo
from sat_models.build import build_model
from sat_models.data import audio_dir
from sat_models.prepare import fit_length, mix_channels, prepare_audio, prepare_batch

HERE = Path(__file__).parent
CASES = HERE / "cases" / "audio"

spec = importlib.util.spec_from_file_location("golden", HERE / "golden.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)


@pytest.fixture(scope="module")
def helpers():
    return golden.load(CASES / "audio_helpers.json")


@pytest.fixture(scope="module")
def clips(helpers):
    return helpers.inputs()


def test_channels(helpers, clips):
    stereo, three = clips["stereo"], clips["three"]
    helpers.check_all(
        "set_channels",
        {
            "mono": mix_channels(stereo[None], channels=1),
            "stereo_from_mono": mix_channels(stereo[None, :1], channels=2),
            "from_three": mix_channels(three[None], channels=2),
        },
    )
    helpers.check_all(
        "layout",
        {
            "mono": mix_channels(stereo, channels=1),
            "stereo": mix_channels(stereo[:1], channels=2),
            "stereo_of_three": mix_channels(three, channels=2),
        },
    )


def test_length(helpers, clips):
    stereo = clips["stereo"]
    found = {"cropped": fit_length(stereo, num_samples=300)}
    helpers.check_all("pad_crop", {**found, "padded": fit_length(stereo, num_samples=450)})


def test_rate_length_and_channels(helpers, clips):
    stereo = clips["stereo"]

    def prepared(audio, source_rate, sample_rate, num_samples, channels):
        return prepare_audio(
            audio,
            source_rate=source_rate,
            sample_rate=sample_rate,
            num_samples=num_samples,
            channels=channels,
        )

    helpers.check_all(
        "prepare",
        {
            "same_rate": prepared(stereo, 8000, 8000, 500, 1),
            "up": prepared(stereo, 8000, 16000, 900, 2),
            "down": prepared(stereo[:1], 44100, 8000, 90, 2),
        },
    )


@pytest.mark.parametrize(("step", "size"), [("crop_normalized", 100), ("pad_normalized", 600)])
def test_crops_of_a_dataset(helpers, clips, monkeypatch, step, size):
    stereo, total = clips["stereo"], clips["stereo"].shape[-1]
    generator = random.Random(61)
    offset = generator.randint(0, total - size) if total > size else 0
    place = (offset + 0.5) / max(total - size + 1, 1)
    monkeypatch.setattr(audio_dir, "item_draws", lambda seed, draw, count: (place, 1.0))
    monkeypatch.setattr(
        audio_dir,
        "read_audio",
        lambda path, start, num_samples, **_: stereo[:, start : start + num_samples],
    )
    dataset = audio_dir.AudioDirDataset(
        [(audio_dir.AudioFile("d", Path("/"), "a.wav"), AudioInfo(total, 80, 2))],
        sample_rate=80,
        sample_size=size,
        channels=2,
        seed=0,
        random_crop=True,
        phase_flip=0.0,
    )
    crop = dataset[0]
    whole = max(total, size)
    facts = [
        crop.item.start_sample / whole,
        (crop.item.start_sample + size) / whole,
        crop.item.seconds_start,
        crop.item.seconds_total,
    ]
    mask = crop.padding_mask.float()
    helpers.check_all(step, {"chunk": crop.values, "facts": facts, "mask": mask})


def test_batch_of_clips():
    case = golden.load(CASES / "audio_preprocess_list.json")
    model = build_model(sat_config.decode(case.config))
    case.load_into(model)
    clips = case.inputs()
    audio = prepare_batch(
        [clips["a0"], clips["a1"], clips["a2"]],
        source_rates=[8000, 16000, 6000],
        sample_rate=model.sample_rate,
        channels=model.in_channels,
        multiple=model.hop_length,
    )
    case.check_all("preprocess", {"audio": audio})
    with torch.no_grad():
        case.check_all("encode", {"latents": model.eval().encode(audio).latents})
