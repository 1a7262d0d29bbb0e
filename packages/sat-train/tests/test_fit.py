import csv
import hashlib
import json
import logging
import math
import shutil
import signal
import warnings

import msgspec
import pytest
import soundfile
import torch

import sat_config
from sat_config import ConfigError, UserError
from sat_models.build import build_model
from sat_models.checkpoint import load_weights, open_checkpoint, resolve_checkpoint
from sat_models.errors import CheckpointError, DataError
from sat_train import RunResult, fit
from sat_train.methods.autoencoder import AutoencoderMethod
from sat_train.steps import Losses


def run(document, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sat_config.ConfigWarning)
        experiment = sat_config.decode({**document, **changes})
    return fit(experiment)


def rows(result):
    with (result.run_folder / "logs" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def read(path):
    return torch.load(path, weights_only=True)


@pytest.fixture
def finished(autoencoder_document):
    """A run of four steps with everything switched on."""
    autoencoder_document["training"]["demo"] = {"demo_every": 2}
    autoencoder_document |= {"checkpoint_every": 2, "val_every": 2}
    experiment = sat_config.decode(autoencoder_document)
    return fit(experiment, origins={"seed": "file.toml:1"}), experiment


def test_run_folder_holds_everything(finished):
    result, experiment = finished
    assert isinstance(result, RunResult)
    assert result.step == 4
    assert result.interrupted is None
    folder = result.run_folder
    assert folder.parent.name == "tiny"
    assert sat_config.load(folder / "config.toml") == experiment
    assert sat_config.load(folder / "config.json") == experiment
    assert json.loads((folder / "origins.json").read_text()) == {"seed": "file.toml:1"}
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["torch"]["version"] == torch.__version__
    assert environment["device"].startswith("cpu")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith("logs/tensorboard/")} == {
        ".lock",
        "report.html",
        "summary.json",
        "config.toml",
        "config.json",
        "origins.json",
        "data.json",
        "environment.json",
        "checkpoints/step=00000002.ckpt",
        "checkpoints/step=00000004.ckpt",
        "logs/metrics.csv",
        *(
            f"demos/step={step:08d}/00_kept.{end}"
            for step in (2, 4)
            for end in ("original.flac", "reconstruction.flac", "png")
        ),
    }
    assert any(name.startswith("logs/tensorboard/events") for name in names)


def test_folder_is_named_by_time_and_configuration(finished):
    result, experiment = finished
    text = sat_config.dumps(experiment, format="json")
    date, time, short_hash = result.run_folder.name.split("-")
    assert (len(date), len(time)) == (8, 6)
    assert short_hash == hashlib.sha256(text.encode()).hexdigest()[:8]


def test_metrics_share_a_row_per_step(finished):
    result, _ = finished
    found = rows(result)
    assert [int(row["step"]) for row in found] == [0, 1, 2, 3, 4]
    assert [row["val/mrstft"] != "" for row in found] == [True, False, True, False, True]
    assert [row["train/loss"] != "" for row in found] == [False, True, True, True, True]
    assert float(found[-1]["val/mrstft"]) == pytest.approx(result.metrics["val/mrstft"])
    assert result.metrics["val/mrstft_silence"] > 0


def test_objective_is_what_training_reached_not_where_it_began(autoencoder_document):
    autoencoder_document["training"] |= {"learning_rate": 0.3}  # which makes it worse
    result = run(autoencoder_document, max_steps=2)
    start = float(next(row["val/mrstft"] for row in rows(result) if row["val/mrstft"]))
    assert result.objective == pytest.approx(result.metrics["val/mrstft"])
    assert result.objective > start


def test_checkpoint_holds_tensors_and_plain_data(finished):
    result, experiment = finished
    content = read(result.checkpoint)
    assert content["global_step"] == 4
    assert content["sat"]["config"] == sat_config.dumps(experiment, format="json")
    assert sat_config.decode(content["model_config"]).model == experiment.model
    assert all(key.startswith("autoencoder.") for key in content["state_dict"])


def test_pointer_leads_to_the_last_checkpoint(finished):
    result, _ = finished
    pointer = result.run_folder.parent / "latest"
    assert pointer.read_text() == f"{result.run_folder.name}/checkpoints/step=00000004.ckpt\n"
    assert resolve_checkpoint(pointer) == result.checkpoint


def test_checkpoint_opens_as_a_bare_model(finished):
    result, experiment = finished
    model = build_model(experiment)
    assert load_weights(model, open_checkpoint(result.run_folder)).complete


def test_demos_are_as_long_as_the_clips(finished):
    result, experiment = finished
    demo = result.run_folder / "demos" / "step=00000004" / "00_kept.reconstruction.flac"
    info = soundfile.info(demo)
    assert (info.frames, info.channels, info.samplerate) == (256, 2, experiment.sample_rate)


def test_what_is_printed_tells_size_data_folder_and_next_command(autoencoder_document, capfd):
    result = run(autoencoder_document)
    out, err = capfd.readouterr()
    assert err == ""
    lines = out.splitlines()
    labels = [line[:12].strip() for line in lines]
    assert labels[:5] == ["model", "data", "validation", "device", "run"]
    assert "4 files, 0:01" in lines[1]
    assert any(line.startswith("step 0  val/mrstft ") for line in lines)
    assert any(line.startswith("step 4/4  loss ") for line in lines)
    assert f"run         {result.run_folder}" in lines[-5:]
    assert "before training" in out
    assert lines[-1].startswith("next        sat-preencode ")
    assert "ightning" not in out


def test_training_learns(autoencoder_document):
    autoencoder_document["training"]["learning_rate"] = 3e-3
    result = run(autoencoder_document, max_steps=40)
    losses = [float(row["train/loss"]) for row in rows(result) if row["train/loss"]]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_same_seed_gives_the_same_weights(autoencoder_document):
    first, second = (read(run(autoencoder_document).checkpoint)["state_dict"] for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_validation_and_demos_do_not_change_training(autoencoder_document):
    plain = read(run(autoencoder_document).checkpoint)["state_dict"]
    autoencoder_document["training"]["demo"] = {"demo_every": 1}
    watched = read(run(autoencoder_document, val_every=1).checkpoint)["state_dict"]
    assert all(torch.equal(plain[key], watched[key]) for key in plain)


def test_workers_do_not_change_training(autoencoder_document):
    alone = read(run(autoencoder_document).checkpoint)["state_dict"]
    helped = read(run(autoencoder_document, num_workers=1).checkpoint)["state_dict"]
    assert all(torch.equal(alone[key], helped[key]) for key in alone)


def test_steps_count_accumulated_batches_once(autoencoder_document):
    result = run(autoencoder_document, accum_batches=2, max_steps=2, gradient_clip_val=1.0)
    assert [int(row["step"]) for row in rows(result)] == [0, 1, 2]
    assert read(result.checkpoint)["sat"]["batches"] == 4


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_half_precision_trains(autoencoder_document, precision):
    result = run(autoencoder_document, precision=precision, max_steps=1)
    assert float(rows(result)[1]["train/loss"]) > 0
    assert (result.run_folder / "demos" / "step=00000001" / "00_kept.png").exists()


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_adversarial_training_takes_half_precision(autoencoder_document, precision):
    training = autoencoder_document["training"]
    training["use_ema"] = True
    training["loss_configs"]["discriminator"] = {
        "type": "encodec",
        "config": {"filters": 2, "n_ffts": [64], "hop_lengths": [16], "win_lengths": [64]},
        "weights": {"adversarial": 0.1, "feature_matching": 5.0},
    }
    result = run(autoencoder_document, precision=precision, max_steps=2)
    state = read(result.checkpoint)["state_dict"]
    kinds = {state[name].dtype for name in state if "encoder.layers.0.weight_v" in name}
    half = torch.bfloat16 if precision == "bf16-true" else torch.float32
    assert kinds == {half, torch.float32}  # of the weights, and of their average
    assert (result.run_folder / "demos" / "step=00000002" / "00_kept.png").exists()


def test_step_without_finite_gradients_changes_nothing_and_counts(
    autoencoder_document, monkeypatch
):
    losses = AutoencoderMethod.losses

    def poisoned(self, batch, part):
        found = losses(self, batch, part)
        return found if self.global_step != 1 else Losses({"bad": found.total * math.nan})

    one = read(run(autoencoder_document, max_steps=1).checkpoint)["state_dict"]
    monkeypatch.setattr(AutoencoderMethod, "losses", poisoned)
    result = run(autoencoder_document, max_steps=2)
    two = read(result.checkpoint)["state_dict"]
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert rows(result)[-1]["train/gradient_norm"] == "nan"
    assert run(autoencoder_document, max_steps=3).step == 3


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_latent_model_trains_in_half_precision(autoencoder_document, diffusion_document, precision):
    weights = run(autoencoder_document, max_steps=1).checkpoint
    diffusion_document |= {"precision": precision, "pretransform_ckpt_path": str(weights)}
    result = run(diffusion_document, max_steps=1)
    assert (result.run_folder / "demos" / "step=00000001" / "00_generated.png").exists()


def test_demos_come_from_training_data_without_validation_data(autoencoder_document):
    del autoencoder_document["val_dataset"]
    result = run(autoencoder_document, max_steps=1)
    assert result.metrics == {}
    demos = result.run_folder / "demos" / "step=00000001"
    assert len(list(demos.glob("*.reconstruction.flac"))) == 4


def test_demos_are_eight_at_most(autoencoder_document, clips):
    del autoencoder_document["val_dataset"]
    for number in range(9):
        shutil.copy(clips / "heldout" / "kept.wav", clips / "train" / f"copy{number}.wav")
    result = run(autoencoder_document, max_steps=1, batch_size=13)
    assert len(list(result.run_folder.glob("demos/*/*.png"))) == 8


def test_failing_demo_is_logged_and_training_goes_on(autoencoder_document, monkeypatch, caplog):
    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("sat_train.audio.demo.save_spectrograms", fail)
    assert run(autoencoder_document, max_steps=2).step == 2
    assert "no demo at step 2" in caplog.text


def test_working_directory_and_signal_handlers_stay(autoencoder_document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run(autoencoder_document, save_dir="out", max_steps=1)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "out"]


def test_latent_model_trains_on_audio(autoencoder_document, diffusion_document):
    codec = run(autoencoder_document, max_steps=1)
    result = run(diffusion_document, pretransform_ckpt_path=str(codec.run_folder))
    assert result.metrics["val/loss"] > 0
    content = read(result.checkpoint)
    inside = "diffusion.pretransform.model."
    stored = {k.removeprefix(inside): v for k, v in content["state_dict"].items() if inside in k}
    original = open_checkpoint(codec.checkpoint).state_dict
    assert stored.keys() == original.keys()
    assert all(torch.equal(stored[key], original[key]) for key in stored)
    demos = result.run_folder / "demos" / "step=00000004"
    assert sorted(path.name for path in demos.iterdir()) == [
        "00_generated.flac",
        "00_generated.png",
        "01_generated.flac",
        "01_generated.png",
    ]


def test_latent_model_says_what_was_loaded(autoencoder_document, diffusion_document, capsys):
    codec = run(autoencoder_document, max_steps=1)
    capsys.readouterr()
    run(diffusion_document, pretransform_ckpt_path=str(codec.run_folder), max_steps=1)
    out = capsys.readouterr().out
    assert str(codec.checkpoint) in out
    assert open_checkpoint(codec.checkpoint).fingerprint in out


def test_pretrained_weights_are_where_training_starts(autoencoder_document):
    first = run(autoencoder_document, max_steps=3)
    second = run(autoencoder_document, max_steps=1, pretrained_ckpt_path=str(first.checkpoint))
    start = float(rows(second)[0]["val/mrstft"])
    assert start == pytest.approx(first.metrics["val/mrstft"], rel=1e-5)


# ------------------------------------------------------- what is refused leaves nothing behind


def refused(document, error, match, tmp_path, **changes):
    with pytest.raises(error, match=match):
        run(document, **changes)
    assert not (tmp_path / "runs").exists()


def test_pretransform_without_weights_is_refused(diffusion_document, tmp_path):
    refused(diffusion_document, UserError, "set pretransform_ckpt_path", tmp_path)


def test_weights_for_no_pretransform_are_refused(autoencoder_document, tmp_path):
    refused(
        autoencoder_document,
        UserError,
        "the model has no pretransform",
        tmp_path,
        pretransform_ckpt_path="x",
    )


def test_missing_checkpoint_is_refused(autoencoder_document, tmp_path):
    refused(
        autoencoder_document, CheckpointError, "x.ckpt", tmp_path, pretrained_ckpt_path="x.ckpt"
    )


def test_missing_folder_is_refused(autoencoder_document, clips, tmp_path):
    shutil.rmtree(clips / "train")
    refused(autoencoder_document, DataError, "train", tmp_path)


def test_unreadable_file_can_be_an_error(autoencoder_document, clips, tmp_path):
    (clips / "train" / "noise.wav").write_bytes(b"no audio")
    refused(autoencoder_document, DataError, "noise.wav", tmp_path, on_bad_file="error")


def test_missing_training_block_is_refused(autoencoder_document, tmp_path):
    del autoencoder_document["training"]
    refused(autoencoder_document, UserError, r"no \[training\] table", tmp_path)


def test_missing_dataset_is_refused(autoencoder_document, tmp_path):
    del autoencoder_document["dataset"]
    refused(autoencoder_document, UserError, r"no \[dataset\] table", tmp_path)


def test_broken_rule_of_an_experiment_made_in_python_is_refused(autoencoder_document, tmp_path):
    good = sat_config.decode(autoencoder_document)
    with pytest.raises(ConfigError, match="sample_size"):
        fit(msgspec.structs.replace(good, sample_size=257))
    assert not (tmp_path / "runs").exists()


def test_device_that_the_machine_lacks_is_refused(autoencoder_document, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(autoencoder_document, UserError, "accelerator = 'cuda'", tmp_path, accelerator="cuda")


def test_precision_that_the_machine_lacks_is_refused(autoencoder_document, tmp_path):
    refused(autoencoder_document, UserError, "16-mixed", tmp_path, precision="16-mixed")


# ------------------------------------------------------------------------------- bad files


def test_unreadable_file_is_left_out_and_written_down(autoencoder_document, clips, caplog):
    bad = clips / "train" / "noise.wav"
    bad.write_bytes(b"no audio")
    with caplog.at_level(logging.WARNING):
        result = run(autoencoder_document, max_steps=1, max_bad_share=0.5)
    (line,) = (result.run_folder / "bad_files.jsonl").read_text().splitlines()
    assert json.loads(line)["path"] == str(bad)
    assert str(bad) in caplog.text


def test_run_without_bad_files_has_no_ledger(finished):
    result, _ = finished
    assert not (result.run_folder / "bad_files.jsonl").exists()


def test_metadata_module_is_refused(autoencoder_document, tmp_path):
    (tmp_path / "meta.py").write_text("")
    dataset = autoencoder_document["dataset"]
    folder = {**dataset["datasets"][0], "custom_metadata_module": str(tmp_path / "meta.py")}
    changed = {**dataset, "datasets": [folder]}
    refused(autoencoder_document, UserError, "custom_metadata_module", tmp_path, dataset=changed)
