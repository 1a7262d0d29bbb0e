"""What pre_encode.py has flags for: arithmetic in float16, and a limit on the batches."""

import shutil

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sat_config.audio.dataset import LatentFolder, PreEncodedNode
from sat_models.data.build import build_dataset
from sat_models.data.ledger import Ledger
from sat_preencode import PreencodeError, StoreError, cli


def test_half_a_model_makes_half_latents_near_the_whole_ones(world):
    table = world.with_table(latent="mean", model_half=True)["preencode"]
    world.preencode(preencode=table | {"model_half": False})
    whole = world.arrays()
    with pytest.raises(StoreError, match='arithmetic: "float32" there, "float16 throughout" now'):
        world.preencode(preencode=table)
    shutil.rmtree(world.latents)
    world.preencode(preencode=table)
    for name, half in world.arrays().items():
        assert half.dtype == np.float16
        np.testing.assert_allclose(half, whole[name], atol=2e-2)
    assert "float16 throughout" in world.said.getvalue()


def test_half_latents_are_read_as_float32(world):
    world.preencode(**world.with_table(model_half=True))
    folder = PreEncodedNode(datasets=(LatentFolder(id="latents", path=str(world.latents)),))
    dataset = build_dataset(
        folder,
        sample_rate=8000,
        sample_size=256,
        channels=2,
        seed=0,
        training=True,
        ledger=Ledger(None, on_bad_file="error"),
    )
    assert dataset[0].values.dtype == torch.float32


def test_latent_too_large_for_float16_is_refused_with_the_way_out(world):
    weights = load_file(world.root / "vae.safetensors")
    name = next(name for name in weights if name.startswith("encoder.") and name.endswith("bias"))
    weights = {key: value * 1e6 if key == name else value for key, value in weights.items()}
    save_file(weights, world.root / "vae.safetensors")
    with pytest.raises(PreencodeError, match=r"not finite in float16 .*model_half to false"):
        world.preencode(**world.with_table(model_half=True))


def test_limited_run_is_complete_and_continues_without_the_limit(world, encodes):
    limited = world.preencode(**world.with_table(limit_batches=1))
    assert (limited.items, limited.complete, len(world.manifest())) == (4, True, 4)
    assert "limit_batches leaves out 5 items more" in world.said.getvalue()
    encodes.clear()
    result = world.preencode()
    assert (result.items, result.encoded, len(world.manifest())) == (9, 5, 9)
    assert len(encodes) == 2


SAT_COMMAND = """
--model-config model.json --ckpt-path vae.safetensors --model-half --dataset-config data.json
--output-path latents --batch-size 2 --sample-size 512 --is-discrete --num-nodes 1
--num-workers 0 --strategy auto --limit-batches 1 --shuffle
"""


def test_command_line_of_pre_encode_does_what_it_says(world, monkeypatch, capsys):
    monkeypatch.chdir(world.root)
    document = world.document()
    keys = ("model_type", "sample_rate", "sample_size", "audio_channels", "model")
    write = msgspec.json.encode
    (world.root / "model.json").write_bytes(write({key: document[key] for key in keys}))
    (world.root / "data.json").write_bytes(write(document["dataset"]))
    assert cli.main([*SAT_COMMAND.split(), "--accelerator", "cpu"]) == 0
    said = capsys.readouterr()
    for key in ("is_discrete", "shuffle"):
        assert f"preencode.{key} has no effect" in said.err
    entries = world.manifest()
    assert len(entries) == 2
    latents = world.arrays()[entries[0]["id"]]
    assert (latents.dtype, latents.shape) == (np.float16, (3, 64))


def test_flags_of_sat_have_a_group_of_their_own_in_the_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    ours, _, theirs = shown.partition("stable-audio-tools")
    assert "--override" in ours
    assert "--model-half" not in ours
    for flag in ("--model-config", "--ckpt-path", "--model-half", "--limit-batches"):
        assert flag in theirs
