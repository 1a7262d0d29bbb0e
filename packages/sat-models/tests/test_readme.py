import json
import re
from pathlib import Path

import torch

import sat_config
from sat_models import build_model
from sat_models.audio import probe, write_audio
from sat_models.checkpoint import save_checkpoint

README = Path(__file__).parents[1] / "README.md"
CODER = {"channels": 2, "c_mults": [1, 2], "strides": [2, 4]}
CONFIG = {
    "model_type": "autoencoder",
    "sample_rate": 8000,
    "sample_size": 64,
    "model": {
        "encoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 6}},
        "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 3}},
        "bottleneck": {"type": "vae"},
        "latent_dim": 3,
        "downsampling_ratio": 8,
        "io_channels": 2,
    },
}


def test_readme_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("model_config.json").write_text(json.dumps(CONFIG))
    model = build_model(sat_config.decode(CONFIG))
    save_checkpoint("model.safetensors", model, config="{}")
    write_audio("in.flac", torch.zeros(2, 4000), sample_rate=8000)
    exec(re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1], {})
    assert probe("out.flac").frames == 4000
    assert capsys.readouterr().out
