"""Our losses against numbers that stable-audio-tools computed (see golden.py).

The cases are read from the folder that SAT_GOLDEN_DIR names, else from the copies beside this file.
"""

import golden
import msgspec
import pytest
import torch

import sat_config
from sat_config.audio.training import AutoencoderTraining
from sat_models.build import build_model
from sat_models.data.batch import AudioBatch
from sat_train.methods.autoencoder import AutoencoderMethod
from sat_train.steps import StepSettings


def load(name):
    return golden.case(name)


@pytest.fixture
def method_of():
    def build(case):
        config = case.config
        training = config.pop("training")
        del training["loss_configs"]["discriminator"], training["use_ema"]
        model = build_model(sat_config.decode(config))
        state = case.filled_state().items()
        prefix = "autoencoder."
        model.load_state_dict(
            {key.removeprefix(prefix): value for key, value in state if key.startswith(prefix)}
        )
        node = msgspec.convert(training, AutoencoderTraining)
        settings = StepSettings(seed=0, accumulate=1, max_norm=0.0, scaled=False)
        return AutoencoderMethod(model, training=node, settings=settings)

    return build


def test_autoencoder_method_has_sats_terms(method_of):
    case = load("train_ae_vae")
    method = method_of(case)
    audio = case.inputs()["audio"]
    batch = AudioBatch(audio, torch.ones(audio.shape[0], audio.shape[2], dtype=torch.bool), ())
    torch.manual_seed(11)
    terms = method.losses(batch, method.parts[0]).terms
    case.check("generator", "l1_time_loss", terms["l1"])
    case.check("generator", "l2_time_loss", terms["l2"])
    case.check("generator", "kl_loss", terms["kl"])
    theirs = ("mrstft_loss", "stft_loss_left", "stft_loss_right")
    want = sum(float(case.expected("generator", name)) for name in theirs)
    assert terms["mrstft"].item() == pytest.approx(want)


def test_autoencoder_method_has_sats_state_names(method_of):
    case = load("train_ae_vae")
    ours = set(method_of(case).state_dict())
    assert ours == {key for key, *_ in case.state if key.startswith("autoencoder.")}
