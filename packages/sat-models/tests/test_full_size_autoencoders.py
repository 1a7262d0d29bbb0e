"""The autoencoders of stable-audio-tools' repository work at their real size."""

import pytest
import torch

import sat_config
from sat_models import build_model

NAMES = (
    "stable_audio_1_0_vae",
    "stable_audio_2_0_vae",
    "dac_2048_32_vae",
    "encodec_musicgen_rvq",
)


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
@pytest.mark.parametrize("name", NAMES)
def test_a_short_signal_passes(name):
    model = build_model(sat_config.load_model(f"sat:{name}")).eval()
    audio = torch.randn(1, model.in_channels, 2 * model.hop_length)
    with torch.no_grad():
        result = model(audio)
    assert result.latents.shape == (1, model.latent_dim, 2)
    assert result.audio.shape == (1, model.out_channels, audio.shape[-1])
    assert result.audio.isfinite().all()
