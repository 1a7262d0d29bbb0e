"""Our U-Nets against numbers that stable-audio-tools computed (see golden.py)."""

import re

import golden
import msgspec
import pytest
from torch import nn

from sat_config.audio.diffusion import DiffusionBackboneNode, DiffusionUncondNode
from sat_config.registry import current
from sat_models.backbones.base import build_backbone, build_conditioned_backbone
from sat_models.backbones.conditioning import Conditioning
from sat_models.models.guidance import Guidance, guided

NAMES = {
    "cross_attn_cond": "cross_attention",
    "cross_attn_mask": "cross_attention_mask",
    "global_cond": "global_",
    "input_concat_cond": "input_concat",
}
RESCALE = 0.4  # the share that SAT's U-Net takes where it is told to rescale


def build(case):
    holder, model = nn.Module(), case.config["model"]
    if conditional := "diffusion" in model:
        model = model["diffusion"]
    base = DiffusionBackboneNode if conditional else DiffusionUncondNode
    node = msgspec.convert(model, current().families[base].members[model["type"]])
    holder.model = build_conditioned_backbone(node) if conditional else build_backbone(node)
    case.load_into(holder)
    return holder.eval()


def run(network, x, call):
    x = {name: part.bool() if name.endswith("_mask") else part for name, part in x.items()}
    conditioning = Conditioning(**{ours: x[name] for name, ours in NAMES.items() if name in x})
    if not (x.keys() & NAMES.keys()):
        return network(x["x"], x["t"])
    scale = re.search(r"cfg_scale=([\d.]+)", call)
    guidance = Guidance(
        scale=float(scale[1]) if scale else 1.0,
        rescale=RESCALE if "rescale_cfg=True" in call else 0.0,
        interval=(0.0, 1.0),
    )
    negative = None
    if "negative_cross_attn_cond" in call:
        shown = x["neg_mask"][..., None] if "negative_cross_attn_mask" in call else 1.0
        negative = Conditioning(cross_attention=x["neg"] * shown)
    predict = guided(
        network, conditioning, guidance, objective=network.objective, negative=negative
    )
    return predict(x["x"], x["t"])[0]


@pytest.mark.parametrize("case", golden.cases("unet"), ids=str)
def test_unet_agrees(case):
    holder = build(case)
    for step, about in case.steps.items():
        result = run(holder.model, case.inputs(), about["call"])
        if step == "grad":
            golden.probe_loss(result).backward()
            case.check_grad_norms(step, holder)
        else:
            case.check(step, "v", result)
