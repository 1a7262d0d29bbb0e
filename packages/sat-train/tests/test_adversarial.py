"""Autoencoder training with a discriminator, an average of the weights, a teacher and warmups."""

import csv

import pytest
import torch

import sat_config
from sat_config import UserError
from sat_models.build import build_model
from sat_models.checkpoint import open_checkpoint
from sat_models.data.batch import AudioBatch
from sat_train import fit
from sat_train.family import build_training

CRITIC = {
    "type": "encodec",
    "config": {"filters": 2, "n_ffts": [64], "hop_lengths": [16], "win_lengths": [64]},
    "weights": {"adversarial": 0.1, "feature_matching": 5.0},
}


@pytest.fixture
def document(autoencoder_document):
    autoencoder_document["training"]["loss_configs"]["discriminator"] = CRITIC
    return autoencoder_document


def build(document):
    experiment = sat_config.decode(document)
    return build_training(experiment, model=build_model(experiment)).train()


def batch(*, channels=2, samples=256):
    mask = torch.ones(2, samples, dtype=torch.bool)
    return AudioBatch(0.1 * torch.randn(2, channels, samples), mask, ())


def rows(result):
    with (result.run_folder / "logs" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def weights(result):
    return torch.load(result.checkpoint, weights_only=True)["state_dict"]


def moved(before, after, prefix):
    names = [name for name in before if name.startswith(prefix)]
    assert names
    return any(not torch.equal(before[name], after[name]) for name in names)


# -------------------------------------------------------------------------------- whose turn it is


def test_steps_alternate_and_each_changes_its_own_part(document):
    runs = [fit(sat_config.decode({**document, "max_steps": steps})) for steps in (1, 2, 3)]
    one, two, three = map(weights, runs)
    assert not moved(one, two, "autoencoder.")
    assert moved(one, two, "discriminator.")
    assert moved(two, three, "autoencoder.")
    assert not moved(two, three, "discriminator.")
    steps = rows(runs[-1])[1:]
    assert [row["train/loss"] != "" for row in steps] == [True, False, True]
    assert [row["train/discriminator_loss"] != "" for row in steps] == [False, True, False]
    assert float(steps[0]["train/adversarial"]) != 0
    assert steps[1]["train/discriminator_lr"] == "0.001"


def test_recovered_run_ends_as_one_that_was_not_interrupted(document):
    document["training"]["use_ema"] = True
    del document["training"]["learning_rate"]
    document["training"]["optimizer_configs"] = {
        "autoencoder": _group(scheduler={"type": "ExponentialLR", "config": {"gamma": 0.9}}),
        "discriminator": _group(),
    }
    whole = fit(sat_config.decode({**document, "name": "whole", "max_steps": 5}))
    fit(sat_config.decode({**document, "max_steps": 3}))
    second = fit(sat_config.decode({**document, "max_steps": 5, "recover": True}))
    first, second = weights(whole), weights(second)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def _group(*, lr=1e-3, scheduler=None):
    group = {"optimizer": {"type": "AdamW", "config": {"lr": lr, "betas": [0.8, 0.99]}}}
    return group if scheduler is None else {**group, "scheduler": scheduler}


def test_one_part_may_have_a_scheduler_and_the_other_none(document):
    del document["training"]["learning_rate"]
    halving = {"type": "ExponentialLR", "config": {"gamma": 0.5}}
    document["training"]["optimizer_configs"] = {
        "autoencoder": _group(lr=0.01),
        "discriminator": _group(lr=0.02, scheduler=halving),
    }
    steps = rows(fit(sat_config.decode({**document, "max_steps": 6})))[1:]
    assert [float(row["train/lr"]) for row in steps[::2]] == [0.01, 0.01, 0.01]
    assert [float(row["train/discriminator_lr"]) for row in steps[1::2]] == [0.02, 0.01, 0.005]


def test_accumulation_and_clipping_work_with_two_optimizers(document):
    document["training"]["clip_grad_norm"] = 1e-3
    result = fit(sat_config.decode({**document, "max_steps": 2, "accum_batches": 2}))
    steps = rows(result)[1:]
    assert len(steps) == 2
    assert float(steps[0]["train/gradient_norm"]) > 1e-3  # before clipping
    assert torch.load(result.checkpoint, weights_only=True)["sat"]["batches"] == 4


# ---------------------------------------------------------------------------------------- warmup


@pytest.mark.parametrize(
    ("mode", "turns"), [("adv", [0, 1, 0, 1, 0, 1]), ("full", [0] * 4 + [0, 1])]
)
def test_warmup_mode_decides_when_the_discriminator_learns(document, mode, turns):
    document["training"] |= {"warmup_steps": 4, "warmup_mode": mode}
    method = build(document)
    assert [method.turn(step) for step in range(6)] == turns
    names = method.losses(batch(), method.parts[0]).terms.keys()
    assert not names & {"adversarial", "feature_matching"}


def test_encoder_gets_no_gradients_once_the_warmup_is_over(document, monkeypatch):
    document["training"] |= {"warmup_steps": 1, "encoder_freeze_on_warmup": True}
    method = build(document)
    for step, trained in ((0, True), (1, False)):
        monkeypatch.setattr(type(method), "global_step", step)
        method.zero_grad()
        method.losses(batch(), method.parts[0]).total.backward()
        grads = [weight.grad is not None for weight in method.autoencoder.encoder.parameters()]
        assert grads == [trained] * len(grads)


# ---------------------------------------------------------------------------- what is trained on


def test_discriminator_gives_no_gradient_to_the_autoencoder(document):
    method = build(document)
    model, critic = method.parts
    with method.only(critic):
        method.losses(batch(), critic).total.backward()
    assert all(weight.grad is None for weight in model.weights())
    assert all(weight.grad is not None for weight in critic.weights())


def test_autoencoder_step_gives_no_gradient_to_the_discriminator(document):
    method = build(document)
    model, critic = method.parts
    with method.only(model):
        method.losses(batch(), model).total.backward()
    assert all(weight.grad is None for weight in critic.weights())
    assert all(weight.requires_grad for weight in critic.weights())


def test_mono_input_is_the_mean_of_the_channels(document):
    document["training"]["force_input_mono"] = True
    document["model"]["in_channels"] = 1
    document["model"]["encoder"]["config"]["in_channels"] = 1
    method = build(document)
    losses = method.losses(batch(), method.parts[0])
    assert losses.total.isfinite()
    assert method.reconstruct(torch.randn(1, 2, 64)).shape == (1, 2, 64)


def test_latents_are_hidden_in_training(document, monkeypatch):
    document["training"]["latent_mask_ratio"] = 0.25
    method = build(document)
    seen = []
    monkeypatch.setattr(
        method.autoencoder, "decode", lambda x: seen.append(x) or torch.zeros(2, 2, 256)
    )
    method._pass(batch())
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.1)


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_crop_shorter_than_the_discriminators_transform_is_refused(document):
    critic = {**CRITIC["config"], "n_ffts": [512], "win_lengths": [512]}
    document["training"]["loss_configs"]["discriminator"] = {**CRITIC, "config": critic}
    with pytest.raises(UserError, match=r"discriminator\.config\.n_ffts needs.*at least 512"):
        build(document)


# --------------------------------------------------------------------------- losses and measures


def test_mel_loss_and_fading_weights(document):
    losses = document["training"]["loss_configs"]
    losses["mrmel"] = {
        "weights": {"mrmel": 2.0},
        "config": {
            "n_mels": [8],
            "window_lengths": [128],
            "pow": 1.0,
            "log_weight": 1.0,
            "mag_weight": 1.0,
        },
    }
    losses["time"]["decay"] = 0.5
    method = build(document)
    clip = batch().audio
    terms = [method.criteria.other_terms(clip, 0 * clip) for _ in range(2)]
    assert terms[1]["l1"] / terms[0]["l1"] == pytest.approx(0.5)
    assert terms[1]["mrmel"] == terms[0]["mrmel"]
    assert "criteria.fading.l1.weight" in method.state_dict()
    assert "criteria.fading.mrstft.weight" not in method.state_dict()


def test_validation_reports_what_is_asked_for(document, monkeypatch):
    document["training"]["eval_loss_configs"] = {
        "stft": {"fft_size": 128, "hop_size": 32, "win_length": 128},
        "sisdr": {},
        "mel": {"fft_size": 128, "hop_size": 32, "win_length": 128, "n_mels": 8},
    }
    method = build(document).eval()
    monkeypatch.setattr(method, "reconstruct", lambda audio: audio + 0.01 * torch.randn_like(audio))
    clip = batch()
    figures = method.validate([clip])
    assert set(figures) == {
        f"val/{n}" for n in ("mrstft", "mrstft_silence", "stft", "sisdr", "mel")
    }
    assert figures["val/sisdr"] == pytest.approx(20, abs=1)
    monkeypatch.setattr(method, "reconstruct", lambda audio: audio)
    assert method.validate([clip])["val/stft"] == pytest.approx(0, abs=1e-5)


def test_pesq_without_its_package_names_the_extra(document, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pesq", None)
    document["training"]["eval_loss_configs"] = {"pesq": {}}
    with pytest.raises(UserError, match=r"pip install 'sat-train\[pesq\]'"):
        build(document)


# -------------------------------------------------------------------------- teacher and average


@pytest.fixture
def taught(document):
    del document["training"]["loss_configs"]["discriminator"]
    teacher = fit(sat_config.decode({**document, "name": "teacher", "max_steps": 1}))
    keys = ("model_type", "sample_rate", "sample_size", "model")
    document["training"] |= {
        "teacher_model": {key: document[key] for key in keys},
        "teacher_model_ckpt": str(teacher.checkpoint),
    }
    return document, teacher


def test_teacher_replaces_the_spectral_loss_by_five(taught):
    document, teacher = taught
    method = build(document)
    own = open_checkpoint(teacher.checkpoint).state_dict
    held = method.teacher_model.state_dict()
    assert all(torch.equal(own[name], held[name]) for name in own)
    losses = method.losses(batch(), method.parts[0])
    assert {name for name in losses.terms if name not in ("kl", "l1", "l2")} == {
        "latent_distillation",
        "mrstft",
        "mrstft_distillation",
        "mrstft_teacher_decodes",
        "mrstft_teacher_encodes",
    }
    losses.total.backward()
    assert all(weight.grad is None for weight in method.teacher_model.parameters())
    assert all(weight.grad is not None for weight in method.autoencoder.parameters())


def test_student_with_its_teachers_weights_decodes_as_it_does(taught):
    document, teacher = taught
    method = build(document)
    method.autoencoder.load_state_dict(open_checkpoint(teacher.checkpoint).state_dict)
    clip = batch()
    terms = method.losses(clip, method.parts[0]).terms
    made = method.teacher_model.decode(
        method.teacher_model.encode(clip.audio, sample=False).latents
    )
    want = 0.25 * method.criteria.spectral(clip.audio, made)
    torch.testing.assert_close(terms["mrstft_teacher_encodes"], want)


def test_average_is_stored_where_sat_looks_for_it(document):
    document["training"]["use_ema"] = True
    result = fit(sat_config.decode({**document, "max_steps": 7}))
    state = weights(result)
    ours = {name for name in state if name.startswith("autoencoder_ema.")}
    names = {name.removeprefix("autoencoder.") for name in state if name.startswith("autoencoder.")}
    assert ours == {"autoencoder_ema.step", "autoencoder_ema.initted"} | {
        f"autoencoder_ema.ema_model.{name}" for name in names
    }
    assert state["autoencoder_ema.step"].item() == 4  # steps of the autoencoder
    plain, averaged = (
        open_checkpoint(result.checkpoint, ema=ema).state_dict for ema in (False, True)
    )
    assert plain.keys() == averaged.keys()
    assert any(not torch.equal(plain[name], averaged[name]) for name in plain)
