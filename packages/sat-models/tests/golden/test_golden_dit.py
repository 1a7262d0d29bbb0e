"""The conditional diffusion transformer against numbers that stable-audio-tools computed.

See golden.py. A case's call names its inputs, and what of guidance is not the default.
"""

import importlib.util
import re
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from sat_config.audio.diffusion import DiTNode
from sat_models.backbones.base import build_conditioned_backbone
from sat_models.backbones.conditioning import Conditioning
from sat_models.models.guidance import Guidance, guided

HERE = Path(__file__).parent
CASES = HERE / "cases" / "dit"
NAMES = {
    "cross_attn_cond": "cross_attention",
    "cross_attn_mask": "cross_attention_mask",
    "global_cond": "global_",
    "prepend_cond": "prepend",
    "prepend_cond_mask": "prepend_mask",
    "input_concat_cond": "input_concat",
}

spec = importlib.util.spec_from_file_location("golden", HERE / "golden.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)


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


@pytest.mark.parametrize("name", sorted(path.stem for path in CASES.glob("*.json")))
def test_dit_agrees(name):
    case = golden.load(CASES / f"{name}.json")
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
