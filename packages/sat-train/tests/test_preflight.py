import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import sat_config
from sat_config import UserError
from sat_train import fit
from sat_train.cli import main
from sat_train.fit import check
from sat_train.memory import LiveMemory, Shapes
from sat_train.preflight import PreflightError


def decode(document, **changes):
    return sat_config.decode({**document, "preflight": True, **changes})


@pytest.fixture
def codec(autoencoder_document):
    return str(fit(sat_config.decode({**autoencoder_document, "max_steps": 1})).checkpoint)


def test_check_says_what_was_found_and_writes_nothing(autoencoder_document, tmp_path, capsys):
    file = tmp_path / "experiment.toml"
    file.write_text(sat_config.dumps(decode(autoencoder_document)))
    assert main(["check", str(file)]) == 0
    out = capsys.readouterr().out
    assert "4 of 4 items from all over the dataset can be read" in out
    assert "step tried  autoencoder: loss " in out
    assert "GB for a step, of " in out
    assert out.endswith("the first step would work\n")
    assert not (tmp_path / "runs").exists()


def test_preflight_changes_nothing(autoencoder_document):
    runs = [
        fit(decode(autoencoder_document, name=name, preflight=name == "with", max_steps=2))
        for name in ("with", "without")
    ]
    first, second = (torch.load(run.checkpoint, weights_only=True)["state_dict"] for run in runs)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_pretransform_is_tried(diffusion_document, codec, capsys):
    check(decode(diffusion_document, pretransform_ckpt_path=codec))
    out = capsys.readouterr().out
    assert "pretransform encoded and decoded with an error of " in out
    assert "NO BETTER THAN SILENCE" in out  # it was trained for one step


def test_damaged_pretransform_is_refused(diffusion_document, codec):
    content = torch.load(codec, weights_only=True)
    name = next(name for name in content["state_dict"] if "decoder" in name and "bias" in name)
    content["state_dict"][name][:] = float("nan")
    torch.save(content, codec)
    with pytest.raises(UserError, match="decodes to numbers that are not finite"):
        check(decode(diffusion_document, pretransform_ckpt_path=codec))


def test_random_pretransform_is_refused_unless_allowed(diffusion_document, capsys):
    with pytest.raises(UserError, match="allow_random_pretransform"):
        check(decode(diffusion_document))
    check(decode(diffusion_document, allow_random_pretransform=True))
    assert "the pretransform's are random" in capsys.readouterr().out


def test_pretransform_that_is_a_formula_needs_no_weights(autoencoder_document, capsys):
    model = autoencoder_document["model"]
    bands = {"type": "pqmf", "config": {"channels": 2, "num_bands": 2, "attenuation": 50}}
    coder = {"channels": 2, "c_mults": [1, 1], "strides": [2, 2]}
    model["pretransform"] = bands
    model["encoder"]["config"] = {**coder, "in_channels": 4, "latent_dim": 6}
    model["decoder"]["config"] = {**coder, "out_channels": 4, "latent_dim": 3}
    check(decode(autoencoder_document))
    out = capsys.readouterr().out
    assert "pretransform encoded and decoded with an error of " in out
    assert "random" not in out


def test_memory_is_estimated_though_numbers_are_looked_at(autoencoder_document, capsys):
    mel = {"fft_size": 256, "hop_size": 64, "win_length": 256, "n_mels": 20}
    autoencoder_document["training"]["eval_loss_configs"] = {"mel": mel}
    check(decode(autoencoder_document))
    assert "GB for a step" in capsys.readouterr().out


def test_loss_that_is_not_finite_is_refused_with_its_files(autoencoder_document, tmp_path):
    autoencoder_document["training"]["loss_configs"]["time"]["weights"]["l1"] = 1e39
    with pytest.raises(PreflightError, match=r"l1 = inf.*train/tune 0\.wav"):
        fit(decode(autoencoder_document))
    assert not (tmp_path / "runs").exists()


def test_silent_item_is_named(autoencoder_document, clips, capsys):
    path = clips / "train" / "tune 2.wav"
    soundfile.write(path, np.zeros((1600, 2)), 8000)
    check(decode(autoencoder_document))
    assert f"{path}: is silent" in capsys.readouterr().out


def test_a_family_without_checks_of_its_own_is_tried_too(line_document, capsys):
    check(decode(line_document))
    out = capsys.readouterr().out
    assert "data tried  a batch read" in out
    assert "step tried  line: loss " in out


def test_live_memory_counts_what_is_alive():
    with LiveMemory() as live:
        first = torch.zeros(1000)
        second = first + 1
        view = second[:10]
        del first
        third = second * 2
        assert live.current == 8000
        assert live.peak == 8000
        del second, third
        assert live.current == 4000
        del view
    assert live.current == 0


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_copies_of_a_model_without_contents_share_its_mode():
    with Shapes():
        model = torch.nn.Linear(2, 2)
        duplicate = copy.deepcopy(model)
    assert duplicate.weight is not model.weight
    assert duplicate.weight.fake_mode is model.weight.fake_mode


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_estimate_is_near_what_a_real_step_takes(tmp_path):
    script = Path(__file__).with_name("memory_of_a_step.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        # Freed memory goes back at once, so that each model is measured for itself.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [each["model"] for each in found] == ["vae", "transformer", "unet"]
    for each in found:
        assert each["estimate"] == pytest.approx(each["real"], rel=0.2), each
