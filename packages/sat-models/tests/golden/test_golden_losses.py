"""Our losses against numbers that stable-audio-tools computed (see golden.py)."""

import golden
import pytest

from sat_models.losses.bands import mel_bands
from sat_models.losses.discrepancy import TIME_BANDWIDTHS, discrepancy
from sat_models.losses.mel import MultiResolutionMelLoss
from sat_models.losses.pointwise import l1_distance, l2_distance, stereo_image_distance
from sat_models.losses.ratios import sd_sdr_db, si_sdr_db
from sat_models.losses.stft import (
    MultiResolutionSTFTLoss,
    SpectralTerms,
    STFTLoss,
    SumAndDifferenceSTFTLoss,
)
from sat_models.losses.weight import LossWeight
from sat_models.losses.weighting import AWeighting


def terms(kwargs):
    return SpectralTerms(
        convergence=kwargs.get("w_sc", 1.0),
        log_magnitude=kwargs.get("w_log_mag", 1.0),
        linear_magnitude=kwargs.get("w_lin_mag", 0.0),
        phase=kwargs.get("w_phs", 0.0),
        distance=kwargs.get("mag_distance", "L1"),
        floor=kwargs.get("eps", 1e-8),
        log_factor=kwargs.get("log_fac", 1.0),
        log_offset=kwargs.get("log_eps", 0.0),
        scale_invariant=False,
        reduction=kwargs.get("reduction", "mean"),
        per_signal=False,
    )


def stft_loss(kwargs, fft_size, hop_size, win_length, num_bands):
    return STFTLoss(
        fft_size=fft_size,
        hop_size=hop_size,
        win_length=win_length,
        window=kwargs.get("window", "hann_window"),
        terms=terms(kwargs),
        bands=num_bands
        and mel_bands(sample_rate=kwargs["sample_rate"], fft_size=fft_size, num_bands=num_bands),
        weighting=None,
    )


def single(kwargs):
    return stft_loss(
        kwargs, kwargs["fft_size"], kwargs["hop_size"], kwargs["win_length"], kwargs.get("n_mels")
    )


def multi(kwargs):
    sizes = (kwargs["fft_sizes"], kwargs["hop_sizes"], kwargs["win_lengths"])
    bands = kwargs.get("n_bins", [None] * len(sizes[0]))
    weighting = None
    if kwargs.get("perceptual_weighting"):
        weighting = AWeighting(sample_rate=kwargs["sample_rate"])
    return MultiResolutionSTFTLoss(
        [stft_loss(kwargs, *one) for one in zip(*sizes, bands, strict=True)], weighting=weighting
    )


def sum_and_difference(kwargs):
    return SumAndDifferenceSTFTLoss(
        multi(kwargs), sum_weight=kwargs["w_sum"], difference_weight=kwargs["w_diff"]
    )


def mel(kwargs):
    return MultiResolutionMelLoss(
        sample_rate=kwargs["sample_rate"],
        num_bands=kwargs["n_mels"],
        win_lengths=kwargs["window_lengths"],
        exponent=kwargs["pow"],
        log_weight=1.0,
        magnitude_weight=kwargs["mag_weight"],
    )


def ratio(function):
    def make(kwargs):
        def loss(x, y):
            value = -function(x, y, zero_mean=kwargs.get("zero_mean", True), epsilon=1e-8)
            return value if kwargs.get("reduction") == "none" else value.mean()

        return loss

    return make


LOSSES = {
    "STFTLoss": single,
    "MelSTFTLoss": single,
    "MultiResolutionSTFTLoss": multi,
    "SumAndDifferenceSTFTLoss": sum_and_difference,
    "MelSpectrogramLoss": mel,
    "SISDRLoss": ratio(si_sdr_db),
    "SDSDRLoss": ratio(sd_sdr_db),
}
PARTS = ("convergence", "log_magnitude", "linear_magnitude", "phase")


@pytest.mark.parametrize(
    "case", [case for case in golden.cases("loss") if "class" in case.config], ids=str
)
def test_loss_agrees(case):
    loss = LOSSES[case.config["class"]](case.config["kwargs"])
    x, y = case.inputs()["x"].requires_grad_(), case.inputs()["y"]
    value = loss(x, y)
    value.sum().backward()
    results = {"value": value.detach()}
    if "parts" in case.outputs("loss"):
        parts = [resolution.parts(x.detach(), y) for resolution in loss.resolutions]
        results["parts"] = [float(getattr(part, n).mean()) for n in PARTS for part in parts]
    case.check_all("loss", results)
    case.check_all("grad_input", {"x": x.grad})
    if "taps" in case.steps:
        weighting = loss.weighting if hasattr(loss, "weighting") else loss.loss.weighting
        case.check_all("taps", {"fir": weighting.taps})


MODULES = {
    "ValueLoss": lambda info, kwargs: info["value"],
    "TargetValueLoss": lambda info, kwargs: (info["value"] - kwargs["target"]).abs(),
    "L1Loss": lambda info, kwargs: l1_distance(
        info["a"], info["b"], mask=info.get(kwargs.get("mask_key"))
    ),
    "MSELoss": lambda info, kwargs: l2_distance(
        info["a"], info["b"], mask=info.get(kwargs.get("mask_key"))
    ),
    "StereoImageLoss": lambda info, kwargs: stereo_image_distance(info["a"], info["b"]),
    "TimeDomainMMDLoss": lambda info, kwargs: discrepancy(
        info["a"].flatten(0, 1), info["b"].flatten(0, 1), bandwidths=TIME_BANDWIDTHS
    ),
}


def test_weighted_modules_agree():
    case = golden.case("loss_modules")
    info = case.inputs()
    info |= {name: info[name] > 0.5 for name in ("mask", "mask3")}
    modules = case.config["modules"]
    weights = [
        LossWeight(kwargs.get("weight", 1.0), decay=kwargs.get("decay", 1.0))
        for _, kwargs in modules
    ]
    for step in case.steps:
        case.check_all(
            step,
            {
                f"m{i}_{name}": weights[i](MODULES[name](info, kwargs))
                for i, (name, kwargs) in enumerate(modules)
            },
        )
