"""What a trained hyperencoder generates belongs to its clip."""

from pathlib import Path

import pytest
import torch

import sat_config
from sat_models import build_model
from sat_models.audio import read_audio
from sat_models.models.hypernetwork import Factors

CLIPS = Path(__file__).parents[3] / "examples" / "audio" / "train"
NAMES = ("bell_tower.flac", "bass_groove.flac")
RATE, SAMPLES, STEPS = 8000, 1024, 150
SIZES = {"channels": 8, "c_mults": [1, 2], "strides": [8, 8], "use_snake": True}


@pytest.fixture(scope="module")
def clips():
    return torch.stack(
        [
            read_audio(CLIPS / name, start=RATE, num_samples=SAMPLES, sample_rate=RATE, channels=1)
            for name in NAMES
        ]
    )


@pytest.fixture(scope="module")
def trained(clips):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    oobleck = {"type": "oobleck", "config": {**SIZES, "in_channels": 1, "latent_dim": 2}}
    back = {
        "type": "oobleck",
        "config": {**SIZES, "out_channels": 1, "latent_dim": 2, "final_tanh": False},
    }
    document = {
        "model_type": "hyperencoder",
        "sample_rate": RATE,
        "sample_size": SAMPLES,
        "audio_channels": 1,
        "model": {
            "encoder": oobleck,
            "decoder": back,
            "latent_dim": 2,
            "downsampling_ratio": 64,
            "io_channels": 1,
            "hypernetwork": {"rank": 2, "summary_dim": 16, "hidden_sizes": [32], "init_scale": 0.5},
        },
    }
    model = build_model(sat_config.decode(document))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, betas=(0.8, 0.95))
    for _ in range(STEPS):
        loss = (model(clips).audio - clips).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval().requires_grad_(False)


def test_swapped_weights_raise_the_loss_of_both_clips(trained, clips):
    """Nothing else differs: the model, its parameters and the latents are the same."""
    latents = trained.encode(clips).latents
    own = trained.adapt(latents)
    swapped = tuple(Factors(u=f.u.flip(0), v=f.v.flip(0)) for f in own)
    losses = [
        (trained.decode_with(weights, latents) - clips).square().mean(dim=(1, 2))
        for weights in (own, swapped)
    ]
    assert (losses[1] > 1.2 * losses[0]).all()


def test_weights_of_two_clips_differ_by_more_than_a_hundredth(trained, clips):
    changes = trained.adapt(trained.encode(clips).latents)
    scales = [1 + torch.einsum("bro,bri->boi", f.u, f.v) for f in changes]
    difference = sum((scale[0] - scale[1]).square().sum() for scale in scales).sqrt()
    assert difference > 0.01 * sum(scale[0].square().sum() for scale in scales).sqrt()
