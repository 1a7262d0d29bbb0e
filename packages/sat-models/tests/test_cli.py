import json
import os

import pytest
import safetensors
import torch

import sat_config
from sat_models import build_model
from sat_models.checkpoint import fingerprint, load_weights, open_checkpoint
from sat_models.cli import main

CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
AUTOENCODER = {
    "encoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 6}},
    "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 3}},
    "bottleneck": {"type": "vae"},
    "latent_dim": 3,
    "downsampling_ratio": 8,
    "io_channels": 2,
}
MODEL = {
    "model_type": "autoencoder",
    "sample_rate": 8000,
    "sample_size": 64,
    "model": AUTOENCODER,
}


@pytest.fixture
def autoencoder():
    return build_model(sat_config.decode(MODEL))


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "model_config.json"
    path.write_text(json.dumps(MODEL))
    return path


@pytest.fixture
def training(tmp_path, autoencoder):
    """A training checkpoint as SAT's wrapper of an autoencoder makes it, and its average."""
    averaged = build_model(sat_config.decode(MODEL))
    state = {f"autoencoder.{name}": value for name, value in autoencoder.state_dict().items()}
    for name, value in averaged.state_dict().items():
        state[f"autoencoder_ema.ema_model.{name}"] = value
    state["discriminator.weight"] = torch.zeros(3)
    path = tmp_path / "training.ckpt"
    torch.save({"state_dict": state, "model_config": MODEL, "epoch": 3}, path)
    return path, averaged


def test_inspect_tells_what_a_training_checkpoint_holds(capsys, training, autoencoder):
    assert main(["inspect", str(training[0])]) == 0
    megabytes = training[0].stat().st_size / 1e6
    count = sum(value.numel() for value in autoencoder.state_dict().values())
    encoder = sum(value.numel() for value in autoencoder.encoder.state_dict().values())
    tensors = len(autoencoder.state_dict())
    name = fingerprint(autoencoder.state_dict())
    assert capsys.readouterr().out.splitlines() == [
        str(training[0]),
        f"  file           {megabytes:.2f} MB",
        "  configuration  autoencoder, 8000 Hz",
        f"  weights        {count:,} in {tensors} tensors, float32; {name}",
        f"    encoder      {encoder:,}",
        f"    decoder      {count - encoder:,}",
        "  averaged       also in the file; --ema takes them",
        f"  beside them    autoencoder_ema ({tensors}), discriminator (1) tensors",
    ]


def test_inspect_of_the_average_says_so(capsys, training):
    assert main(["inspect", str(training[0]), "--ema"]) == 0
    assert "  averaged       these\n" in capsys.readouterr().out


def test_inspect_compares_with_a_configuration(capsys, training, config):
    assert main(["inspect", str(training[0]), "--config", str(config)]) == 0
    assert f"fits           every name and shape of {config}" in capsys.readouterr().out


def test_inspect_of_weights_that_do_not_fit_reports_and_fails(capsys, tmp_path, training):
    other = tmp_path / "other.json"
    wider = json.loads(json.dumps(MODEL))
    wider["model"]["encoder"]["config"]["channels"] = 8
    other.write_text(json.dumps(wider))
    assert main(["inspect", str(training[0]), "--config", str(other)]) == 1
    assert "of another shape: encoder.layers.0.bias (4,), model (8,)" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
@pytest.mark.parametrize("ema", [False, True])
def test_export_writes_the_model_alone(tmp_path, training, autoencoder, suffix, ema):
    out = tmp_path / f"vae.{suffix}"
    assert main(["export", str(training[0]), str(out), *(["--ema"] if ema else [])]) == 0
    source = training[1] if ema else autoencoder
    opened = open_checkpoint(out)
    assert opened.fingerprint == fingerprint(source.state_dict())
    assert json.loads(opened.config) == MODEL
    assert not opened.set_aside


def test_export_finds_the_autoencoder_of_a_latent_model(tmp_path, autoencoder, config):
    state = {f"pretransform.model.{n}": value for n, value in autoencoder.state_dict().items()}
    torch.save({"state_dict": {"model.weight": torch.zeros(2), **state}}, tmp_path / "latent.ckpt")
    out = tmp_path / "vae.safetensors"
    words = ["export", str(tmp_path / "latent.ckpt"), str(out), "--config", str(config)]
    assert main(words) == 0
    target = build_model(sat_config.decode(MODEL))
    assert load_weights(target, open_checkpoint(out)).complete
    assert fingerprint(target.state_dict()) == fingerprint(autoencoder.state_dict())
    with safetensors.safe_open(out, framework="pt") as file:
        written = json.loads(file.metadata()["config"])
    assert sat_config.decode(written).model == sat_config.decode(MODEL).model


def test_export_replaces_nothing(capsys, tmp_path, training):
    out = tmp_path / "vae.safetensors"
    out.write_bytes(b"precious")
    assert main(["export", str(training[0]), str(out)]) == 1
    assert capsys.readouterr().err == (
        f"{out} exists already; name another file, or remove it first\n"
    )
    assert out.read_bytes() == b"precious"


def test_export_of_what_is_no_checkpoint_writes_nothing(capsys, tmp_path):
    (tmp_path / "x.ckpt").write_text("no weights")
    assert main(["export", str(tmp_path / "x.ckpt"), str(tmp_path / "y.ckpt")]) == 1
    assert "x.ckpt (10 bytes) cannot be opened" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["x.ckpt"]


def test_wrong_usage_exits_with_two():
    with pytest.raises(SystemExit) as caught:
        main(["inspect"])
    assert caught.value.code == 2
