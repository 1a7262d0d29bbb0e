"""Conditions of audio, which the `[inference]` table and the command name by files."""

import pytest
import soundfile
import tiny_models
import torch
from tiny_models import SAMPLE_RATE, SAMPLE_SIZE, conditional

import sat_config
from sat_config.audio.inference import Inference
from sat_models.audio import write_audio
from sat_models.checkpoint import save_checkpoint
from sat_models.cli import main
from sat_models.errors import GenerationError
from sat_models.generation import generate
from sat_models.generation.metadata import Wanted

OWN = {
    "pretransform_config": {"type": "autoencoder", "config": tiny_models.coder()},
    "sample_rate": SAMPLE_RATE,
}
AUDIO = {
    "melody": {"type": "pretransform", "config": OWN},
    "mix": {"type": "source_mix", "config": {**OWN, "source_keys": ["drums", "bass"]}},
}


def model_with(name, **options):
    node = {"id": name, **AUDIO[name]}
    width = {"melody": 3, "mix": 8}[name]
    node["config"] = {**node["config"], "output_dim": width, **options}
    wanted = {"cond_dim": 8, "configs": [*tiny_models.CONDITIONING["configs"], node]}
    ids = {**tiny_models.IDS, "input_concat_ids": [name]}
    return conditional(ids=ids, conditioning=wanted, input_concat_dim=width)


def run(model, **conditions):
    entry = {"prompt": "jazz", **conditions}
    wanted = Inference(steps=2, seed=1, conditioning=(entry,))
    return generate(model, wanted, sample_size=SAMPLE_SIZE).audio


@pytest.fixture
def clips(tmp_path):
    """Two files, shorter and longer than a clip, at another rate, one of them mono."""
    names = []
    for number, (channels, samples) in enumerate([(1, 30), (2, 400)]):
        names.append(str(tmp_path / f"{number}.wav"))
        audio = 0.5 * torch.rand(channels, samples)
        write_audio(names[-1], audio, sample_rate=2 * SAMPLE_RATE)
    return names


def test_a_file_steers_a_model_that_wants_audio(clips):
    model = tiny_models.build("diffusion_cond", model_with("melody"))
    one, other = (run(model, melody=clip) for clip in clips)
    assert not torch.equal(one, other)
    assert torch.equal(one, run(model, melody=clips[0]))


def test_files_steer_a_mix_and_a_source_may_be_missing(clips):
    model = tiny_models.build("diffusion_cond", model_with("mix"))
    tables = ({"drums": clips[0]}, {"bass": clips[0]}, {"drums": clips[0], "bass": clips[1]})
    results = [run(model, mix=table) for table in tables]
    assert not torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_of_a_file_the_beginning_is_shown_and_silence_behind_it(clips):
    model = tiny_models.build("diffusion_cond", model_with("melody"))
    wanted = Wanted(model.conditioner, SAMPLE_SIZE - 1, SAMPLE_RATE)
    (entry,) = wanted.of_clips([{"prompt": "jazz", "melody": clips[0]}], count=1)
    assert entry["melody"].shape == (2, SAMPLE_SIZE)  # whole frames of 8 samples
    assert entry["melody"][:, :12].abs().min() > 0
    assert not entry["melody"][:, 16:].any()
    torch.testing.assert_close(entry["melody"][0], entry["melody"][1])
    assert entry["seconds_total"] == (SAMPLE_SIZE - 1) / SAMPLE_RATE


def test_negative_conditions_may_name_files_too(clips):
    model = tiny_models.build("diffusion_cond", model_with("melody"))
    seen = []
    model.conditioner.register_forward_pre_hook(lambda module, args: seen.append(args[0][0]))
    entry = {"prompt": "jazz", "melody": clips[0]}
    away = ({"melody": clips[1]},)
    wanted = Inference(steps=1, seed=1, conditioning=(entry,), negative_conditioning=away)
    generate(model, wanted, sample_size=SAMPLE_SIZE)
    assert not torch.equal(seen[0]["melody"], seen[1]["melody"])
    assert seen[1]["prompt"] == "jazz"


@pytest.mark.parametrize(
    ("name", "options", "value", "message"),
    [
        ("melody", {}, "gone.wav", r"inference\.conditioning, 'melody': .*gone\.wav"),
        ("melody", {}, 3, "'melody': expected the name of an audio file, got 3"),
        ("mix", {}, "0.wav", "'mix': expected a table of sources, got str"),
        ("mix", {}, {"dums": "0.wav"}, "'dums' is no source; there are 'drums', 'bass'"),
        ("mix", {"pre_encoded": True}, {"drums": "0.npy"}, "are latents .* no file name gives"),
    ],
)
def test_what_names_no_audio_is_refused_in_words(name, options, value, message):
    model = tiny_models.build("diffusion_cond", model_with(name, **options))
    with pytest.raises(GenerationError, match=message):
        run(model, **{name: value})


def test_the_command_takes_other_conditions_files_included(tmp_path, clips, capsys):
    document = tiny_models.document("diffusion_cond", model_with("melody"))
    experiment = sat_config.decode(document)
    path = tmp_path / "model.safetensors"
    model = tiny_models.build("diffusion_cond", model_with("melody"))
    save_checkpoint(path, model, config=sat_config.dumps(experiment, "json"))
    words = ["generate", str(path), "--prompt", "jazz", "--steps", "2", "--seed", "1"]
    given = ["--condition", f"melody={clips[0]!r}", "--condition", "seconds_total=30"]
    assert main([*words, *given, "--out", str(tmp_path / "out.wav")]) == 0
    assert soundfile.info(tmp_path / "out.wav").frames == SAMPLE_SIZE
    capsys.readouterr()
    for word, said in {
        "melody": "--condition 'melody': expected ID=VALUE",
        "melody=": "--condition 'melody=': there is no value after '='",
        "melody=gone.wav": "gone.wav",
        "melodie=gone.wav": "'melodie', which is no condition of this model",
    }.items():
        assert main([*words, "--condition", word, "--out", str(tmp_path / "no.wav")]) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "no.wav").exists()
