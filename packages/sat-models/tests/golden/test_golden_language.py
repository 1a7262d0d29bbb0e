"""Language models against numbers that stable-audio-tools computed (see golden.py)."""

import re

import golden
import pytest
import torch

import sat_config
from sat_models.build import build_model
from sat_models.language.choice import TokenChoice
from sat_models.language.codes import code_losses
from sat_models.language.generate import generate_codes

GREEDY = TokenChoice(temperature=0.0, top_k=0, top_p=0.0)


def losses(model, codes, conditioning):
    everywhere = torch.ones_like(codes[:, 0], dtype=torch.bool)
    return code_losses(model(codes, conditioning), codes, padding_mask=everywhere)


def run(model, x, conditioning, step, call):
    codes = x["codes"]
    if step == "logits":
        found = model(codes, conditioning)
        return {"logits": found.values, "mask": found.mask.expand(len(codes), -1, -1)}
    if step == "loss":
        each = losses(model, codes, conditioning)
        return {"ce": each.mean(), "per_codebook": each}
    if step.startswith("greedy"):
        scale = re.search(r"cfg_scale=([\d.]+)", call)
        made = generate_codes(
            model.lm,
            conditioning,
            prompt=codes[:, :, :2],
            num_frames=7,
            choose=GREEDY,
            guidance_scale=float(scale[1]) if scale else 1.0,
        )
        return {"codes": made}
    if step == "tokenize":
        return {"codes": model.to_codes(x["audio"])}
    return {
        "latents": model.pretransform.model.encoder(x["audio"]),
        "audio": model.to_audio(codes),
    }


@pytest.mark.parametrize("case", golden.cases("lm"), ids=str)
def test_language_model_agrees(case):
    config = case.config | {"audio_channels": 1}
    metadata = config.pop("metadata")
    model = build_model(sat_config.decode(config))
    case.load_into(model)
    model.eval()
    x = case.inputs()
    for step, about in case.steps.items():
        conditioning = model.condition(metadata)
        if step == "grad":
            losses(model, x["codes"], conditioning).mean().backward()
            case.check_grad_norms(step, model)
        else:
            case.check_all(step, run(model, x, conditioning, step, about["call"]))
