"""The autoencoders of stable-audio-tools' repository at their real size.

The counts are those of the parameters that stable-audio-tools 0.0.19 builds from the same files.
"""

import pytest
import torch

import sat_config
from sat_models import build_model

PARAMETERS = {
    "stable_audio_1_0_vae": 133_431_300,
    "stable_audio_2_0_vae": 156_112_514,
    "dac_2048_32_vae": 134_592_930,
    "encodec_musicgen_rvq": 53_259_458,
}

pytestmark = pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")


def load(name):
    return sat_config.load_model(f"sat:{name}")


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters_is_that_of_sat(name):
    with torch.device("meta"):
        model = build_model(load(name))
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_short_signal_passes(name):
    model = build_model(load(name)).eval()
    audio = torch.randn(1, model.in_channels, 2 * model.hop_length)
    with torch.no_grad():
        result = model(audio)
    assert result.latents.shape == (1, model.latent_dim, 2)
    assert result.audio.shape == (1, model.out_channels, audio.shape[-1])
    assert result.audio.isfinite().all()
