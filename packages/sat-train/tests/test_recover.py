import csv
import logging

import pytest
import soundfile
import torch

import sat_config
from sat_config import UserError
from sat_models.errors import CheckpointError
from sat_train import fit


def run(document, **changes):
    return fit(sat_config.decode({**document, **changes}))


def read(path):
    return torch.load(path, weights_only=True)


def steps(result):
    with (result.run_folder / "logs" / "metrics.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def same(first, second):
    first, second = read(first.checkpoint), read(second.checkpoint)
    weights = first["state_dict"].keys() == second["state_dict"].keys() and all(
        torch.equal(first["state_dict"][key], second["state_dict"][key])
        for key in first["state_dict"]
    )
    moments = [content["optimizer_states"][0]["state"] for content in (first, second)]
    return weights and all(
        torch.equal(moments[0][key]["exp_avg"], moments[1][key]["exp_avg"]) for key in moments[0]
    )


def test_recovered_run_ends_as_one_that_was_not_interrupted(autoencoder_document):
    whole = run(autoencoder_document, name="whole", max_steps=5)
    first = run(autoencoder_document, max_steps=3)
    second = run(autoencoder_document, max_steps=5, recover=True)
    assert second.step == 5
    assert second.run_folder == first.run_folder
    assert same(whole, second)
    assert steps(second) == [0, 1, 2, 3, 4, 5]


def test_recover_keeps_what_the_earlier_start_said_of_itself(autoencoder_document):
    run(autoencoder_document, max_steps=3)
    second = run(autoencoder_document, max_steps=5, recover=True)
    assert sat_config.load(second.run_folder / "config.toml").max_steps == 5
    before = second.run_folder / "before_step=00000003"
    assert sat_config.load(before / "config.toml").max_steps == 3


def test_recover_compares_with_the_figures_before_training(autoencoder_document, capsys):
    run(autoencoder_document, max_steps=3)
    first = capsys.readouterr().out
    run(autoencoder_document, max_steps=5, recover=True)
    second = capsys.readouterr().out
    (start,) = (line for line in first.splitlines() if line.startswith("step 0 "))
    assert f", {start.split()[3]} before training" in second
    assert "resumed     step 3 of" in second
    assert "max_steps: 3 -> 5" in second


def test_recover_names_a_dataset_that_has_changed(autoencoder_document, clips, caplog):
    run(autoencoder_document, max_steps=2)
    with caplog.at_level(logging.WARNING):
        run(autoencoder_document, max_steps=3, recover=True)
    assert "HAS CHANGED" not in caplog.text
    soundfile.write(clips / "train" / "new.wav", torch.rand(900, 2).numpy(), 8000)
    with caplog.at_level(logging.WARNING):
        run(autoencoder_document, max_steps=4, recover=True)
    assert "DATASET HAS CHANGED" in caplog.text
    assert "then  4 files" in caplog.text
    assert "now   5 files" in caplog.text
    assert "VAL_DATASET" not in caplog.text


def test_recover_without_a_run_starts_one(autoencoder_document):
    assert run(autoencoder_document, recover=True, max_steps=1).step == 1


def test_recover_of_a_finished_run_does_nothing(autoencoder_document, capsys):
    first = run(autoencoder_document, max_steps=2)
    second = run(autoencoder_document, max_steps=2, recover=True)
    assert (second.checkpoint, second.step) == (first.checkpoint, 2)
    assert "nothing left to do" in capsys.readouterr().out
    assert not (first.run_folder / "before_step=00000002").exists()


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_recover_passes_over_a_damaged_checkpoint(autoencoder_document, damage, caplog):
    first = run(autoencoder_document, max_steps=4, checkpoint_every=2)
    content = bytearray(first.checkpoint.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        middle = len(content) // 2
        for place in range(middle, middle + 256):  # longer than the padding between entries
            content[place] ^= 0xFF
    first.checkpoint.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        second = run(autoencoder_document, max_steps=6, checkpoint_every=2, recover=True)
    assert str(first.checkpoint) in caplog.text
    assert steps(second) == [0, 1, 2, 3, 4, 5, 6]
    assert read(second.checkpoint)["sat"]["batches"] == 6
    assert read(first.checkpoint)["global_step"] == 4  # written again
    assert second.checkpoint.name == "step=00000006.ckpt"


def test_recover_takes_the_newest_run(autoencoder_document):
    run(autoencoder_document, max_steps=3)
    newer = run(autoencoder_document, max_steps=2)
    assert run(autoencoder_document, max_steps=4, recover=True).run_folder == newer.run_folder


def test_recover_takes_the_learning_rate_of_the_configuration(autoencoder_document):
    run(autoencoder_document, max_steps=1)
    autoencoder_document["training"]["learning_rate"] = 1e-5
    second = run(autoencoder_document, max_steps=2, recover=True)
    (group,) = read(second.checkpoint)["optimizer_states"][0]["param_groups"]
    assert group["lr"] == 1e-5


def test_recover_with_another_model_is_refused(autoencoder_document):
    first = run(autoencoder_document, max_steps=1)
    autoencoder_document["model"]["decoder"]["soft_clip"] = True
    with pytest.raises(UserError, match=r"model\.decoder\.soft_clip: false -> true") as caught:
        run(autoencoder_document, max_steps=2, recover=True)
    assert str(first.checkpoint) in str(caught.value)


def test_accumulated_batches_are_not_repeated(autoencoder_document):
    whole = run(autoencoder_document, name="whole", max_steps=4, accum_batches=2)
    run(autoencoder_document, max_steps=2, accum_batches=2)
    assert same(whole, run(autoencoder_document, max_steps=4, accum_batches=2, recover=True))


def test_ckpt_path_continues_in_a_run_of_its_own(autoencoder_document):
    whole = run(autoencoder_document, name="whole", max_steps=4)
    first = run(autoencoder_document, name="first", max_steps=2)
    second = run(autoencoder_document, name="second", max_steps=4, ckpt_path=str(first.run_folder))
    assert second.run_folder.parent.name == "second"
    assert same(whole, second)
    assert steps(second) == [3, 4]


def test_ckpt_path_of_bare_weights_is_refused(autoencoder_document, tmp_path):
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "weights.ckpt")
    with pytest.raises(CheckpointError, match="set pretrained_ckpt_path"):
        run(autoencoder_document, ckpt_path=str(tmp_path / "weights.ckpt"))


def test_latent_model_recovers_without_its_pretransforms_checkpoint(
    autoencoder_document, diffusion_document
):
    codec = run(autoencoder_document, max_steps=1)
    weights = {"pretransform_ckpt_path": str(codec.checkpoint)}
    whole = run(diffusion_document, name="whole", max_steps=3, **weights)
    run(diffusion_document, max_steps=2, **weights)
    codec.checkpoint.unlink()
    assert same(whole, run(diffusion_document, max_steps=3, recover=True))


def test_recover_with_another_optimizer_is_refused(autoencoder_document):
    run(autoencoder_document, max_steps=1)
    del autoencoder_document["training"]["learning_rate"]
    group = {"optimizer": {"type": "SGD", "config": {"lr": 1e-3}}}
    autoencoder_document["training"]["optimizer_configs"] = {"autoencoder": group}
    with pytest.raises(UserError, match=r"continue with SGD.*holds the state of AdamW"):
        run(autoencoder_document, max_steps=2, recover=True)


def test_recover_says_so_before_another_optimizer_looks_at_the_state(autoencoder_document):
    training = autoencoder_document["training"]
    del training["learning_rate"]
    momentum = {"type": "SGD", "config": {"lr": 1e-3, "momentum": 0.9}}
    training["optimizer_configs"] = {"autoencoder": {"optimizer": momentum}}
    run(autoencoder_document, max_steps=1)
    training["optimizer_configs"]["autoencoder"]["optimizer"] = {"type": "Adam", "config": {}}
    with pytest.raises(UserError, match=r"continue with Adam: .* the state of SGD\."):
        run(autoencoder_document, max_steps=2, recover=True)


def test_checkpoint_that_does_not_name_its_optimizers_is_continued(autoencoder_document):
    first = run(autoencoder_document, max_steps=1)
    content = torch.load(first.checkpoint, weights_only=True)
    del content["sat"]["optimizers"]
    torch.save(content, first.checkpoint)
    assert run(autoencoder_document, max_steps=2, recover=True).step == 2


@pytest.mark.parametrize("after", [None, "ExponentialLR"])
def test_recover_with_another_scheduler_is_refused(autoencoder_document, after):
    training = autoencoder_document["training"]
    del training["learning_rate"]
    optimizer = {"type": "SGD", "config": {"lr": 1e-3}}

    def optimizers(scheduler):
        node = {"scheduler": {"type": scheduler, "config": {"gamma": 0.9}}} if scheduler else {}
        return {"autoencoder": {"optimizer": optimizer, **node}}

    training["optimizer_configs"] = optimizers("InverseLR")
    training["optimizer_configs"]["autoencoder"]["scheduler"]["config"] = {"inv_gamma": 2.0}
    run(autoencoder_document, max_steps=1)
    training["optimizer_configs"] = optimizers(after)
    with pytest.raises(UserError, match=r"holds the state of SGD with InverseLR\."):
        run(autoencoder_document, max_steps=2, recover=True)


def test_pretransform_is_folded_and_recovered(autoencoder_document, diffusion_document):
    codec = run(autoencoder_document, max_steps=1)
    settings = {
        "pretransform_ckpt_path": str(codec.checkpoint),
        "remove_pretransform_weight_norm": "post_load",
    }
    first = run(diffusion_document, max_steps=2, **settings)
    names = read(first.checkpoint)["state_dict"]
    assert not [name for name in names if "pretransform" in name and name.endswith("weight_g")]
    assert run(diffusion_document, max_steps=3, recover=True, **settings).step == 3
