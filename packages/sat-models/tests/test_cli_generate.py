import json

import numpy as np
import pytest
import soundfile
import tiny_models
import torch

import sat_config
from sat_models.audio import write_audio
from sat_models.checkpoint import fingerprint, save_checkpoint
from sat_models.cli import main
from sat_models.cli.generate import config_fingerprint

SECONDS = "0.01"


def checkpoint(folder, model_type):
    path, model = folder / f"{model_type}.safetensors", tiny_models.build(model_type)
    experiment = sat_config.decode(tiny_models.document(model_type))
    save_checkpoint(path, model, config=sat_config.dumps(experiment, "json"))
    return path, model, experiment


def run(path, out, *words):
    return main(["generate", str(path), "--out", str(out), "--seconds", SECONDS, *words])


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_clip_is_written_with_what_it_takes_to_make_it_again(tmp_path, capsys, suffix):
    path, model, experiment = checkpoint(tmp_path, "diffusion_cond")
    out = tmp_path / f"out.{suffix}"
    assert run(path, out, "--prompt", "jazz", "--steps", "3", "--seed", "7") == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [f"{out}: 0.01 s at 8000 Hz", "  seed 7"]
    assert shown.err == "step 3 of 3\n"
    with soundfile.SoundFile(out) as file:
        facts, audio = json.loads(file.comment), file.read()
    assert audio.shape == (80, 2)
    assert np.abs(audio).max() > 0
    assert facts["seed"] == 7
    assert facts["weights"] == fingerprint(model.state_dict())
    assert facts["config"] == config_fingerprint(experiment)
    assert facts["inference"]["conditioning"] == [{"prompt": "jazz"}]
    assert facts["inference"]["steps"] == 3

    again = tmp_path / f"again.{suffix}"
    assert run(path, again, "--prompt", "jazz", "--steps", "3", "--seed", "7") == 0
    assert np.array_equal(soundfile.read(again)[0], audio)


@pytest.mark.parametrize("model_type", list(tiny_models.MODELS))
def test_every_type_generates(tmp_path, model_type):
    path, _, _ = checkpoint(tmp_path, model_type)
    clip = tmp_path / "in.wav"
    write_audio(clip, 0.5 * torch.rand(2, 40), sample_rate=8000)
    words = [] if model_type == "lm" else ["--steps", "2"]
    if model_type in ("diffusion_cond", "diffusion_cond_inpaint", "lm"):
        words += ["--prompt", "rock"]
    if model_type == "diffusion_autoencoder":
        words += ["--init-audio", str(clip)]
    if model_type == "diffusion_cond_inpaint":
        words += ["--inpaint-audio", str(clip), "--inpaint-start", "0", "--inpaint-end", "0.003"]
    assert run(path, tmp_path / "out.wav", *words) == 0
    assert soundfile.info(tmp_path / "out.wav").frames == 80


def test_several_clips_get_numbers(tmp_path, capsys):
    path, _, _ = checkpoint(tmp_path, "diffusion_cond")
    words = ["-p", "jazz", "-p", "rock", "--override", "inference.steps=2"]
    assert run(path, tmp_path / "out.wav", *words) == 0
    one, other = (soundfile.read(tmp_path / f"out-{number}.wav")[0] for number in (1, 2))
    assert not np.array_equal(one, other)
    assert not (tmp_path / "out.wav").exists()
    assert run(path, tmp_path / "out.wav", *words) == 1
    assert "out-1.wav exists already" in capsys.readouterr().err


def test_negative_prompts_change_the_clip(tmp_path):
    path, _, _ = checkpoint(tmp_path, "diffusion_cond")
    words = ["--prompt", "jazz", "--seed", "1", "--steps", "2"]
    run(path, tmp_path / "one.wav", *words)
    run(path, tmp_path / "other.wav", *words, "--negative-prompt", "rock")
    one, other = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("one", "other"))
    assert not np.array_equal(one, other)


def test_the_configuration_may_lie_beside_the_weights(tmp_path, capsys):
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": tiny_models.build("diffusion_uncond").state_dict()}, path)
    assert run(path, tmp_path / "out.wav") == 1
    assert "holds no configuration: name the model" in capsys.readouterr().err
    config = tmp_path / "model.json"
    config.write_text(json.dumps(tiny_models.document("diffusion_uncond")))
    assert run(path, tmp_path / "out.wav", "--config", str(config), "--steps", "2") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "none"], "inference.steps"),
        (["--prompt", "jazz", "--inpaint-start", "1"], "a region to make anew has both"),
        ([], "the model wants to know 'prompt' of a clip"),
        (["--prompt", "jazz", "--device", "abacus"], "--device abacus: cannot be used"),
        (["--prompt", "jazz", "--sampler", "euler"], "sampler 'euler' is not for a model"),
    ],
)
def test_mistakes_are_told(tmp_path, capsys, words, message):
    path, _, _ = checkpoint(tmp_path, "diffusion_cond")
    assert run(path, tmp_path / "out.wav", *words) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()


def test_unknown_formats_are_refused_before_anything_is_made(tmp_path, capsys):
    path, _, _ = checkpoint(tmp_path, "diffusion_uncond")
    assert run(path, tmp_path / "out.xyz") == 1
    assert "cannot write '.xyz'" in capsys.readouterr().err


def test_the_fingerprint_of_a_configuration_knows_no_paths():
    one = sat_config.decode(tiny_models.document("diffusion_cond"))
    other = sat_config.decode(tiny_models.document("diffusion_cond", name="elsewhere", seed=3))
    assert config_fingerprint(one) == config_fingerprint(other)
    wider = tiny_models.conditional(depth=2)
    assert config_fingerprint(one) != config_fingerprint(
        sat_config.decode(tiny_models.document("diffusion_cond", wider))
    )
