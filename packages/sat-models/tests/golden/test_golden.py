"""Our networks against numbers that stable-audio-tools computed (see golden.py).

The cases are read from the folder that SAT_GOLDEN_DIR names, else from a `shared/golden/cases`
beside the repository, else from the copies beside this file; the copies say which cases are run.
"""

import importlib.util
import os
import re
from pathlib import Path

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

HERE = Path(__file__).parent
COPIES = HERE / "cases"
SHARED = HERE.parents[4] / "shared" / "golden" / "cases"
PRETRANSFORM_SAMPLE_RATE = 8000
SAT_LOSSES = {"codebook_loss": "vq__codebook_loss", "commitment_loss": "vq__commitment_loss"}

spec = importlib.util.spec_from_file_location("golden", HERE / "golden.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)


def folder():
    if named := os.environ.get("SAT_GOLDEN_DIR"):
        return Path(named)
    return SHARED if SHARED.is_dir() else COPIES


def build_experiment(case):
    config = case.config
    config["model"].get("config", {}).pop("transformer_type", None)  # has one legal value
    return build_model(sat_config.decode(config))


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


def same_length(case, step, name, value):
    """SAT's decoder ends early where a stride is odd; ours must agree as far as SAT's goes."""
    return value[..., : case.expected(step, name).shape[-1]]


def run_autoencoder(case, model, step, call):
    x = case.inputs()
    if step == "encode":
        encoding, info = encode(case, model, model.bottleneck, x["audio"])
        before = model.features(x["audio"])
        return {"latents": encoding.latents, "info_pre_bottleneck_latents": before, **info}
    if step == "decode":
        return {"audio": same_length(case, step, "audio", model.decode(x["latents"]))}
    if step == "encode_chunked":
        return {"latents": encode_in_chunks(model, x["audio"], **chunk_sizes(call))}
    if step == "decode_chunked":
        return {"audio": decode_in_chunks(model, x["latents"], **chunk_sizes(call))}
    return same_length(case, "decode", "audio", model.decode(model.encode(x["audio"]).latents))


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
        return golden.probe_loss(encoding.latents) + sum(encoding.losses.values())
    return {"z": model.decode(x["z"])}


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


def run_dit(case, model, step, call):
    x = case.inputs()
    prediction = model(x["x"], x["t"])
    return prediction if step == "grad" else {"v": prediction}


ADAPTERS = {
    "autoencoder": (build_experiment, run_autoencoder),
    "bottleneck": (build_bottleneck_case, run_bottleneck),
    "pretransform": (build_pretransform_case, run_pretransform),
    "dit": (build_experiment, run_dit),
}


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")  # what SAT does with odd strides
@pytest.mark.parametrize("name", sorted(path.stem for path in COPIES.glob("*.json")))
def test_golden_case_agrees(name):
    case = golden.load(folder() / f"{name}.json")
    build, run = ADAPTERS[case.kind]
    model = build(case)
    if model is not None:
        case.load_into(model)
        model.train(case.meta["train_mode"])
    for step, about in case.steps.items():
        seed_from(about["call"])
        outcome = run(case, model, step, about["call"])
        if "norms" in about["outputs"]:
            (golden.probe_loss(outcome) if outcome.ndim else outcome).backward()
            case.check_grad_norms(step, model)
        else:
            case.check_all(step, outcome)
