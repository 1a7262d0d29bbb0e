"""Adversarial post-training: whose turn it is, what each learns from, warmup, trimming, demos."""

import csv
from dataclasses import replace

import pytest
import torch

import sat_config
from sat_config import UserError
from sat_models.build import build_model
from sat_models.checkpoint import open_checkpoint
from sat_models.data.batch import AudioBatch, Item
from sat_train import fit
from sat_train.family import build_training
from sat_train.methods.arc import with_next_prompt
from sat_train.methods.latent import Encoded

HEAD = {
    "type": "convnext",
    "dit_hidden_layer": 0,
    "contrastive": True,
    "include_grad_penalties": True,
    "config": {"channels": 8, "c_mults": [1], "strides": [2], "num_blocks": [1]},
}
NUMBER = {"type": "number", "config": {"min_val": 0, "max_val": 10}}


def group(lr=1e-3, **more):
    return {"optimizer": {"type": "AdamW", "config": {"lr": lr}}, **more}


@pytest.fixture
def document(autoencoder_document):
    """A tiny model of audio and a discriminator that looks into another of its kind."""
    return {
        **autoencoder_document,
        "model_type": "diffusion_cond",
        "name": "tiny-arc",
        "model": {
            "io_channels": 2,
            "conditioning": {
                "cond_dim": 8,
                "configs": [{"id": "prompt", **NUMBER}, {"id": "seconds_total", **NUMBER}],
                "default_keys": {"prompt": "seconds_total"},
            },
            "diffusion": {
                "type": "dit",
                "diffusion_objective": "rf_denoiser",
                "cross_attention_cond_ids": ["prompt", "seconds_total"],
                "config": {
                    "io_channels": 2,
                    "embed_dim": 32,
                    "depth": 2,
                    "num_heads": 1,
                    "patch_size": 8,
                    "cond_token_dim": 8,
                },
            },
        },
        "training": {
            "optimizer_configs": {"diffusion": group(), "discriminator": group()},
            "cfg_dropout_prob": 0.0,
            "arc": {"use_model_as_discriminator": True, "discriminator": HEAD},
            "demo": {
                "demo_steps": 2,
                "num_demos": 1,
                "demo_cfg_scales": [1],
                "demo_cond": [{"prompt": 1, "seconds_total": 1}],
            },
        },
    }


@pytest.fixture
def taught(document, tmp_path):
    """The same with a warmup of two steps on the way of a teacher."""
    teacher = build_model(sat_config.decode(document))
    path = tmp_path / "teacher.ckpt"
    torch.save({"state_dict": teacher.state_dict()}, path)
    document["training"]["arc"] |= {
        "use_model_as_teacher": True,
        "teacher_model_ckpt": str(path),
        "ode_warmup": {"warmup_steps": 2, "sampling_steps": 3, "refresh_rate": 2, "cfg": 2.0},
    }
    return document


def build(document):
    experiment = sat_config.decode(document)
    return build_training(experiment, model=build_model(experiment)).train()


def batch(*, lengths=(256, 256), samples=256):
    mask = torch.arange(samples) < torch.tensor(lengths)[:, None]
    items = tuple(
        Item(str(i), str(i), 0, 0.0, 2.0, metadata={"prompt": i, "seconds_total": 2})
        for i in range(len(lengths))
    )
    return AudioBatch(0.1 * torch.randn(len(lengths), 2, samples) * mask[:, None], mask, items)


def rows(result):
    with (result.run_folder / "logs" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def weights(result):
    return torch.load(result.checkpoint, weights_only=True)["state_dict"]


def moved(before, after, prefix):
    return any(
        not torch.equal(before[name], after[name]) for name in before if name.startswith(prefix)
    )


# -------------------------------------------------------------------------------- whose turn it is


def test_steps_alternate_and_each_changes_its_own_part(document):
    del document["training"]["demo"]
    runs = [fit(sat_config.decode({**document, "max_steps": steps})) for steps in (1, 2, 3)]
    one, two, three = map(weights, runs)
    assert not moved(one, two, "diffusion.")
    assert moved(one, two, "discriminator.")
    assert moved(one, two, "discriminator_head.")
    assert moved(two, three, "diffusion.")
    assert not moved(two, three, "discriminator")
    steps = rows(runs[-1])[1:]
    assert [row["train/adversarial"] != "" for row in steps] == [True, False, True]
    for name in ("recognition", "penalty", "contrastive", "discriminator_lr"):
        assert [row[f"train/{name}"] != "" for row in steps] == [False, True, False]


def test_validation_demos_and_average_are_those_of_a_diffusion_model(document, monkeypatch):
    seen = []

    def pingpong(model_fn, noise, **_):
        seen.append(noise.shape)
        return noise

    monkeypatch.setitem(
        __import__("sat_models.sampling.table", fromlist=["_"])._OVER_TIMES_WITH_NOISE,
        "pingpong",
        pingpong,
    )
    document["model"]["diffusion"]["diffusion_objective"] = "rectified_flow"
    result = fit(sat_config.decode({**document, "max_steps": 2}))
    assert result.metrics["val/loss"] > 0
    assert seen
    assert len(list((result.run_folder / "demos" / "step=00000002").glob("*.flac"))) == 1
    averaged = open_checkpoint(result.checkpoint, ema=True).state_dict
    assert averaged.keys() == open_checkpoint(result.checkpoint).state_dict.keys()


def test_recovered_run_ends_as_one_that_was_not_interrupted(document):
    del document["training"]["demo"]
    halving = {"type": "ExponentialLR", "config": {"gamma": 0.5}}
    document["training"]["optimizer_configs"]["discriminator"] = group(scheduler=halving)
    document["training"]["trim_config"] = {"trim_prob": 0.5}
    whole = weights(fit(sat_config.decode({**document, "name": "whole", "max_steps": 5})))
    fit(sat_config.decode({**document, "max_steps": 3}))
    second = weights(fit(sat_config.decode({**document, "max_steps": 5, "recover": True})))
    assert whole.keys() == second.keys()
    assert all(torch.equal(whole[name], second[name]) for name in whole)


# ------------------------------------------------------------------------------ what is learnt from


def test_no_player_gives_gradients_to_the_other(document):
    method = build(document)
    for part, other in (method.parts, method.parts[::-1]):
        method.zero_grad()
        with method.only(part):
            method.losses(batch(), part).total.backward()
        assert all(weight.grad is None for weight in other.weights())
        assert any(weight.grad is not None for weight in part.weights())


def test_equal_scores_lose_a_bit_each(document):
    """Without a gradient the head says the same of all: softplus(0) is the logarithm of 2."""
    document["training"]["arc"]["discriminator"] = {
        **HEAD,
        "weights": {"generator": 3.0, "discriminator": 2.0, "contrastive": 5.0},
    }
    method = build(document)
    for weight in method.discriminator_head.parameters():
        torch.nn.init.zeros_(weight)
    for name in (n for n, _ in method.discriminator_head.named_parameters() if "weight_v" in n):
        torch.nn.init.ones_(method.discriminator_head.get_parameter(name))
    bit = torch.log(torch.tensor(2.0)).item()
    model, critic = method.parts
    found = {name: term.item() for name, term in method.losses(batch(), model).terms.items()}
    assert found == pytest.approx({"adversarial": 3 * bit})
    found = {name: term.item() for name, term in method.losses(batch(), critic).terms.items()}
    assert found == pytest.approx({"recognition": 2 * bit, "contrastive": 10 * bit, "penalty": 0})


def test_discriminator_learns_to_score_data_higher(document):
    document["training"]["arc"]["discriminator"] = {**HEAD, "include_grad_penalties": False}
    method = build(document)
    critic = method.parts[1]
    optimizer = torch.optim.Adam(critic.weights(), lr=3e-3)
    found = []
    for _ in range(15):
        torch.manual_seed(0)
        optimizer.zero_grad()
        losses = method.losses(batch(), critic)
        losses.total.backward()
        optimizer.step()
        found.append(losses)
    assert found[-1].terms["recognition"] < 0.7 * found[0].terms["recognition"]
    assert found[-1].figures["real_score"] > found[-1].figures["fake_score"]


def test_model_learns_to_score_as_high_as_data(document):
    method = build(document)
    model = method.parts[0]
    optimizer = torch.optim.Adam(model.weights(), lr=3e-3)
    found = []
    for _ in range(10):
        torch.manual_seed(0)
        optimizer.zero_grad()
        loss = method.losses(batch(), model).total
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < found[0]


def test_every_item_gets_the_prompt_of_the_next():
    metadata = [{"prompt": name, "seconds": n} for n, name in enumerate("abc")]
    shuffled = with_next_prompt(metadata, default="prompt")
    assert [item["prompt"] for item in shuffled] == ["b", "c", "a"]
    assert [item["seconds"] for item in shuffled] == [0, 1, 2]
    assert [item["prompt"] for item in metadata] == ["a", "b", "c"]
    captions = [{"caption": name} for name in "abc"]
    assert with_next_prompt(captions, default="caption")[0] == {"caption": "a", "prompt": "b"}


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("uniform", 0.0, 1.0),
        ("logit_normal", 0.0, 1.0),
        ("trunc_logit_normal", 0.0, 1.0),
        ("one_shot", 1.0, 1.0),
        ("denoised", 0.0, 0.0),
        ("logsnr_uniform", 0.119, 0.998),
    ],
)
def test_each_player_has_its_own_distribution_of_times(document, name, low, high):
    document["training"]["arc"]["noise_dist"] = {"discriminator": name}
    t = build(document).discriminator_times.draw(1000)
    assert t.min() >= low
    assert t.max() <= high
    assert bool(t.std() > 0.1) is (low != high)


# ---------------------------------------------------------------------------------------- trimming


def test_trimmed_batch_is_as_long_as_one_of_its_items(document):
    document["training"]["trim_config"] = {"trim_prob": 1.0}
    method = build(document)
    mask = torch.arange(512) < torch.tensor([512, 205])[:, None]
    given = Encoded(torch.randn(2, 2, 512), mask)
    found = set()
    for seed in range(10):
        method.rng.seed(seed)
        cut = method._trimmed(given)
        assert cut.mask.shape[-1] == cut.latents.shape[-1]
        found.add(cut.latents.shape[-1])
    assert found == {512, 208}  # whole patches of 8
    short = replace(given, mask=torch.arange(512) < torch.tensor([[40], [50]]))
    assert method._trimmed(short).latents.shape[-1] == 128


def test_batch_stays_whole_by_default(document):
    given = Encoded(torch.randn(2, 2, 512), torch.zeros(2, 512, dtype=torch.bool))
    assert build(document)._trimmed(given) is given


# ------------------------------------------------------------------------------------------ warmup


def test_warmup_follows_the_teacher_before_players_take_turns(taught):
    method = build(taught)
    assert [method.turn(step) for step in range(6)] == [0, 0, 0, 1, 0, 1]
    result = fit(sat_config.decode({**taught, "max_steps": 4}))
    steps = rows(result)[1:]
    assert [row["train/ode_mse"] != "" for row in steps] == [True, True, False, False]
    assert [row["train/adversarial"] != "" for row in steps] == [False, False, True, False]


def test_teacher_samples_anew_at_the_refresh_rate(taught, monkeypatch):
    method = build(taught)
    ways = []
    for step in range(4):
        monkeypatch.setattr(type(method), "global_step", step)
        ways.append(
            method._way(batch(), Encoded(torch.randn(2, 2, 256), torch.ones(2, 256).bool()))
        )
    assert [ways[0] is ways[1], ways[1] is ways[2], ways[2] is ways[3]] == [True, False, True]
    way = ways[0]
    assert way.states.shape == (3, 2, 2, 256)
    assert way.times.tolist() == pytest.approx([1.0, 0.966, 0.661], abs=1e-3)


def test_student_that_jumps_to_the_end_has_no_loss_in_the_warmup(taught, monkeypatch):
    method = build(taught)
    way = method._way(batch(), Encoded(torch.randn(2, 2, 256), torch.ones(2, 256).bool()))
    monkeypatch.setattr(method, "_denoise", lambda x, t, conditioning: way.target)
    monkeypatch.setattr(type(method), "global_step", 1)
    assert method.losses(batch(), method.parts[0]).total == 0


def test_teacher_is_not_trained(taught):
    first = fit(sat_config.decode({**taught, "max_steps": 1}))
    second = fit(sat_config.decode({**taught, "max_steps": 3}))
    assert not moved(weights(first), weights(second), "teacher_model.")
    assert moved(weights(first), weights(second), "diffusion.")


# ----------------------------------------------------------------------------------- other set-ups


def test_model_that_fills_gaps_shows_the_gaps_to_all_players(taught):
    diffusion = taught["model"]["diffusion"]
    diffusion["input_concat_ids"] = ["inpaint_mask", "inpaint_masked_input"]
    diffusion["config"]["input_concat_dim"] = 3
    taught |= {"model_type": "diffusion_cond_inpaint", "name": "tiny-arc-gaps"}
    taught["training"]["inpainting"] = {}
    taught["training"]["demo"] = {"demo_steps": 2, "num_demos": 1, "demo_cfg_scales": [1]}
    teacher = build_model(sat_config.decode(taught))
    torch.save(
        {"state_dict": teacher.state_dict()}, taught["training"]["arc"]["teacher_model_ckpt"]
    )
    result = fit(sat_config.decode({**taught, "max_steps": 4}))
    assert len(list((result.run_folder / "demos" / "step=00000004").glob("*.filled.flac"))) == 1


def test_discriminator_starts_from_its_own_weights(document, tmp_path):
    network = build_model(sat_config.decode(document))
    for weight in network.parameters():
        torch.nn.init.constant_(weight, 0.5)
    path = tmp_path / "network.ckpt"
    torch.save({"state_dict": network.state_dict()}, path)
    document["training"]["arc"]["discriminator_base_ckpt"] = str(path)
    method = build(document)
    assert all((weight == 0.5).all() for weight in method.discriminator.parameters())


# ------------------------------------------------------------------------------------------ refused


def test_weights_that_do_not_fit_the_discriminator_are_refused(document, tmp_path):
    path = tmp_path / "other.ckpt"
    torch.save({"state_dict": {"something": torch.zeros(3)}}, path)
    document["training"]["arc"]["discriminator_base_ckpt"] = str(path)
    with pytest.raises(UserError, match=r"other\.ckpt"):
        build(document)


def test_crops_that_the_head_cannot_take_are_refused(document):
    head = {**HEAD, "config": {"channels": 8, "strides": [2, 4, 8, 8]}}
    document["training"]["arc"]["discriminator"] = head
    with pytest.raises(UserError, match="needs crops of at least 4096 samples"):
        build(document)


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_curved_path_is_refused(document):
    document["model"]["diffusion"]["diffusion_objective"] = "v"
    with pytest.raises(UserError, match="model predicts the velocity v"):
        build(document)
