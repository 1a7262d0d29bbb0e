"""Whole conditional diffusion models against numbers that stable-audio-tools computed.

See golden.py. The recorded calls of generation are evaluated, with our functions behind the names.
"""

import re

import golden
import pytest
import torch

import sat_config
from sat_models.build import build_model
from sat_models.models.guidance import Guidance, guided_only
from sat_models.sampling.table import Solver, Start, sample

NAMES = {
    "cross_attn_cond": "cross_attention",
    "cross_attn_mask": "cross_attention_mask",
    "global_cond": "global_",
    "input_concat_cond": "input_concat",
}


def guidance(scale):
    return Guidance(scale=scale, rescale=0.0, interval=(0.0, 1.0))


def generate_diffusion_cond(
    model,
    *,
    conditioning,
    batch_size,
    sample_size,
    seed,
    device,
    steps,
    cfg_scale,
    sampler_type,
    sigma_max,
    sigma_min=0.01,
):
    torch.manual_seed(seed)
    noise = torch.randn(batch_size, model.io_channels, sample_size // model.hop_length)
    pair = model.guided(model.condition(conditioning), guidance(cfg_scale))
    latents = sample(
        Solver(sampler_type, steps, sigma_min, sigma_max, 1.0),
        guided_only(pair),
        Start(noise, None, 1.0),
        objective=model.objective,
        shift=model.distribution_shift,
        guided_fn=pair,
    )
    return model.to_audio(latents)


def run(model, x, conditioning, step, call):
    if step == "conditioning":
        return {name: getattr(conditioning, ours) for name, ours in NAMES.items()}
    if step == "pretransform":
        torch.manual_seed(int(re.search(r"manual_seed\((\d+)\)", call)[1]))
        return {"latents": model.to_latents(x["audio"]), "audio": model.to_audio(x["x"])}
    if step.startswith("generate"):
        expression = call.partition(" -> ")[0]
        return {"audio": eval(expression, globals() | {"model": model, "metadata": x["metadata"]})}
    scale = re.search(r"cfg_scale=([\d.]+)", call)
    predict = model.guided(conditioning, guidance(float(scale[1]) if scale else 1.0))
    return {"v": predict(x["x"], x["t"])[0]}


@pytest.mark.parametrize("case", golden.cases("diffusion_cond", "diffusion_cond_inpaint"), ids=str)
def test_conditional_model_agrees(case):
    config = case.config
    metadata = config.pop("metadata")
    model = build_model(sat_config.decode(config))
    case.load_into(model)
    model.eval()
    x = case.inputs() | {"metadata": metadata}
    signals = {}
    if "inpaint_mask" in x:
        signals = {key: x[key] for key in ("inpaint_mask", "inpaint_masked_input")}
    with torch.no_grad():
        conditioning = model.condition(metadata, signals=signals)
        for step, about in case.steps.items():
            case.check_all(step, run(model, x, conditioning, step, about["call"]))
