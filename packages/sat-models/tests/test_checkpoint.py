import contextlib
import os
import pickle

import pytest
import safetensors.torch
import torch
from torch import nn

from sat_models.checkpoint import (
    fingerprint,
    load_weights,
    open_checkpoint,
    resolve_checkpoint,
    save_checkpoint,
)
from sat_models.errors import CheckpointError


class Autoencoder(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.encoder = nn.Linear(width, 2)
        self.decoder = nn.Linear(2, width)


class Pretransform(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Autoencoder()


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Linear(2, 2)


class Diffusion(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Backbone()
        self.pretransform = Pretransform()


def prefixed(prefix, module):
    return {prefix + name: value for name, value in module.state_dict().items()}


def save_torch(path, state_dict, **more):
    torch.save({"state_dict": state_dict, **more}, path)
    return path


def agree(left, right):
    return fingerprint(left.state_dict()) == fingerprint(right.state_dict())


@pytest.fixture
def source():
    return Autoencoder()


@pytest.fixture
def wrapped(tmp_path, source):
    """A training checkpoint as SAT's wrapper of an autoencoder makes it."""
    averaged = Autoencoder()
    state = {
        **prefixed("autoencoder.", source),
        **prefixed("autoencoder_ema.ema_model.", averaged),
        **prefixed("autoencoder_ema.online_model.", source),
        "autoencoder_ema.step": torch.tensor(7),
        "discriminator.conv.weight": torch.zeros(3),
        "losses_gen.losses.0.weight": torch.zeros(1),
    }
    path = save_torch(tmp_path / "wrapped.ckpt", state, model_config={"sample_rate": 44100})
    return path, averaged


def test_fingerprint_tells_names_shapes_types_and_values_apart():
    value = torch.arange(4.0)
    states = [
        {"a": value},
        {"b": value},
        {"a": value.reshape(2, 2)},
        {"a": value.to(torch.float64)},
        {"a": value.to(torch.bfloat16)},
        {"a": -value},
        {"a": value, "b": torch.tensor(1)},
        {},
    ]
    assert len({fingerprint(state) for state in states}) == len(states)
    assert fingerprint({"a": value, "b": value}) == fingerprint({"b": value, "a": value})
    assert fingerprint({"a": torch.arange(8.0)[::2] / 2}) == fingerprint({"a": value})
    assert fingerprint({}) == "e3b0c44298fc1c14"


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
def test_saved_checkpoint_comes_back_with_its_config(tmp_path, source, suffix):
    path = tmp_path / "new" / f"vae.{suffix}"
    save_checkpoint(path, source, config='{"model_type": "autoencoder"}')
    opened = open_checkpoint(path)
    assert opened.config == '{"model_type": "autoencoder"}'
    assert opened.fingerprint == fingerprint(source.state_dict())
    target = Autoencoder()
    report = load_weights(target, opened)
    assert report.complete
    assert len(report.matched) == 4
    assert agree(target, source)
    assert os.listdir(path.parent) == [path.name]


def test_saved_ckpt_is_what_sat_calls_an_unwrapped_checkpoint(tmp_path, source):
    save_checkpoint(tmp_path / "vae.ckpt", source, config="{}")
    content = torch.load(tmp_path / "vae.ckpt", weights_only=True)
    assert content["state_dict"].keys() == source.state_dict().keys()


def test_modules_that_share_weights_can_be_saved(tmp_path):
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    save_checkpoint(tmp_path / "tied.safetensors", tied, config="{}")
    assert load_weights(tied, open_checkpoint(tmp_path / "tied.safetensors")).complete


def test_saving_under_another_suffix_is_refused(tmp_path, source):
    with pytest.raises(CheckpointError, match=r"vae\.pt: weights are saved as \.safetensors or "):
        save_checkpoint(tmp_path / "vae.pt", source, config="{}")


def test_weights_that_were_altered_after_saving_are_refused(tmp_path, source):
    path = tmp_path / "vae.safetensors"
    save_checkpoint(path, source, config="{}")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"vae\.safetensors: the weights are not those"):
        open_checkpoint(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_bare_state_dict_and_exported_file_open_alike(tmp_path, source, legacy):
    torch.save(source.state_dict(), tmp_path / "bare.pt", _use_new_zipfile_serialization=not legacy)
    exported = save_torch(tmp_path / "exported.ckpt", source.state_dict())
    safetensors.torch.save_file(source.state_dict(), tmp_path / "hub.safetensors")
    names = [tmp_path / "bare.pt", exported, tmp_path / "hub.safetensors"]
    assert {open_checkpoint(name).fingerprint for name in names} == {
        fingerprint(source.state_dict())
    }


def test_training_checkpoint_opens_as_the_model_within(wrapped, source):
    opened = open_checkpoint(wrapped[0])
    assert opened.fingerprint == fingerprint(source.state_dict())
    assert opened.set_aside == {"autoencoder_ema": 9, "discriminator": 1, "losses_gen": 1}
    assert opened.has_average
    assert opened.config == '{"sample_rate": 44100}'
    target = Autoencoder()
    text = str(load_weights(target, opened))
    assert "not part of the model: autoencoder_ema (9), discriminator (1), losses_gen (1)" in text
    assert agree(target, source)


def test_averaged_weights_are_taken_when_asked_for(wrapped):
    target = Autoencoder()
    load_weights(target, open_checkpoint(wrapped[0], ema=True))
    assert agree(target, wrapped[1])


def test_average_of_the_backbone_alone_replaces_the_backbone(tmp_path):
    source, averaged = Diffusion(), Backbone()
    state = {**prefixed("diffusion.", source), **prefixed("diffusion_ema.ema_model.", averaged)}
    target = Diffusion()
    load_weights(target, open_checkpoint(save_torch(tmp_path / "d.ckpt", state), ema=True))
    assert agree(target.model, averaged)
    assert agree(target.pretransform, source.pretransform)


def test_language_model_is_found_in_its_training_checkpoint(tmp_path):
    """SAT's wrapper keeps it under the name that latent models give their backbone."""
    source, averaged = nn.ModuleDict({"lm": Backbone()}), nn.ModuleDict({"lm": Backbone()})
    state = {**prefixed("model.", source), **prefixed("model_ema.ema_model.", averaged)}
    path = save_torch(tmp_path / "lm.ckpt", {**state, "model_ema.step": torch.tensor(7)})
    assert open_checkpoint(path).fingerprint == fingerprint(source.state_dict())
    assert open_checkpoint(path).set_aside == {"model_ema": 3}
    assert open_checkpoint(path, ema=True).fingerprint == fingerprint(averaged.state_dict())


def test_config_that_is_no_plain_data_is_refused(tmp_path, source):
    state, config = source.state_dict(), {"sample_rate": torch.zeros(1)}
    path = save_torch(tmp_path / "x.ckpt", state, model_config=config)
    with pytest.raises(CheckpointError, match=r"x\.ckpt: its model_config is no plain data"):
        open_checkpoint(path)


def test_file_without_averaged_weights_says_so(tmp_path, source):
    wrapped = save_torch(tmp_path / "w.ckpt", prefixed("autoencoder.", source))
    bare = save_torch(tmp_path / "b.ckpt", source.state_dict())
    for path in (wrapped, bare):
        with pytest.raises(CheckpointError, match="holds no averaged weights"):
            open_checkpoint(path, ema=True)


def test_config_of_our_training_checkpoints_is_read(tmp_path, source):
    sat = {"config": '{"seed": 1}', "version": "0.1.0"}
    path = save_torch(tmp_path / "a.ckpt", prefixed("autoencoder.", source), sat=sat)
    assert open_checkpoint(path).config == '{"seed": 1}'


@pytest.mark.parametrize("prefix", ["", "autoencoder."])
def test_autoencoder_loads_into_a_pretransform(tmp_path, source, prefix):
    path = save_torch(tmp_path / "vae.ckpt", prefixed(prefix, source))
    target = Diffusion()
    assert load_weights(target.pretransform, open_checkpoint(path)).complete
    assert agree(target.pretransform.model, source)


@pytest.mark.parametrize("prefix", ["", "diffusion."])
@pytest.mark.parametrize("part", ["pretransform", "pretransform.model"])
def test_autoencoder_is_found_in_a_latent_model(tmp_path, prefix, part):
    source, target = Diffusion(), Diffusion()
    path = save_torch(tmp_path / "latent.ckpt", prefixed(prefix, source))
    report = load_weights(target.get_submodule(part), open_checkpoint(path))
    assert report.complete
    assert report.set_aside["model"] == 2
    assert agree(target.pretransform, source.pretransform)
    assert not agree(target.model, source.model)


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module.", "autoencoder._orig_mod.", "module.autoencoder._orig_mod."]
)
def test_names_of_compiled_and_parallel_models_are_found(tmp_path, source, prefix):
    target = Autoencoder()
    path = save_torch(tmp_path / "vae.ckpt", prefixed(prefix, source))
    assert load_weights(target, open_checkpoint(path)).complete
    assert agree(target, source)


def test_empty_file_is_told_as_such(tmp_path):
    (tmp_path / "vae.ckpt").touch()
    with pytest.raises(CheckpointError, match=r"\(0 bytes\) .* cut short \(EOFError\)"):
        open_checkpoint(tmp_path / "vae.ckpt")


def test_whole_latent_model_loads_as_it_is(tmp_path):
    source, target = Diffusion(), Diffusion()
    path = save_torch(tmp_path / "latent.ckpt", prefixed("diffusion.", source))
    assert load_weights(target, open_checkpoint(path)).complete
    assert agree(target, source)


def test_strict_load_that_does_not_match_changes_nothing_and_reports(tmp_path, source):
    state = source.state_dict()
    state["decoder.extra"] = torch.zeros(1)
    del state["encoder.bias"]
    state["decoder.bias"] = torch.zeros(9)
    path = save_torch(tmp_path / "vae.ckpt", state)
    target = Autoencoder()
    before = fingerprint(target.state_dict())
    with pytest.raises(CheckpointError) as caught:
        load_weights(target, open_checkpoint(path))
    assert str(caught.value).splitlines() == [
        f"{path} ({fingerprint(state)}): 2 of the model's 4 tensors match",
        "  encoder: 1 match, 1 missing",
        "  decoder: 1 match, 1 unknown, 1 of another shape",
        "  missing in the file: encoder.bias",
        "  unknown to the model: decoder.extra",
        "  of another shape: decoder.bias (9,), model (3,)",
        "The sizes in the configuration are not those that the checkpoint was trained with: use the"
        " configuration that belongs to it.",
    ]
    assert fingerprint(target.state_dict()) == before


def test_load_in_part_takes_what_matches_and_warns(tmp_path, source, caplog):
    state = source.state_dict()
    del state["encoder.bias"]
    path = save_torch(tmp_path / "vae.ckpt", state)
    target = Autoencoder()
    report = load_weights(target, open_checkpoint(path), strict=False)
    assert report.missing == ("encoder.bias",)
    assert torch.equal(target.encoder.weight, source.encoder.weight)
    assert "3 of the model's 4 tensors match" in caplog.text


@pytest.mark.parametrize("strict", [True, False])
def test_load_that_matches_nothing_is_always_an_error(tmp_path, source, strict):
    path = save_torch(tmp_path / "other.ckpt", nn.LSTM(2, 2).state_dict())
    with pytest.raises(CheckpointError, match="0 of the model's 4 tensors match") as caught:
        load_weights(source, open_checkpoint(path), strict=strict)
    assert str(caught.value).endswith("it is a checkpoint of something else.")


def test_autoencoder_given_for_a_whole_latent_model_is_told_its_place(tmp_path, source):
    path = save_torch(tmp_path / "vae.ckpt", source.state_dict())
    with pytest.raises(CheckpointError, match="alone: it is a pretransform_ckpt_path"):
        load_weights(Diffusion(), open_checkpoint(path))


def test_other_sizes_throughout_are_told_as_sizes(tmp_path):
    path = save_torch(tmp_path / "vae.ckpt", {"encoder.weight": torch.zeros(7, 7)})
    target = nn.Sequential()
    target.encoder = nn.Linear(3, 2, bias=False)
    with pytest.raises(
        CheckpointError, match=r"encoder\.weight \(7, 7\), model \(2, 3\)"
    ) as caught:
        load_weights(target, open_checkpoint(path))
    assert "The sizes in the configuration" in str(caught.value)


def test_values_take_the_dtype_of_the_module(tmp_path, source):
    path = save_torch(tmp_path / "half.ckpt", Autoencoder().half().state_dict())
    load_weights(source, open_checkpoint(path))
    assert source.encoder.weight.dtype == torch.float32


class Custom:
    pass


def test_file_that_would_run_code_is_refused_with_a_way_out(tmp_path, source):
    path = save_torch(tmp_path / "unsafe.ckpt", source.state_dict(), settings=Custom())
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    text = str(caught.value)
    assert text.startswith(f"{path} is refused: to open it, Python would have to import and run ")
    assert "Custom" in text
    assert 'torch.save({"state_dict": checkpoint["state_dict"]}, PATH)' in text


def test_refused_code_does_not_run(tmp_path):
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    (tmp_path / "attack.pt").write_bytes(pickle.dumps({"state_dict": Attack()}, protocol=2))
    with pytest.raises(CheckpointError, match=r"import and run \w+\.mkdir"):
        open_checkpoint(tmp_path / "attack.pt")
    assert not marker.exists()


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_truncated_file_is_an_error_naming_it(tmp_path, source, suffix, share):
    path = tmp_path / f"vae.{suffix}"
    if suffix == "ckpt":
        save_torch(path, source.state_dict())
    else:
        save_checkpoint(path, source, config="{}")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert f"{path} (" in str(caught.value)
    assert "bytes) cannot be opened: it is no checkpoint, damaged, or cut short" in str(
        caught.value
    )


@pytest.mark.parametrize("position", range(0, 700, 37))
def test_damaged_file_opens_or_is_an_error_of_ours(tmp_path, source, position):
    path = tmp_path / "vae.ckpt"
    torch.save(source.state_dict(), path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)
    with contextlib.suppress(CheckpointError):
        open_checkpoint(path)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"state_dict": {}}, {"state_dict": 5}])
def test_file_without_weights_says_what_it_has(tmp_path, content):
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"x\.ckpt holds no weights: expected a state dict"):
        open_checkpoint(tmp_path / "x.ckpt")


@pytest.fixture
def runs(tmp_path):
    checkpoints = tmp_path / "runs" / "vae" / "20260101-000000-abcdef01" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for step in (100, 200, 90):
        (checkpoints / f"step={step:08d}.ckpt").write_bytes(b"x")
    pointer = "20260101-000000-abcdef01/checkpoints/step=00000100.ckpt"
    (tmp_path / "runs" / "vae" / "latest").write_text(pointer + "\n")
    return tmp_path / "runs" / "vae"


def test_reference_to_a_run_is_the_checkpoint_of_the_highest_step(runs):
    run = runs / "20260101-000000-abcdef01"
    newest = run / "checkpoints" / "step=00000200.ckpt"
    assert resolve_checkpoint(run) == newest
    assert resolve_checkpoint(run / "checkpoints") == newest
    assert resolve_checkpoint(newest) == newest


def test_pointer_is_followed_before_anything_else(runs):
    run = runs / "20260101-000000-abcdef01"
    expected = run / "checkpoints" / "step=00000100.ckpt"
    assert resolve_checkpoint(runs / "latest") == expected
    assert resolve_checkpoint(runs) == expected
    (run / "checkpoints" / "latest").write_text("step=00000090.ckpt")
    assert resolve_checkpoint(run).name == "step=00000090.ckpt"


def test_pointer_to_nothing_says_what_it_holds(runs):
    (runs / "latest").write_text("gone/step=1.ckpt")
    with pytest.raises(CheckpointError, match=r"says 'gone/step=1\.ckpt', which is no file there"):
        resolve_checkpoint(runs)


def test_pointer_that_is_a_checkpoint_is_no_pointer(runs):
    (runs / "latest").write_bytes(b"\x80\x02\xff\xfe")
    with pytest.raises(CheckpointError, match="is not a pointer to a checkpoint"):
        resolve_checkpoint(runs / "latest")


def test_reference_to_nothing_says_what_was_looked_for(tmp_path):
    with pytest.raises(CheckpointError, match=r"vae\.ckpt does not exist; a checkpoint is a file"):
        resolve_checkpoint(tmp_path / "vae.ckpt")
    with pytest.raises(CheckpointError, match=r"holds no checkpoint; looked for latest, .*\.ckpt"):
        resolve_checkpoint(tmp_path)
