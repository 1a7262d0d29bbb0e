"""The conditional diffusion transformer against numbers that stable-audio-tools computed.

See golden.py. A case's call names its inputs, and what of guidance is not the default.
"""

import re

import golden
import msgspec
import pytest
import torch
from torch import nn

import sat_config
from sat_config.audio.diffusion import DiTNode
from sat_models.backbones.base import build_conditioned_backbone
from sat_models.backbones.conditioning import Conditioning
from sat_models.build import build_model
from sat_models.models.guidance import Guidance, guided

NAMES = {
    "cross_attn_cond": "cross_attention",
    "cross_attn_mask": "cross_attention_mask",
    "global_cond": "global_",
    "prepend_cond": "prepend",
    "prepend_cond_mask": "prepend_mask",
    "input_concat_cond": "input_concat",
}


def build(case):
    holder = nn.Module()
    node = msgspec.convert(case.config["model"]["diffusion"], DiTNode)
    holder.model = build_conditioned_backbone(node)
    case.load_into(holder)
    return holder.eval()


def run(case, network, call):
    """The result of a call, and the tokens after every layer."""
    x = case.inputs()
    x |= {name: value.bool() for name, value in x.items() if name.endswith("_mask")}
    conditioning = Conditioning(**{ours: x[name] for name, ours in NAMES.items() if name in x})
    numbers = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", call)}
    if "exit_layer_ix" in numbers:
        layer = int(numbers["exit_layer_ix"])
        return network.model.features(x["x"], x["t"], conditioning, layer=layer)
    interval = re.search(r"cfg_interval=\(([\d.]+), ([\d.]+)\)", call)
    guidance = Guidance(
        scale=numbers.get("cfg_scale", 1.0),
        rescale=numbers.get("scale_phi", 0.0),
        interval=tuple(map(float, interval.groups())) if interval else (0.0, 1.0),
    )
    negative = None
    if "negative" in call:
        negative = Conditioning(cross_attention=x["neg_cond"], cross_attention_mask=x["neg_mask"])
    predict = guided(
        network, conditioning, guidance, objective=network.objective, negative=negative
    )
    return predict(x["x"], x["t"])[0]


CASES = golden.cases("dit")
UNCONDITIONAL = [case for case in CASES if case.config["model_type"] == "diffusion_uncond"]


@pytest.mark.parametrize("case", UNCONDITIONAL, ids=str)
def test_unconditional_dit_agrees(case):
    config = case.config
    config["model"]["config"].pop("transformer_type", None)  # has one legal value
    model = build_model(sat_config.decode(config))
    case.load_into(model)
    x = case.inputs()
    for step in case.steps:
        result = model.eval()(x["x"], x["t"])
        if step == "grad":
            golden.probe_loss(result).backward()
            case.check_grad_norms(step, model)
        else:
            case.check(step, "v", result)


@pytest.mark.parametrize("case", [case for case in CASES if case not in UNCONDITIONAL], ids=str)
def test_dit_agrees(case):
    holder = build(case)
    hidden = []
    for layer in holder.model.model.transformer.layers:
        layer.register_forward_hook(lambda layer, args, tokens: hidden.append(tokens))
    for step, about in case.steps.items():
        hidden.clear()
        result = run(case, holder.model, about["call"])
        if step == "grad":
            golden.probe_loss(result).backward()
            case.check_grad_norms(step, holder)
        else:
            case.check(step, "v", result)
        if "hidden" in about["outputs"]:
            case.check(step, "hidden", torch.stack(hidden))
