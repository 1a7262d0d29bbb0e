import json

import numpy as np
import pytest
import torch

import sat_config
from sat_models.checkpoint import fingerprint, open_checkpoint
from sat_models.errors import DataError
from sat_train import fit


@pytest.fixture
def codec(autoencoder_document):
    """The checkpoint of a trained autoencoder."""
    return fit(sat_config.decode({**autoencoder_document, "max_steps": 1})).checkpoint


@pytest.fixture
def latents(tmp_path, codec, diffusion_document):
    """A folder of encoded items, as sat-preencode writes it, and a document that trains on it."""
    folder = tmp_path / "latents"
    folder.mkdir()
    details = {
        "format": "sat-latents",
        "version": 3,
        "checkpoint": str(codec),
        "autoencoder_fingerprint": fingerprint(open_checkpoint(codec).state_dict),
        "sample_rate": 8000,
        "hop_length": 8,
        "latent_dim": 3,
        "sample_size": 256,
        "dtype": "float32",
    }
    (folder / "details.json").write_text(json.dumps(details))
    lines = []
    for number in range(4):
        values = np.random.default_rng(number).standard_normal((3, 32), dtype=np.float32)
        np.save(folder / f"{number}.npy", values)
        (folder / f"{number}.json").write_text("{}")
        entry = {"id": f"x/{number}", "file": f"{number}.npy", "start_sample": 0}
        entry |= {"frames": 32, "valid_frames": 32, "seconds_total": 1.0}
        lines.append(json.dumps(entry))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    node = {"dataset_type": "pre_encoded", "datasets": [{"id": "x", "path": str(folder)}]}
    diffusion_document |= {"dataset": node, "val_dataset": node}
    diffusion_document["training"]["pre_encoded"] = True
    diffusion_document["pretransform_ckpt_path"] = str(codec)
    return folder, diffusion_document


def test_latent_model_trains_on_stored_latents(latents, capsys):
    folder, document = latents
    result = fit(sat_config.decode({**document, "max_steps": 2}))
    assert result.metrics["val/loss"] > 0
    assert len(list((result.run_folder / "demos" / "step=00000002").glob("*.flac"))) == 2
    out = capsys.readouterr().out
    assert f"4 encoded items in {folder}" in out
    assert "sat-train" in out.splitlines()[-1]


def test_latents_of_other_weights_are_refused(latents, tmp_path, codec):
    _, document = latents
    content = torch.load(codec, weights_only=True)
    name = next(iter(content["state_dict"]))
    content["state_dict"][name] += 1
    other = tmp_path / "other.ckpt"
    torch.save(content, other)
    with pytest.raises(DataError, match="come from another autoencoder"):
        fit(sat_config.decode({**document, "pretransform_ckpt_path": str(other)}))
    assert not (tmp_path / "runs" / "tiny-latents").exists()


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_autoencoder_on_latents_is_refused(latents, autoencoder_document):
    _, document = latents
    with pytest.raises(ValueError, match="holds latents, but this model is trained on audio"):
        fit(sat_config.decode({**autoencoder_document, "dataset": document["dataset"]}))
