import json
import logging
import pathlib
import re
import shlex

import pytest
import torch

import sat_config
from sat_config.cli import main as sat_config_main
from sat_train import fit
from sat_train.cli import main

README = pathlib.Path(__file__).parents[1] / "README.md"
QUICK = ("accelerator=cpu", "batch_size=32", "val_every=0", "checkpoint_every=1000")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])


def train(layers, model, data, *words):
    files = [layers / f"models/{model}_base.yaml", layers / f"data/{data}.yaml"]
    files.append(layers / "training/fast_dev.yaml")
    experiment = sat_config.load(files[0], [*QUICK, *words], files[1:])
    return fit(experiment)


SMALL = {
    "lstm": ("hidden_size=32", "num_layers=1", "dropout=0.0"),
    "xlstm": ("embedding_dim=16", "num_blocks=2", "slstm_at=[1]", "dropout=0.0"),
    "transformer": ("d_model=32", "num_layers=1", "ff_dim=64", "dropout=0.0"),
}
LONG_ENOUGH = {
    "lstm": ("training.epochs=10", "training.learning_rate=5e-3"),
    "xlstm": ("training.epochs=9", "training.learning_rate=5e-3"),
    "transformer": ("training.epochs=16", "training.learning_rate=3e-3", "batch_size=16"),
}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("model", SMALL)
def test_forecast_beats_nothing_changes(layers, model, seed):
    words = [*(f"model.{model}.{word}" for word in SMALL[model]), *LONG_ENOUGH[model]]
    result = train(layers, model, "single", *words, f"seed={seed}", "gradient_clip_val=1")
    assert result.metrics["val/mse"] < 0.95 * result.metrics["val/mse_nothing_changes"]
    assert result.metrics["val/mae_speed"] < 5


@pytest.mark.parametrize("model", SMALL)
def test_x1_a_step_of_each_on_all_detectors(layers, model):
    words = [f"model.{model}.{word}" for word in SMALL[model]]
    result = train(layers, model, "multi_vd_5", *words, "max_steps=1")
    assert result.step == 1


def test_training_ends_after_the_epochs_and_goes_on(layers):
    small = ("model.lstm.hidden_size=8", "name=again", "batch_size=64")
    first = train(layers, "lstm", "single", *small)
    assert first.step == 2 * 7  # 391 windows
    whole = train(layers, "lstm", "single", *small, "training.epochs=3", "name=whole")
    resumed = train(layers, "lstm", "single", *small, "training.epochs=3", "recover=true")
    assert (resumed.step, resumed.run_folder) == (21, first.run_folder)
    assert resumed.metrics == pytest.approx(whole.metrics)


def test_scaling_is_kept_with_the_weights(layers):
    result = train(layers, "lstm", "single", "model.lstm.hidden_size=8", "max_steps=1")
    state = torch.load(result.checkpoint, weights_only=True)["state_dict"]
    assert state["center"].shape == state["scale"].shape == (3,)
    assert state["scale"].min() > 0


def test_t1_t2_run_folder_has_the_resolved_configuration(layers):
    path = layers / "experiments/smoke.yaml"
    report = sat_config.check(path, ["max_steps=1"])
    result = fit(report.config, origins=report.origins)
    resolved = result.run_folder / "resolved_config.yaml"
    assert sat_config.load(resolved) == report.config
    assert "includes" not in resolved.read_text()
    origins = json.loads((result.run_folder / "origins.json").read_text())
    assert origins["data.num_vds"].endswith("single.yaml:7")


def test_t1_it_is_there_after_a_run_that_fails_at_once(layers, monkeypatch):
    from sat_forecast.training import ForecastMethod

    def fail(self, batch, batch_idx):
        raise RuntimeError("at once")

    monkeypatch.setattr(ForecastMethod, "training_step", fail)
    report = sat_config.check(layers / "experiments/smoke.yaml", ["name=failed"])
    with pytest.raises(RuntimeError, match="at once"):
        fit(report.config, origins=report.origins)
    (resolved,) = pathlib.Path("runs/failed").glob("*/resolved_config.yaml")
    assert sat_config.load(resolved) == report.config


def test_plot_of_forecast_against_truth(layers):
    result = train(layers, "lstm", "multi_vd_3", "max_steps=2", "training.demo_every=2")
    pictures = list(result.run_folder.glob("demos/*/*forecast*.png"))
    assert pictures
    assert pictures[0].stat().st_size > 5000


def test_audio_data_is_refused(layers):
    from sat_forecast.training import ForecastMethod

    method = ForecastMethod.__new__(ForecastMethod)
    with pytest.raises(sat_config.UserError, match="needs a series of readings"):
        ForecastMethod.check_data(method, object())


def commands():
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(), re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(("sat-train", "sat-config"))]


def test_readme_names_commands():
    assert len(commands()) >= 6


@pytest.mark.parametrize("line", commands())
def test_command_of_the_readme_works(layers, line, capsys):
    pathlib.Path("layers").symlink_to(layers)
    program, *words = shlex.split(line.partition(" #")[0])
    if program == "sat-train":
        words += ["--override", "max_steps=1", "--override", "val_every=0"]
    status = {"sat-train": main, "sat-config": sat_config_main}[program](words)
    output = capsys.readouterr()
    assert status in (0, None), output.err
