"""Training of diffusion models: conditions, padding, gaps, times, averages and demos."""

import csv
from dataclasses import replace

import pytest
import torch

import sat_config
from sat_models.build import build_model
from sat_models.checkpoint import open_checkpoint
from sat_models.data.batch import AudioBatch, Item, LatentBatch
from sat_train import fit
from sat_train.family import build_training
from sat_train.methods.denoising import by_noise_level
from sat_train.methods.dropout import without_some
from sat_train.methods.latent import encode, per_frame

GAPS = {"mask_type_probabilities": [1.0, 0.0, 0.0], "max_mask_segments": 2}


@pytest.fixture
def document(diffusion_document):
    """A tiny conditional model of audio, without a pretransform."""
    seconds = {"type": "number", "config": {"min_val": 0, "max_val": 10}}
    return {
        **diffusion_document,
        "model_type": "diffusion_cond",
        "name": "tiny-cond",
        "model": {
            "io_channels": 2,
            "conditioning": {
                "cond_dim": 8,
                "configs": [{"id": "seconds_total", **seconds}, {"id": "seconds_start", **seconds}],
            },
            "diffusion": {
                "type": "dit",
                "diffusion_objective": "rectified_flow",
                "cross_attention_cond_ids": ["seconds_total"],
                "global_cond_ids": ["seconds_start"],
                "config": {
                    "io_channels": 2,
                    "embed_dim": 32,
                    "depth": 1,
                    "num_heads": 1,
                    "patch_size": 8,
                    "cond_token_dim": 8,
                    "global_cond_dim": 8,
                },
            },
        },
        "training": {
            "learning_rate": 1e-3,
            "demo": {
                "demo_steps": 2,
                "num_demos": 2,
                "demo_cfg_scales": [1, 3],
                "demo_cond": [{"seconds_start": 0, "seconds_total": 1}] * 2,
            },
        },
    }


@pytest.fixture
def filling(document):
    """The same, filling gaps."""
    document |= {"model_type": "diffusion_cond_inpaint", "name": "tiny-gaps"}
    document["model"]["diffusion"] |= {
        "input_concat_ids": ["inpaint_mask", "inpaint_masked_input"],
        "config": {**document["model"]["diffusion"]["config"], "input_concat_dim": 3},
    }
    document["training"] |= {
        "inpainting": {"mask_kwargs": GAPS},
        "demo": {"demo_steps": 2, "num_demos": 1, "demo_cfg_scales": [1, 3]},
    }
    return document


def build(document):
    experiment = sat_config.decode(document)
    return build_training(experiment, model=build_model(experiment)).train()


def batch(*, lengths=(256, 256), samples=256):
    mask = torch.arange(samples) < torch.tensor(lengths)[:, None]
    metadata = {"seconds_start": 0, "seconds_total": 2}
    items = tuple(Item(str(i), str(i), 0, 0.0, 2.0, metadata=metadata) for i in range(len(lengths)))
    return AudioBatch(0.1 * torch.randn(len(lengths), 2, samples) * mask[:, None], mask, items)


def rows(result):
    with (result.run_folder / "logs" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def loss(method, given):
    return method.losses(given, method.parts[0])


# ---------------------------------------------------------------------------------- whole runs


def test_conditional_model_trains_validates_averages_and_shows_itself(document):
    result = fit(sat_config.decode(document))
    assert set(result.metrics) == {"val/loss", *(f"val/loss_0.{n}" for n in (1, 3, 5, 7, 9))}
    names = sorted(path.name for path in (result.run_folder / "demos" / "step=00000004").iterdir())
    assert names == [
        f"0{index}_cfg_{scale}.{end}"
        for index, scale in enumerate((1, 1, 3, 3))
        for end in ("flac", "png")
    ]
    state = torch.load(result.checkpoint, weights_only=True)["state_dict"]
    averaged = {name for name in state if name.startswith("diffusion_ema.ema_model.")}
    assert averaged == {
        name.replace("diffusion.model.", "diffusion_ema.ema_model.")
        for name in state
        if name.startswith("diffusion.model.")
    }
    assert open_checkpoint(result.checkpoint, ema=True).state_dict.keys() == {
        name.removeprefix("diffusion.") for name in state if name.startswith("diffusion.")
    }


@pytest.mark.parametrize("sampler", ["uniform", "log_snr"])
def test_recovered_run_ends_as_one_that_was_not_interrupted(filling, sampler):
    filling["training"] |= {"timestep_sampler": sampler, "mask_padding": True}
    filling["training"]["mask_padding_dropout"] = 0.5
    del filling["training"]["demo"]
    whole = fit(sat_config.decode({**filling, "name": "whole", "max_steps": 5}))
    fit(sat_config.decode({**filling, "max_steps": 3}))
    second = fit(sat_config.decode({**filling, "max_steps": 5, "recover": True}))
    states = [torch.load(r.checkpoint, weights_only=True)["state_dict"] for r in (whole, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_model_that_fills_gaps_is_validated_and_shows_them(filling):
    result = fit(sat_config.decode({**filling, "max_steps": 1}))
    assert result.metrics["val/loss"] > 0
    demos = result.run_folder / "demos" / "step=00000001"
    assert {path.name for path in demos.glob("00*")} == {
        "00_cfg_1.original.flac",
        "00_cfg_1.masked.flac",
        "00_cfg_1.filled.flac",
        "00_cfg_1.png",
    }
    assert len(list(demos.glob("*.png"))) == 2


def test_validation_draws_the_same_every_time(filling):
    del filling["training"]["demo"]
    result = fit(sat_config.decode({**filling, "max_steps": 3, "val_every": 1}))
    filling["training"]["learning_rate"] = 1e-12
    still = fit(sat_config.decode({**filling, "max_steps": 3, "val_every": 1}))
    losses = [float(row["val/loss"]) for row in rows(still)]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-4)
    assert len({row["val/loss"] for row in rows(result)}) == 4


def test_model_without_a_demo_table_shows_nothing(document):
    del document["training"]["demo"]
    result = fit(sat_config.decode({**document, "max_steps": 1}))
    assert not list(result.run_folder.glob("demos/*/*"))


def test_conditions_of_demos_may_come_from_the_data(document):
    document["training"]["demo"] |= {"demo_cond_from_batch": True, "demo_cond": []}
    result = fit(sat_config.decode({**document, "max_steps": 1}))
    demos = result.run_folder / "demos" / "step=00000001"
    assert {path.name for path in demos.glob("*.flac")} == {"00_cfg_1.flac", "01_cfg_3.flac"}


def test_audio_among_the_conditions_is_shown_with_its_mix(document):
    document["training"]["demo"] |= {
        "demo_cond_from_batch": True,
        "demo_cond": [],
        "demo_cfg_scales": [1],
        "cond_display_configs": [
            {"id": "audio", "type": "audio", "config": {"display_mix": True}},
        ],
    }
    result = fit(sat_config.decode({**document, "max_steps": 1}))
    demos = result.run_folder / "demos" / "step=00000001"
    assert {path.name.split(".")[1] for path in demos.glob("*.flac")} == {
        "generated",
        "audio",
        "audio_mix",
    }


def test_unreadable_condition_of_a_demo_does_not_stop_training(document, caplog):
    document["training"]["demo"]["demo_cond"] = [{"seconds_start": "soon", "seconds_total": 1}] * 2
    assert fit(sat_config.decode({**document, "max_steps": 2})).step == 2
    assert "no demo at step 2" in caplog.text


# --------------------------------------------------------------------------- what is left out


def test_share_of_the_items_loses_its_conditions(document):
    method = build(document)
    conditioning = method.model.condition(batch(lengths=(256,) * 400).metadata)
    dropped = without_some(conditioning, share=0.25, like=torch.zeros(400))
    gone = (dropped.cross_attention == 0).flatten(1).all(1)
    assert gone.float().mean().item() == pytest.approx(0.25, abs=0.07)
    assert torch.equal(dropped.global_, conditioning.global_)


def test_validation_leaves_no_condition_out(document, monkeypatch):
    document["training"]["cfg_dropout_prob"] = 1.0
    method = build(document)
    seen = []

    def forward(x, t, conditioning, *, padding_mask):
        seen.append(bool(conditioning.cross_attention.any()))
        return torch.zeros_like(x)

    monkeypatch.setattr(method.diffusion.model, "forward", forward)
    loss(method, batch())
    with torch.no_grad():
        method.validate([batch()])
    assert seen == [False] + [True] * 5


# ------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("kind", [torch.bool, torch.int64])
def test_padding_does_not_count_if_it_is_masked(document, monkeypatch, kind):
    document["training"]["mask_padding"] = True
    method = build(document)
    clip = batch(lengths=(128, 256))
    clip = replace(clip, padding_mask=clip.padding_mask.to(kind))
    wrong = torch.zeros(2, 2, 256)
    wrong[0, :, 128:] = 1000.0

    def forward(x, t, conditioning, *, padding_mask):
        assert padding_mask.dtype == torch.bool
        return wrong

    monkeypatch.setattr(method.diffusion.model, "forward", forward)
    assert loss(method, clip).total < 10


def test_padding_counts_at_times_if_that_is_asked_for(document):
    document["training"] |= {"mask_padding": True, "mask_padding_dropout": 0.5}
    method = build(document)
    encoded = encode(method.diffusion, batch(), dtype=torch.float32)
    heeded = [method.task(batch(), encoded, training=True).counted is not None for _ in range(200)]
    assert sum(heeded) / 200 == pytest.approx(0.5, abs=0.12)
    assert method.task(batch(), encoded, training=False).counted is not None


def test_mask_of_samples_becomes_one_of_frames():
    mask = torch.arange(16)[None] < 9
    assert per_frame(mask, 4).tolist() == [[True, True, True, False]]
    assert per_frame(mask, 16) is mask


def test_stored_latents_are_divided_by_the_scale(diffusion_document):
    method = build(diffusion_document)
    latents = LatentBatch(torch.randn(2, 3, 32), torch.ones(2, 32, dtype=torch.bool), ())
    encoded = encode(method.diffusion, latents, dtype=torch.float32)
    assert torch.equal(encoded.latents, latents.latents / 2.0)


# ---------------------------------------------------------------------------------------- times


def test_even_coverage_goes_on_from_batch_to_batch_and_over_processes(document):
    method = build(document)
    draw = method.times.draw
    settings = {"frames": 32, "seed": 5, "device": torch.device("cpu")}
    one = torch.cat([draw(4, number=n, **settings) for n in range(4)])
    other = torch.cat([draw(4, number=n, **settings) for n in (1, 3)])
    assert torch.equal(other, torch.cat((one[4:8], one[12:])))
    assert sorted((one * 16).long().tolist()) == list(range(16))


def test_some_items_start_from_noise_alone(document):
    document["training"]["p_one_shot"] = 0.25
    method = build(document)
    t = method.times.draw(400, frames=32, seed=0, number=0, device=torch.device("cpu"))
    assert (t == 1).float().mean().item() == pytest.approx(0.25, abs=0.07)


def test_times_are_shifted_by_the_length_in_frames(document):
    document["model"]["diffusion"]["distribution_shift_options"] = {
        "min_length": 32,
        "max_length": 64,
        "base_shift": 0.0,
        "max_shift": 3.0,
    }
    method = build(document)
    settings = {"seed": 0, "number": 0, "device": torch.device("cpu")}
    short, long = (method.times.draw(64, frames=frames, **settings) for frames in (32, 64))
    assert (long > short).all()


def test_times_are_single_precision_whatever_the_model_computes_in(document):
    method = build(document)
    torch.set_default_dtype(torch.bfloat16)
    try:
        t = method.times.draw(2, frames=32, seed=0, number=0, device=torch.device("cpu"))
        assert torch.get_default_dtype() == torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)
    assert t.dtype == torch.float32


def test_loss_is_recorded_by_noise_level_on_request(document):
    document["training"]["log_loss_info"] = True
    figures = loss(build(document), batch()).figures
    assert any(name.startswith("loss_0.") for name in figures)
    errors = torch.tensor([1.0, 3.0, 5.0]).view(3, 1, 1)
    found = by_noise_level(errors, torch.tensor([0.05, 0.01, 1.0]))
    assert {name: float(value) for name, value in found.items()} == {"loss_0.0": 2, "loss_0.9": 5}


# ---------------------------------------------------------------------------------------- gaps


def test_network_sees_gaps_and_what_is_left(filling, monkeypatch):
    method = build(filling)
    seen = {}

    def forward(x, t, conditioning, *, padding_mask):
        seen["channels"] = conditioning.input_concat
        return torch.zeros_like(x)

    monkeypatch.setattr(method.diffusion.model, "forward", forward)
    clip = batch()
    loss(method, clip)
    mask, rest = seen["channels"][:, :1], seen["channels"][:, 1:]
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(rest, clip.audio * mask)
