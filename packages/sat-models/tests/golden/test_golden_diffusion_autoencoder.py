"""Diffusion autoencoders against numbers that stable-audio-tools computed (see golden.py)."""

import golden
import pytest
import torch

import sat_config
from sat_models.build import build_model
from sat_models.sampling.table import Solver

SOLVER = Solver("v-ddim", steps=3, sigma_min=0.1, sigma_max=10.0, rho=1.0)


def predict(model, x):
    torch.manual_seed(7)
    latents = model.encode(x["audio"]).latents
    return model(x["audio"], x["t"], model.condition_for(latents))


@pytest.mark.parametrize("case", golden.cases("diffusion_autoencoder"), ids=str)
def test_golden_case_agrees(case):
    model = build_model(sat_config.decode(case.config))
    case.load_into(model)
    model.eval()
    x = case.inputs()
    torch.manual_seed(7)
    case.check_all("encode", {"latents": model.encode(x["audio"]).latents})
    case.check_all("velocity", {"v": predict(model, x)})
    if "decode" in case.steps:
        torch.manual_seed(8)
        case.check_all("decode", {"audio": model.decode(x["latents"], solver=SOLVER)})
    golden.probe_loss(predict(model, x)).backward()
    case.check_grad_norms("grad", model)
