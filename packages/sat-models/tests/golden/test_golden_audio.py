"""Preparation of audio against numbers that stable-audio-tools computed (see golden.py).

The recorded calls are evaluated, with our functions in place of those they name.
"""

import random
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

import golden
import pytest
import soundfile
import torch

import sat_config
from sat_config.audio.dataset import AudioDirNode, Folder
from sat_models.build import build_model
from sat_models.data import audio_dir, crops
from sat_models.data.order import Shuffled
from sat_models.prepare import fit_length, mix_channels, prepare_audio, prepare_batch

CASES = golden.cases("audio")


def prepared(audio, source_rate, sample_rate, num_samples, channels, device="cpu"):
    return prepare_audio(
        audio,
        source_rate=source_rate,
        sample_rate=sample_rate,
        num_samples=num_samples,
        channels=channels,
    )


def crop_of_a_dataset(size, sample_rate):
    """A crop of a folder that holds one file, at the place that Python's generator draws."""

    def crop(audio):
        channels, total = audio.shape
        offset = random.randint(0, total - size) if total > size else 0
        place = (offset + 0.5) / max(total - size + 1, 1)
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            soundfile.write(Path(folder, "a.wav"), audio.T.numpy(), sample_rate, subtype="FLOAT")
            patch.setattr(crops, "item_draws", lambda seed, draw, count: (place, 1.0, 0.5))
            node = AudioDirNode(datasets=(Folder(id="d", path=folder),))
            form = crops.Form(sample_rate=sample_rate, sample_size=size, channels=channels)
            found = crops.AudioCrops(
                audio_dir.find_audio(node),
                node=node,
                form=form,
                seed=0,
                training=False,
                order=Shuffled(1),
            )[0]
        whole, item = max(total, size), found.item
        shares = [item.start_sample / whole, (item.start_sample + size) / whole]
        facts = [*shares, item.seconds_start, item.seconds_total]
        return {"chunk": found.values, "facts": facts, "mask": found.padding_mask.float()}

    return crop


FUNCTIONS = {
    "set_audio_channels": lambda audio, channels: mix_channels(audio, channels=channels),
    "prepare_audio": prepared,
    "PadCrop": lambda size, randomize: lambda audio: fit_length(audio, num_samples=size),
    "PadCrop_Normalized_T": crop_of_a_dataset,
    "Mono": lambda: lambda audio: mix_channels(audio, channels=1),
    "Stereo": lambda: lambda audio: mix_channels(audio, channels=2),
    "random": SimpleNamespace(seed=random.seed),
}


def evaluate(call, inputs):
    """The results of a text like "f(a, 1); (b, 2)": a call without a name is one of the same."""
    name, results = "", []
    for part in call.split(";"):
        text = re.sub(r"\): .*|\)\s+\([^)]*\)", ")", part.strip())
        text = name + text if text.startswith("(") else text
        name = text.partition("(")[0]
        results.append(eval(text, FUNCTIONS | inputs))
    return [result for result in results if result is not None]


@pytest.mark.parametrize("case", [case for case in CASES if not case.config], ids=str)
def test_helpers_agree(case):
    for step, about in case.steps.items():
        results = evaluate(about["call"], case.inputs())
        if not isinstance(results[0], dict):
            results = [dict(zip(about["outputs"], results, strict=True))]
        case.check_all(step, results[0])


@pytest.mark.parametrize("case", [case for case in CASES if case.config], ids=str)
def test_batch_of_clips_agrees(case):
    model = build_model(sat_config.decode(case.config)).eval()
    case.load_into(model)
    rates = re.search(r"\], \[([\d, ]+)\]", case.steps["preprocess"]["call"])[1]
    audio = prepare_batch(
        list(case.inputs().values()),
        source_rates=[int(rate) for rate in rates.split(",")],
        sample_rate=model.sample_rate,
        channels=model.in_channels,
        multiple=model.hop_length,
    )
    case.check_all("preprocess", {"audio": audio})
    with torch.no_grad():
        case.check_all("encode", {"latents": model.encode(audio).latents})
