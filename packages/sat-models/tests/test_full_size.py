"""Published models at full size: as many weights as stable-audio-tools builds, counted there.

Text encoders stay out: their weights are in no checkpoint.
"""

import pytest
import torch
from torch import nn

import sat_config
from sat_models.build import build_model
from sat_models.conditioners import clap, text

DANCE = (221_389_530, 0, 0), 932
COUNTS = {
    "dac_2048_32_vae": ((134_592_930, 0, 0), 240),
    "dance_diffusion_base": DANCE,
    "dance_diffusion_base_16k": DANCE,
    "dance_diffusion_base_44k": DANCE,
    "dance_diffusion_large": DANCE,
    "encodec_musicgen_rvq": ((55_364_806, 0, 0), 140),
    "stable_audio_1_0": ((906_679_744, 787_968, 133_431_300), 1048),
    "stable_audio_1_0_vae": ((133_431_300, 0, 0), 240),
    "stable_audio_2_0": ((1_056_939_152, 396_544, 156_112_514), 745),
    "stable_audio_2_0_vae": ((156_112_514, 0, 0), 365),
}
"""Numbers in the state dict (the network, conditioners, the pretransform), and names in it."""


@pytest.fixture(autouse=True)
def _no_text_encoders(monkeypatch):
    class Transformers:
        T5EncoderModel = AutoTokenizer = type("Loader", (), {"from_pretrained": None})

    monkeypatch.setattr(text, "import_transformers", lambda *, purpose: Transformers)
    monkeypatch.setattr(text, "load_local", lambda load, name, *, transformers: nn.Identity())
    monkeypatch.setattr(clap, "load_clap", lambda config, *, purpose, branch: nn.Identity())


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
@pytest.mark.parametrize("name", COUNTS)
def test_published_model_has_as_many_weights_as_in_sat(name):
    experiment = sat_config.load_model({"include": [f"sat:{name}"]})
    with torch.device("meta"):
        model = build_model(experiment)
    state = model.state_dict()
    apart = {"conditioner": 0, "pretransform": 0}
    network = 0
    for key, value in state.items():
        part = key.partition(".")[0]
        if part in apart:
            apart[part] += value.numel()
        else:
            network += value.numel()
    assert ((network, *apart.values()), len(state)) == COUNTS[name]
