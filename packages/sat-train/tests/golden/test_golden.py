"""Our losses against numbers that stable-audio-tools computed (see golden.py).

The cases are read from the folder that SAT_GOLDEN_DIR names, else from the copies beside this file.
"""

import golden
import msgspec
import pytest
import torch
from torch.nn import functional

import sat_config
from sat_config.audio.training import AutoencoderTraining
from sat_models.build import build_model
from sat_models.data.batch import AudioBatch
from sat_train.losses.stft import MultiResolutionSTFTLoss, SumAndDifferenceSTFTLoss
from sat_train.methods.autoencoder import AutoencoderMethod


def load(name):
    return golden.case(name)


def sizes(kwargs):
    return {key: kwargs[key] for key in ("fft_sizes", "hop_sizes", "win_lengths")}


@pytest.fixture
def weigh():
    """SAT's A-weighting, which our schema does not have, by its recorded filter: it is linear, so
    filtering the signals before they are compared is the same."""
    taps = torch.from_numpy(load("loss_sd_mrstft").expected("taps", "fir")).view(1, 1, -1)

    def apply(audio):
        filtered = functional.conv1d(
            audio.flatten(0, 1)[:, None], taps, padding=taps.shape[-1] // 2
        )
        return filtered.view(audio.shape)

    return apply


def check_loss(case, loss, prepare):
    inputs = case.inputs()
    x = inputs["x"].requires_grad_()
    value = loss(prepare(x), prepare(inputs["y"]))
    case.check("loss", "value", value)
    value.backward()
    case.check("grad_input", "x", x.grad)


def test_multi_resolution_loss_has_sats_value_and_gradient():
    case = load("loss_mrstft")
    check_loss(case, MultiResolutionSTFTLoss(**case.config["kwargs"]), lambda audio: audio)


def test_sum_and_difference_loss_has_sats_value_and_gradient(weigh):
    case = load("loss_sd_mrstft")
    kwargs = case.config["kwargs"]
    loss = SumAndDifferenceSTFTLoss(
        MultiResolutionSTFTLoss(**sizes(kwargs)),
        sum_weight=kwargs["w_sum"],
        difference_weight=kwargs["w_diff"],
    )
    check_loss(case, loss, weigh)


@pytest.fixture
def method_of():
    def build(case):
        config = case.config
        training = config.pop("training")
        del training["loss_configs"]["discriminator"], training["use_ema"]
        del training["loss_configs"]["spectral"]["config"]["perceptual_weighting"]
        model = build_model(sat_config.decode(config))
        state = case.filled_state().items()
        prefix = "autoencoder."
        model.load_state_dict(
            {key.removeprefix(prefix): value for key, value in state if key.startswith(prefix)}
        )
        node = msgspec.convert(training, AutoencoderTraining)
        return AutoencoderMethod(model, training=node, seed=0)

    return build


def test_autoencoder_method_has_sats_terms(method_of, weigh):
    case = load("train_ae_vae")
    method = method_of(case)
    audio = case.inputs()["audio"]
    batch = AudioBatch(audio, torch.ones(audio.shape[0], audio.shape[2], dtype=torch.bool), ())
    torch.manual_seed(11)
    terms = method.losses(batch)
    case.check("generator", "l1_time_loss", terms["l1"])
    case.check("generator", "l2_time_loss", terms["l2"])
    case.check("generator", "kl_loss", terms["kl"])
    torch.manual_seed(11)
    decoded = method.autoencoder(audio).audio
    ours = method.spectral(weigh(audio), weigh(decoded)).item()
    theirs = ("mrstft_loss", "stft_loss_left", "stft_loss_right")
    assert ours == pytest.approx(sum(float(case.expected("generator", name)) for name in theirs))


def test_autoencoder_method_has_sats_state_names(method_of):
    case = load("train_ae_vae")
    ours = set(method_of(case).state_dict())
    assert ours == {key for key, *_ in case.state if key.startswith("autoencoder.")}
