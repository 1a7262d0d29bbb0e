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
from sat_config.audio.bottleneck import VAENode
from sat_config.audio.pretransform import AutoencoderPretransformNode
from sat_models.bottlenecks.base import Bottleneck, Encoding, build_bottleneck
from sat_models.build import build_model
from sat_models.models.chunks import decode_in_chunks, encode_in_chunks
from sat_models.models.objectives import RectifiedFlow, VObjective
from sat_models.pretransforms.base import build_pretransform
from sat_models.sampling.samplers import sample_euler, sample_v_ddim

HERE = Path(__file__).parent
COPIES = HERE / "cases"
SHARED = HERE.parents[4] / "shared" / "golden" / "cases"
PRETRANSFORM_SAMPLE_RATE = 8000

spec = importlib.util.spec_from_file_location("golden", HERE / "golden.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)


def folder():
    if named := os.environ.get("SAT_GOLDEN_DIR"):
        return Path(named)
    return SHARED if SHARED.is_dir() else COPIES


class TanhBottleneck(Bottleneck):
    """A bottleneck that the schema does not know; a case needs it around a decoder."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def encode(self, features, *, sample=True, generator=None):
        return Encoding(latents=self.scale * torch.tanh(features / self.scale))

    def decode(self, latents):
        return latents


def build_experiment(case):
    config = case.config
    config["model"].get("config", {}).pop("transformer_type", None)  # has one legal value
    bottleneck = config["model"].get("bottleneck", {})
    if bottleneck.get("type") == "tanh":
        del config["model"]["bottleneck"]
    model = build_model(sat_config.decode(config))
    if bottleneck.get("type") == "tanh":
        model.bottleneck = TanhBottleneck(**bottleneck["config"])
    return model


def build_pretransform_case(case):
    node = msgspec.convert(case.config, AutoencoderPretransformNode)
    return build_pretransform(node, sample_rate=PRETRANSFORM_SAMPLE_RATE)


def build_bottleneck_case(case):
    return build_bottleneck(msgspec.convert(case.config, VAENode))


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
        encoding = model.encode(x["audio"])
        infos = {f"info_{name}": loss for name, loss in encoding.losses.items()}
        before = model.features(x["audio"])
        return {"latents": encoding.latents, "info_pre_bottleneck_latents": before, **infos}
    if step == "decode":
        return {"audio": same_length(case, step, "audio", model.decode(x["latents"]))}
    if step == "encode_chunked":
        return {"latents": encode_in_chunks(model, x["audio"], **chunk_sizes(call))}
    if step == "decode_chunked":
        return {"audio": decode_in_chunks(model, x["latents"], **chunk_sizes(call))}
    return same_length(case, "decode", "audio", model.decode(model.encode(x["audio"]).latents))


def run_bottleneck(case, model, step, call):
    x = case.inputs()
    if step == "encode":
        encoding = model.encode(x["x"])
        return {"z": encoding.latents, **{f"info_{k}": v for k, v in encoding.losses.items()}}
    return {"z": model.decode(x["z"])}


def run_pretransform(case, model, step, call):
    x = case.inputs()
    if step == "encode":
        return {"z": model.encode(x["audio"])}
    if step == "decode":
        return {"audio": model.decode(x["z"])}
    return {"facts": [model.hop_length, model.latent_dim, model.channels]}


def run_dit(case, model, step, call):
    x = case.inputs()
    prediction = model(x["x"], x["t"])
    return prediction if step == "grad" else {"v": prediction}


def run_sampler(case, model, step, call):
    """Evaluate the recorded call, with our samplers in place of the functions it names."""

    def noised(objective, noise, init, sigma_max):
        if init is None:
            return noise
        return objective.training_pair(init, noise, torch.full((len(noise),), sigma_max))[0]

    def sample_k(fn, noise, init_data, steps, *, sampler_type, sigma_max, device):
        assert sampler_type == "v-ddim"
        x = noised(VObjective(), noise, init_data, sigma_max)
        return sample_v_ddim(fn, x, steps=steps, t_max=float(sigma_max))

    def sample_rf(fn, noise, *, init_data=None, steps, sampler_type, sigma_max, device):
        assert sampler_type == "euler"
        x = noised(RectifiedFlow(), noise, init_data, sigma_max)
        return sample_euler(fn, x, steps=steps, t_max=float(sigma_max))

    def sample(fn, noise, steps, eta):
        return sample_v_ddim(fn, noise, steps=steps, eta=eta)

    functions = {"sample_k": sample_k, "sample_rf": sample_rf, "sample": sample}
    expression = re.search(r"sample\w*\(.*\)", call)[0]
    return {
        "x": eval(expression, {"toy_velocity": golden.toy_velocity, **functions, **case.inputs()})
    }


ADAPTERS = {
    "autoencoder": (build_experiment, run_autoencoder),
    "bottleneck": (build_bottleneck_case, run_bottleneck),
    "pretransform": (build_pretransform_case, run_pretransform),
    "dit": (build_experiment, run_dit),
    "sampler": (lambda case: None, run_sampler),
}


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")  # what SAT does with odd strides
@pytest.mark.parametrize("name", sorted(path.stem for path in COPIES.glob("*.json")))
def test_golden_case_agrees(name):
    case = golden.load(folder() / f"{name}.json")
    build, run = ADAPTERS[case.kind]
    model = build(case)
    if model is not None:
        case.load_into(model)
        model.eval()
    for step, about in case.steps.items():
        seed_from(about["call"])
        outcome = run(case, model, step, about["call"])
        if "norms" in about["outputs"]:
            golden.probe_loss(outcome).backward()
            case.check_grad_norms(step, model)
        else:
            case.check_all(step, outcome)
