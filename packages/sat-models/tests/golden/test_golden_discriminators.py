"""Our discriminators against numbers that stable-audio-tools computed (see golden.py)."""

import golden
import pytest
import torch
from torch import nn

from sat_models.discriminators.arc import ConvHead, ConvNeXtHead
from sat_models.discriminators.base import Discriminator
from sat_models.discriminators.dac import DACDiscriminator
from sat_models.discriminators.encodec import EncodecDiscriminator, STFTDiscriminatorSizes
from sat_models.discriminators.gan import (
    HingeLoss,
    LeastSquaresLoss,
    RelativisticLoss,
    ZeroHingeLoss,
)
from sat_models.discriminators.oobleck import OobleckDiscriminator

SLOW = {"disc_oobleck"}
BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))
GAN_LOSSES = {
    "hinge": HingeLoss(),
    "lsgan": LeastSquaresLoss(),
    "relativistic": RelativisticLoss(),
    "rpgan": RelativisticLoss(),
}


def encodec(kwargs):
    slope = kwargs.get("activation_params", {"negative_slope": 0.2})["negative_slope"]
    sizes = STFTDiscriminatorSizes(
        filters=kwargs["filters"],
        max_filters=kwargs.get("max_filters", 1024),
        filters_scale=1,
        out_channels=1,
        kernel_size=(3, 9),
        stride=tuple(kwargs.get("stride", (1, 1))),
        dilations=kwargs.get("dilations", (1, 2, 4)),
        normalized=kwargs.get("normalized", True),
        magnitude_power=kwargs.get("spec_scale_pow", 0.0),
        make_activation=lambda: nn.LeakyReLU(slope),
    )
    return EncodecDiscriminator(
        kwargs["in_channels"],
        fft_sizes=kwargs["n_ffts"],
        hop_sizes=kwargs["hop_lengths"],
        win_lengths=kwargs["win_lengths"],
        sizes=sizes,
        gan_loss=GAN_LOSSES[kwargs.get("loss_type", "hinge")],
        normalize_features=kwargs.get("normalize_losses", False),
    )


def dac(kwargs):
    return DACDiscriminator(
        kwargs["channels"],
        sample_rate=kwargs["sample_rate"],
        periods=kwargs["periods"],
        rates=kwargs["rates"],
        fft_sizes=kwargs["fft_sizes"],
        bands=BANDS,
        gan_loss=ZeroHingeLoss() if kwargs.get("use_hinge") else LeastSquaresLoss(),
    )


def oobleck(kwargs):
    return OobleckDiscriminator(kwargs["in_channels"])


def conv_head(kwargs):
    return ConvHead(kwargs["channels"], soft_clip_scale=kwargs["soft_clip_scale"])


def convnext_head(kwargs):
    assert kwargs["conv_args"] == {"glu": True}
    return ConvNeXtHead(
        kwargs["in_channels"],
        widths=[kwargs["channels"] * factor for factor in (1, *kwargs["c_mults"])],
        strides=kwargs["strides"],
        num_blocks=kwargs["num_blocks"],
        kernel_size=7,
        expansion=4,
        gated=True,
    )


NETWORKS = {
    "EncodecDiscriminator": encodec,
    "DACGANLoss": dac,
    "OobleckDiscriminator": oobleck,
    "ConvDiscriminator": conv_head,
    "ConvNeXtDiscriminator": convnext_head,
}


def run(network, kwargs, reals, fakes):
    """The losses from both judgements, as gradients are recorded with nothing detached."""
    real, fake = network(reals), network(fakes)
    if isinstance(network, Discriminator):
        return {
            "dis": network.recognition(real, fake),
            "adv": network.deception(real, fake),
            "feature_matching": network.feature_matching(real, fake),
        }
    gan = GAN_LOSSES[kwargs["loss_type"]]
    return {"dis": gan.discriminator(real, fake), "adv": gan.generator(real, fake)}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow] if case.name in SLOW else [], id=case.name)
        for case in golden.cases("discriminator")
    ],
)
def test_discriminator_agrees(case):
    kwargs = case.config["kwargs"]
    network = NETWORKS[case.config["class"]](kwargs)
    case.load_into(network, order="strict")
    x = case.inputs()
    fakes = x["fakes"].requires_grad_()
    losses = run(network, kwargs, x["reals"], fakes)
    case.check_all("loss", {key: value.detach() for key, value in losses.items()})

    given = losses["adv"] + losses.get("feature_matching", 0)
    (grad,) = torch.autograd.grad(given, fakes, retain_graph=True)
    case.check_all("grad_fakes", {"x": grad})
    if "grad" in case.steps:
        total = losses["dis"] + 0.5 * losses["adv"] + losses.get("feature_matching", 0)
        total.backward()
        case.check_grad_norms("grad", network)
