"""What is kept of the model's output, and what training reads of it."""

import io
import tarfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sat_config.audio.dataset import LatentFolder, PreEncodedNode
from sat_models.build import build_model
from sat_models.data.batch import CodeBatch
from sat_models.data.build import build_dataset
from sat_models.data.dataset import Draw
from sat_models.data.ledger import Ledger
from sat_preencode.errors import PreencodeError, StoreError

SIZE = 256
FIRST = "music/a.wav#000000000000"
QUANTIZER = {
    "type": "dac_rvq",
    "config": {"input_dim": 3, "n_codebooks": 2, "codebook_size": 16, "codebook_dim": 2},
}


def read_back(folder, *, training=True):
    return build_dataset(
        PreEncodedNode(datasets=(LatentFolder(id="latents", path=str(folder)),)),
        sample_rate=8000,
        sample_size=SIZE,
        channels=2,
        seed=0,
        training=training,
        ledger=Ledger(None, on_bad_file="error"),
    )


def discrete(world):
    """A quantizing autoencoder with weights of its own, and what an experiment on it says."""
    plain = world.document()["model"]
    encoder = plain["encoder"]["config"] | {"latent_dim": 3}
    model = plain | {
        "encoder": {"type": "oobleck", "config": encoder},
        "bottleneck": QUANTIZER,
    }
    autoencoder = build_model(world.experiment(model=model)).eval()
    save_file(autoencoder.state_dict(), world.root / "dac.safetensors")
    return model, autoencoder, world.with_table(checkpoint=str(world.root / "dac.safetensors"))


def test_autoencoder_that_quantizes_gives_tokens_and_they_are_read_as_codes(world):
    model, autoencoder, table = discrete(world)
    world.preencode(model=model, **table)
    stored = world.arrays()[FIRST]
    audio = torch.from_numpy(world.read(world.root / "audio" / "a.wav")[:SIZE]).T
    with torch.inference_mode():
        expected = autoencoder.encode_tokens(audio[None])[0]
    assert (stored.dtype, stored.shape) == (np.int16, (2, SIZE // 8))
    np.testing.assert_array_equal(stored, expected)
    dataset = read_back(world.latents)
    assert isinstance(dataset.stack([dataset[0]]), CodeBatch)
    assert "kept        tokens in int16" in world.said.getvalue()


def test_diffusion_model_of_a_quantizing_autoencoder_gets_latents(world):
    inner, _, table = discrete(world)
    dit = {"io_channels": 3, "embed_dim": 32, "depth": 1, "num_heads": 1}
    model = {
        "pretransform": {"type": "autoencoder", "config": inner},
        "diffusion": {"type": "dit", "config": dit},
        "io_channels": 3,
    }
    world.preencode(model_type="diffusion_cond", model=model, **table)
    assert world.arrays()[FIRST].dtype == np.float32


def test_language_model_gets_tokens(world):
    inner, _, table = discrete(world)
    model = {
        "pretransform": {"type": "autoencoder", "config": inner},
        "lm": {
            "type": "continuous_transformer",
            "config": {"embed_dim": 64, "depth": 1},
        },
    }
    world.preencode(model_type="lm", model=model, **table)
    assert world.arrays()[FIRST].dtype == np.int16


def test_bfloat16_is_stored_as_bits_and_read_as_what_it_rounds_to(world):
    world.preencode(**world.with_table(latent="mean", dtype="bfloat16"))
    half = world.arrays()[FIRST]
    assert half.dtype == np.uint16
    assert {m["dtype"] for m in world.metadata().values()} == {"bfloat16"}
    sample = read_back(world.latents)[0]
    other = world.root / "whole"
    world.preencode(**world.with_table(latent="mean", output_path=str(other)))
    whole = torch.from_numpy(world.arrays("whole")[FIRST])
    torch.testing.assert_close(sample.values, whole.bfloat16().float(), rtol=0, atol=0)


def test_float16_halves_the_folder_and_keeps_the_arithmetic(world):
    world.preencode(**world.with_table(latent="mean", dtype="float16"))
    half = world.arrays()[FIRST]
    assert half.dtype == np.float16
    with pytest.raises(StoreError, match='dtype: "float16" there, "float32" now'):
        world.preencode(**world.with_table(latent="mean"))


def test_mean_and_scale_are_kept_and_each_epoch_draws_anew_around_the_mean(world):
    world.preencode(**world.with_table(latent="mean_scale"))
    mean, scale = np.split(world.arrays()[FIRST], 2)
    dataset = read_back(world.latents)
    first, again, later = (dataset[Draw(epoch, 0)].values for epoch in (0, 0, 1))
    assert first.shape == (3, SIZE // 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    stdev = torch.nn.functional.softplus(torch.from_numpy(scale)) + 1e-4
    draws = torch.stack([dataset[Draw(epoch, 0)].values for epoch in range(400)])
    off = (draws.mean(0) - torch.from_numpy(mean)) / stdev
    assert off.abs().mean() < 3 / 400**0.5
    assert abs((draws.std(0) / stdev).mean() - 1) < 0.02


def test_record_of_the_latents_follows_what_was_kept(world):
    prints = set()
    for number, kept in enumerate(({}, {"latent": "mean"}, {"dtype": "float16"})):
        folder = world.root / str(number)
        world.preencode(**world.with_table(output_path=str(folder), **kept))
        prints.add(read_back(folder).record().fingerprint)
    assert len(prints) == 3


def test_mean_and_scale_are_refused_where_there_is_no_gaussian(world):
    model, _, table = discrete(world)
    table["preencode"]["latent"] = "mean_scale"
    with pytest.raises(PreencodeError, match="DACRVQBottleneck, which makes no Gaussian"):
        world.preencode(model=model, **table)


def test_tar_shards_are_encoded_like_the_files_in_them(world):
    world.preencode()
    folder = world.arrays()[FIRST]
    shards = world.root / "shards"
    shards.mkdir()
    with tarfile.open(shards / "000.tar", "w") as tar:
        tar.add(world.root / "audio" / "a.wav", "a.wav")
        caption = tarfile.TarInfo("a.json")
        caption.size = len(text := b'{"text": "a drum"}')
        tar.addfile(caption, io.BytesIO(text))
    dataset = {"dataset_type": "wds", "datasets": [{"id": "music", "path": str(shards)}]}
    table = world.with_table(latent="mean", output_path=str(world.root / "a"))
    world.preencode(dataset=dataset, **table)
    table = world.with_table(latent="mean", output_path=str(world.root / "b"))
    world.preencode(**table)
    name = "music/000.tar/a.wav#000000000000"
    np.testing.assert_array_equal(world.arrays("a")[name], world.arrays("b")[FIRST])
    assert folder.shape == world.arrays("a")[name].shape
    assert {m["prompt"] for m in world.metadata("a").values()} == {"a drum"}


@pytest.mark.parametrize("key", ["remove_silence", "strip_silence", "volume_norm"])
def test_dataset_that_changes_files_is_refused(world, key):
    dataset = world.document()["dataset"] | {key: True}
    with pytest.raises(PreencodeError, match=f"dataset.{key} is set"):
        world.preencode(dataset=dataset)
