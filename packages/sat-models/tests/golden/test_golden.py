"""Autoencoders, bottlenecks and pretransforms against numbers that stable-audio-tools computed.

Which cases: see golden.py. A case's call says what was seeded and how long its chunks were; its
outputs say what was kept.
"""

import re

import golden
import msgspec
import pytest
import torch

import sat_config
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.pretransform import PretransformNode
from sat_config.registry import current
from sat_models.bottlenecks.base import build_bottleneck
from sat_models.build import build_model
from sat_models.models.chunks import decode_in_chunks, encode_in_chunks
from sat_models.pretransforms.base import build_pretransform

PRETRANSFORM_SAMPLE_RATE = 8000
SAT_LOSSES = {"codebook_loss": "vq__codebook_loss", "commitment_loss": "vq__commitment_loss"}


def node_of(base, config):
    return msgspec.convert(config, current().families[base].members[config["type"]])


def build_pretransform_case(case):
    node = node_of(PretransformNode, case.config)
    return build_pretransform(node, sample_rate=PRETRANSFORM_SAMPLE_RATE)


def build_bottleneck_case(case):
    return build_bottleneck(node_of(BottleneckNode, case.config))


def seed_from(call):
    if found := re.search(r"manual_seed\((\d+)\)", call):
        torch.manual_seed(int(found[1]))


def chunk_sizes(call):
    sizes = dict(re.findall(r"(overlap|chunk_size)=(\d+)", call))
    return {"overlap": int(sizes["overlap"]), "chunk": int(sizes["chunk_size"])}


def without_fill(case, model, audio):
    """SAT's decoder ends early where a stride is odd, by the same number of samples always."""
    frames = case.inputs()["latents"].shape[-1]
    short = frames * model.hop_length - case.expected("decode", "audio").shape[-1]
    return audio[..., : audio.shape[-1] - short]


def run_autoencoder(case, model, step, call):
    x = case.inputs()
    if step == "encode":
        encoding, info = encode(case, model, model.bottleneck, x["audio"])
        before = model.features(x["audio"])
        return {"latents": encoding.latents, "info_pre_bottleneck_latents": before, **info}
    if step == "decode":
        return {"audio": without_fill(case, model, model.decode(x["latents"]))}
    if step == "encode_chunked":
        return {"latents": encode_in_chunks(model, x["audio"], **chunk_sizes(call))}
    if step == "decode_chunked":
        return {"audio": decode_in_chunks(model, x["latents"], **chunk_sizes(call))}
    decoded = without_fill(case, model, model.decode(model.encode(x["audio"]).latents))
    return golden.probe_loss(decoded)


def encode(case, model, bottleneck, audio):
    """An encoding, and what SAT's bottleneck says of it under SAT's names and in its layout."""
    seen = {}

    def watch(quantizer, inputs, quantized):
        if hasattr(quantized, "projected"):  # the Descript codec's
            seen["info_pre_quantizer"] = inputs[0]
            seen["info_z"], seen["info_latents"] = quantized.latents, quantized.projected

    quantizer = getattr(bottleneck, "quantizer", None)
    handle = quantizer.register_forward_hook(watch) if quantizer is not None else None
    encoding = model.encode(audio)
    if handle is not None:
        handle.remove()
    losses = {f"info_{SAT_LOSSES.get(name, name)}": v for name, v in encoding.losses.items()}
    if encoding.tokens is not None:
        config = case.config.get("model", {}).get("bottleneck", case.config)
        turned = node_of(BottleneckNode, config).token_layout == "b l q"
        seen["info_codes"] = encoding.tokens
        seen["info_quantizer_indices"] = encoding.tokens.mT if turned else encoding.tokens
    return encoding, {**seen, **losses}


def run_bottleneck(case, model, step, call):
    x = case.inputs()
    if step == "encode":
        encoding, info = encode(case, model, model, x["x"])
        return {"z": encoding.latents, **info}
    if step == "decode_tokens":
        seed_from(case.steps["encode"]["call"])
        tokens = x["tokens"] if "tokens" in x else model.encode_tokens(x["x"])
        return {"z": model.decode_tokens(tokens)}
    if step == "ema":
        return {name.replace(".", "_"): value for name, value in model.state_dict().items()}
    if step == "grad":
        encoding = model.encode(x["x"])
        return golden.probe_loss(encoding.latents) + sum(noted_losses(case, encoding.losses))
    return {"z": model.decode(x["z"])}


def noted_losses(case, losses):
    """Those that the case's notes count in: "grad loss: probe_loss(z) + commitment + ..."."""
    noted = " ".join(note for note in case.meta["notes"] if note.startswith("grad loss"))
    return [value for name, value in losses.items() if name.removesuffix("_loss") in noted]


def run_pretransform(case, model, step, call):
    x = case.inputs()
    if step == "encode":
        return {"z": model.encode(x["audio"])}
    if step == "decode":
        return {"audio": model.decode(x["z"])}
    if step == "tokenize":
        return {"tokens": model.encode_tokens(x["audio"])}
    if step == "decode_tokens":
        return {"audio": model.decode_tokens(model.encode_tokens(x["audio"]))}
    facts = [model.hop_length, model.latent_dim, model.channels]
    return {"facts": sat_facts(case, facts)}


def sat_facts(case, facts):
    """What SAT says, which does not count oversampling and has no facts of pqmf."""
    if case.config["type"] == "pqmf":
        return [0, 0, facts[2]]
    return [facts[0] * case.config["config"].get("oversampling", 1), *facts[1:]]


ADAPTERS = {
    "autoencoder": (lambda case: build_model(sat_config.decode(case.config)), run_autoencoder),
    "bottleneck": (build_bottleneck_case, run_bottleneck),
    "pretransform": (build_pretransform_case, run_pretransform),
}


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")  # what SAT does with odd strides
@pytest.mark.parametrize("case", golden.cases(*ADAPTERS), ids=str)
def test_golden_case_agrees(case):
    build, run = ADAPTERS[case.kind]
    model = build(case)
    case.load_into(model)
    model.train(case.meta["train_mode"])
    for step, about in case.steps.items():
        seed_from(about["call"])
        outcome = run(case, model, step, about["call"])
        if "norms" in about["outputs"]:
            outcome.backward()
            case.check_grad_norms(step, model)
        else:
            case.check_all(step, outcome)
