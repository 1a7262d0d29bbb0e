"""Training steps against numbers that stable-audio-tools computed; see golden.py."""

import re
import warnings

import golden
import pytest
import torch

import sat_config
from sat_config.audio.optimizer import AdamConfig, AdamNode, OptimizerGroup
from sat_config.audio.scheduler import InverseLRConfig, InverseLRNode
from sat_models.build import build_model
from sat_models.data.batch import AudioBatch, Item
from sat_train.family import build_training
from sat_train.optim import build_updater

NAMES = {
    "latent_std": "latent_std",
    "data_std": "data_std",
    "loss_adv": "adversarial",
    "feature_matching_loss": "feature_matching",
    "mrmel_loss": "mrmel",
    "l1_time_loss": "l1",
    "l2_time_loss": "l2",
    "kl_loss": "kl",
    "quantizer_loss": "quantizer_loss",
    "codebook_loss": "codebook_loss",
    "commitment_loss": "commitment_loss",
    "mmd_loss": "mmd",
    "discriminator_loss": "recognition",
}
"""SAT's names for what it logs, and ours."""

SPECTRAL = ("mrstft_loss", "stft_loss_left", "stft_loss_right")
"""What SAT logs one by one and we as one term."""

CASES = golden.cases("training")
AUTOENCODERS = [case for case in CASES if case.meta["type"] == "autoencoder"]
DIFFUSION = [case for case in CASES if case.meta["type"] == "diffusion_cond"]
ADVERSARIAL = [case for case in CASES if case.meta["type"] == "arc"]


def build(case, **changes):
    config = case.config
    config.pop("metadata", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sat_config.ConfigWarning)
        experiment = sat_config.decode({**config, **changes})
    method = build_training(experiment, model=build_model(experiment)).train()
    ours = method.state_dict()
    for name, value in case.filled_state().items():
        if name in ours:
            ours[name].copy_(value)
    return method


def seed_of(case, step):
    return int(re.search(r"torch\.manual_seed\((\d+)\)", case.steps[step]["call"])[1])


def audio_batch(case):
    audio = case.inputs()["audio"]
    mask = torch.ones(audio.shape[0], audio.shape[2], dtype=torch.bool)
    return AudioBatch(audio, mask, ())


def check_losses(case, step, losses):
    found = {**losses.terms, **losses.figures, "loss": losses.total}
    wanted = case.outputs(step)
    case.check(step, "loss", losses.total)
    for name in wanted:
        if name in NAMES:
            case.check(step, name, found[NAMES[name]])
    spectral = sum(float(case.expected(step, name)) for name in SPECTRAL if name in wanted)
    if spectral:
        assert found["mrstft"].item() == pytest.approx(spectral, rel=1e-4)
    assert set(wanted) <= {*NAMES, *SPECTRAL, "loss"}


def check_gradients(case, method, prefix):
    """SAT also computes gradients for weights that a step does not train, and throws them away."""
    keys, wanted = case.meta["grad_keys"], case.expected("grad", "norms")
    rtol, atol = case.tolerance("grad", "norms")
    weights = dict(method.named_parameters())
    norms = {key: norm for key, norm in zip(keys, wanted, strict=True) if key.startswith(prefix)}
    found = {key: float(weights[key].grad.norm()) for key in norms}
    assert found == pytest.approx(norms, rel=rtol, abs=atol)


@pytest.mark.parametrize("case", AUTOENCODERS, ids=str)
def test_autoencoder_steps_have_sats_losses_and_gradients(case):
    method = build(case)
    batch = audio_batch(case)
    model, *others = method.parts
    torch.manual_seed(seed_of(case, "generator"))
    losses = method.losses(batch, model)
    check_losses(case, "generator", losses)
    losses.total.backward()
    check_gradients(case, method, "autoencoder.")
    for part in others:
        torch.manual_seed(seed_of(case, "discriminator"))
        check_losses(case, "discriminator", method.losses(batch, part))


@pytest.mark.parametrize("case", AUTOENCODERS, ids=str)
def test_autoencoder_method_has_sats_state_names(case):
    parts = ("autoencoder.", "discriminator.")
    ours = {name for name in build(case).state_dict() if name.startswith(parts)}
    assert ours == {name for name, *_ in case.state if name.startswith(parts)}


def described_batch(case, step="step"):
    """The batch that the call of a diffusion step describes."""
    audio = case.inputs()["audio"]
    mask = torch.ones(audio.shape[0], audio.shape[2], dtype=torch.bool)
    text = case.steps[step]["call"]
    if found := re.search(r"mask of item (\d+) is false from sample (\d+) on", text):
        mask[int(found[1]) - 1, int(found[2]) :] = False
    items = [
        Item(str(i), str(i), 0, 0.0, 0.0, metadata=metadata)
        for i, metadata in enumerate(case.config["metadata"])
    ]
    return AudioBatch(audio, mask, tuple(items))


@pytest.mark.parametrize("case", DIFFUSION, ids=str)
def test_diffusion_steps_have_sats_draws_loss_and_gradients(case, monkeypatch):
    """Two things are handed in, and everything else follows.

    Times of even coverage: SAT scrambles its sequence by whatever the model's initial weights have
    left of torch's generator. And no mask reaches the attention, where SAT ignores it.
    """
    text = case.steps["step"]["call"]
    step = re.search(r"torch\.manual_seed\((\d+)\) and random", text)[1]
    method = build(case)
    if method.training_block.timestep_sampler == "uniform":
        times = torch.from_numpy(case.expected("step", "t"))
        monkeypatch.setattr(type(method.times), "draw", lambda *_, **__: times)
    seen = {}
    forward = method.diffusion.model.forward

    def recorded(x, t, conditioning, *, padding_mask):
        seen.update(noised=x, t=t, mask=padding_mask)
        return forward(x, t, conditioning, padding_mask=None)

    monkeypatch.setattr(method.diffusion.model, "forward", recorded)
    torch.manual_seed(int(step))
    method.rng.seed(int(re.search(r"random\.seed\((\d+)\) before", text)[1]))
    losses = method.losses(described_batch(case), method.parts[0])
    for name in ("t", "noised"):
        case.check("step", name, seen[name])
    assert (seen["mask"] is None) is not method.training_block.mask_padding
    case.check("step", "loss", losses.total)
    losses.total.backward()
    check_gradients(case, method, "diffusion.")


@pytest.fixture(params=ADVERSARIAL, ids=str)
def arc(request, tmp_path):
    """A case of adversarial post-training, and its method with the case's weights."""
    case, prefix = request.param, "teacher_model."
    state = {name: value for name, value in case.filled_state().items() if name.startswith(prefix)}
    weights = {name.removeprefix(prefix): value for name, value in state.items()}
    path = tmp_path / "teacher.ckpt"
    torch.save({"state_dict": weights}, path)
    training = case.config["training"]
    training["arc"]["teacher_model_ckpt"] = str(path)
    return case, build(case, training=training)


def test_adversarial_steps_have_sats_draws_losses_and_gradients(arc, monkeypatch):
    case, method = arc
    batch = described_batch(case, step="generator")
    for step, recorded in case.steps.items():
        number = int(re.search(r"global_step (\d+)", recorded["call"])[1])
        monkeypatch.setattr(type(method), "global_step", number)
        part = method.parts[method.turn(number)]
        method.zero_grad()
        torch.manual_seed(seed_of(case, step))
        method.rng.seed(int(re.search(r"random\.seed\((\d+)\)", recorded["call"])[1]))
        losses = method.losses(batch, part)
        losses.total.backward()
        found = {**losses.terms, **losses.figures, "loss": losses.total}
        for name in case.outputs(step):
            if name != "norms":
                case.check(step, name, found[name])
        weights = dict(method.named_parameters())
        norms = torch.stack([weights[key].grad.norm() for key in recorded["grad_keys"]])
        case.check(step, "norms", norms)


def test_adversarial_method_has_sats_state_names(arc):
    case, method = arc
    second_name = "model_last_layer"  # of a weight that is under `diffusion.` too
    assert set(method.state_dict()) == {name for name, *_ in case.state} - {second_name}


@pytest.mark.parametrize("case", golden.cases("schedule"), ids=str)
def test_learning_rate_follows_sats_schedule(case):
    config = case.config
    group = OptimizerGroup(
        optimizer=AdamNode(config=AdamConfig(lr=config["lr"])),
        scheduler=InverseLRNode(config=InverseLRConfig(**config["scheduler"])),
    )
    weight = torch.nn.Parameter(torch.zeros(1))
    updater = build_updater(group, [weight], allow_fused=True)
    rates = []
    for _ in range(config["steps"]):
        rates.append(updater.optimizer.param_groups[0]["lr"])
        updater.optimizer.step()
        updater.scheduler.step()
    case.check("lr", "values", torch.tensor(rates))
