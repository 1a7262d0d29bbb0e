"""Build pairs of documents with stable-audio-tools, and compare what comes out.

Runs in an environment that has stable-audio-tools and not sat-config; `sat_builds_ours.py` starts
it with a folder of pairs and finds `results.json` there.
"""

import contextlib
import copy
import gc
import importlib.machinery
import importlib.metadata
import io
import json
import os
import platform
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

warnings.filterwarnings("ignore")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch  # noqa: E402 - after the warnings are silenced
from torch import nn  # noqa: E402

STAND_INS = (
    "T5: an encoder of one small layer, with the width of the real one; its tokenizer",
    "CLAP: two linear layers in place of its branches, and a checkpoint without weights",
    "the pretrained DAC and audiocraft codecs: objects with the attributes that are read",
    "g2p_en and deepspeed: classes with the same signature",
    "initial values of weights: whatever is in memory, which nothing here reads",
)
REMEMBERED = re.compile(r"(^|_)(configs?|kwargs|args|options)$")
"""Attributes that hold a part of the document as it was written."""

NEEDS_DEMO = ("diffusion_cond", "diffusion_cond_inpaint")
"""Model types whose demo has no defaults."""

DEMO_OF_DATA = ("autoencoder", "diffusion_autoencoder", "diffusion_cond_inpaint")
"""Model types whose demo is given data."""

OPAQUE = (nn.Module, types.FunctionType, types.MethodType, type, torch.dtype, torch.Tensor)
"""What is compared by name alone, or elsewhere."""


def main(folder: Path) -> None:
    """Compare all pairs of a folder."""
    stand_in(folder)
    cases = {}
    for path in sorted(folder.glob("*.json")):
        pair = json.loads(path.read_text())
        print(pair["name"], flush=True)
        cases[pair["name"]] = compare(pair["original"], json.loads(pair["ours"]), folder)
        gc.collect()
    packages = ("stable-audio-tools", "torch", "torchaudio", "transformers", "scipy")
    versions = {"Python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in packages}
    found = {"cases": cases, "versions": versions, "stand_ins": STAND_INS}
    (folder / "results.json").write_text(json.dumps(found))


# ------------------------------------------------------------------------------------- comparison


def compare(original: dict[str, Any], ours: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Build both; the verdict, the number of weights, and what there is to say."""
    theirs, failure = attempt(original, folder)
    if not failure:
        made, broken = attempt(ours, folder)
        return judge("same", [], theirs, made, broken)
    notes = [f"SAT: {failure}"]
    with repaired() as repairs:
        theirs, still = attempt(original, folder)
        made, broken = attempt(ours, folder)
    if not still:
        notes.append(f"mended: {', '.join(repairs)}")
        return judge("repaired", notes, theirs, made, broken)
    if still != broken:
        notes.append(f"ours: {broken or 'is built'}")
    alike = broken.split(":")[0] == still.split(":")[0]
    return {"verdict": "neither" if alike else "DIFFERS", "parameters": None, "notes": notes}


def judge(
    word: str, notes: list[str], theirs: dict[str, str], made: dict[str, str], broken: str
) -> dict[str, Any]:
    """The verdict on a case of which SAT's own document is built."""
    count = sum(int(value.split()[-1]) for key, value in theirs.items() if key[0] == "%")
    if broken:
        found = [f"ours: {broken}"]
    else:
        found = [
            f"{key}: {theirs.get(key, 'nothing')} became {made.get(key, 'nothing')}"
            for key in sorted({*theirs, *made})
            if theirs.get(key) != made.get(key)
        ]
    verdict = "DIFFERS" if found else word
    return {"verdict": verdict, "parameters": count, "notes": [*notes, *found[:8]]}


def attempt(document: dict[str, Any], folder: Path) -> tuple[dict[str, str], str]:
    """The traits of everything that is built from a document, or what went wrong."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return dict(build(copy.deepcopy(document), folder)), ""
    except Exception as error:  # noqa: BLE001 - whatever SAT raises is the result
        text = " ".join(str(error).split()).replace(str(folder), "FOLDER")
        text = text.replace(sys.prefix, "ENV")
        return {}, f"{type(error).__name__}: {text[:200]}"


def build(document: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """Build what a document describes, and give the traits of it all."""
    from stable_audio_tools.models import create_model_from_config
    from stable_audio_tools.training import factory

    if "dataset_type" in document:
        yield from loader_traits(document, folder)
        return
    model = create_model_from_config(document)
    yield from module_traits("model", model)
    if "training" not in document:
        return
    wrapper = factory.create_training_wrapper_from_config(document, model)
    yield from module_traits("wrapper", wrapper)
    optimizers = wrapper.configure_optimizers()
    yield from traits("optimizers", optimizers, 4)
    kind = document["model_type"]
    if "demo" in document["training"] or kind not in NEEDS_DEMO:
        given = {"demo_dl": []} if kind in DEMO_OF_DATA else {}
        demo = factory.create_demo_callback_from_config(document, **given)
        yield from traits("demo", vars(demo), 4)


def loader_traits(document: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """The traits of a data loader."""
    from stable_audio_tools.data import dataset

    for entry in document["datasets"]:
        if "path" in entry:
            entry["path"] = str(folder / "data")
    (folder / "data").mkdir(exist_ok=True)
    for name in ("0.tar", "0.wav", "0.npy", "0.npz"):
        (folder / "data" / name).touch()
    with mock.patch.object(dataset, "get_all_s3_urls", return_value=["s3://a/0.tar"]):
        loader = dataset.create_dataloader_from_config(
            document, batch_size=2, sample_size=64, sample_rate=8000, num_workers=1
        )
    yield from traits("loader", vars(loader), 6)


def module_traits(root: str, module: nn.Module) -> Iterator[tuple[str, str]]:
    """What says how a network was built: its weights, buffers and plain attributes."""
    seen: set[int] = set()
    for name, inner in module.named_modules(prefix=root):
        own = {key: value for key, value in vars(inner).items() if not key.startswith("_")}
        yield f"{name}()", type(inner).__qualname__
        for key, value in own.items():
            if not isinstance(value, nn.Module) and not REMEMBERED.search(key):
                yield from traits(f"{name}.{key}", value, 3)
    for key, weight in module.named_parameters(root):
        count = 0 if id(weight) in seen else weight.numel()
        seen.add(id(weight))
        shape = tuple(weight.shape)
        yield f"%{key}", f"{shape} {weight.dtype} {weight.requires_grad} {count}"
    for key, buffer in module.named_buffers(root):
        values = buffer.double()
        finite = values[torch.isfinite(values)]
        yield (
            f"={key}",
            f"{tuple(buffer.shape)} {buffer.dtype} {finite.sum():.6g} {finite.norm():.6g}",
        )


def traits(path: str, value: object, depth: int) -> Iterator[tuple[str, str]]:
    """A value in words: plain ones as they are, objects by their class and attributes."""
    yield path, in_a_word(value)
    if isinstance(value, list | tuple):
        inner: dict[Any, object] = dict(enumerate(value[:40]))
    elif isinstance(value, dict):
        inner = value
    elif isinstance(value, torch.optim.Optimizer):
        inner = {
            "groups": [{**group, "params": len(group["params"])} for group in value.param_groups]
        }
    elif depth > 0 and hasattr(value, "__dict__") and not isinstance(value, OPAQUE):
        inner = vars(value)
    else:
        inner = {}
    for key, item in inner.items():
        if key not in ("optimizer", "generator") and not REMEMBERED.search(str(key)):
            yield from traits(f"{path}.{key}", item, depth - 1)


def in_a_word(value: object) -> str:
    """A value without what is in it."""
    if isinstance(value, bool | str | None):
        return repr(value)
    if isinstance(value, int | float):
        return f"{float(value):.9g}"
    if isinstance(value, torch.Tensor):
        return f"tensor {tuple(value.shape)} {value.dtype}"
    if isinstance(value, list | tuple | dict):
        return f"{len(value)} items"
    if isinstance(value, OPAQUE):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return type(value).__qualname__


# ------------------------------------------------------------------------------ repairs, stand-ins


@contextlib.contextmanager
def repaired() -> Iterator[dict[str, None]]:
    """SAT without the mistakes that keep it from building some types; lists those that it met."""
    import scipy.signal
    from stable_audio_tools.models import blocks, conditioners, transformer

    met: dict[str, None] = {}
    firwin = scipy.signal.firwin
    scheduler = torch.optim.lr_scheduler.LRScheduler
    start = scheduler.__init__
    note = met.setdefault

    def scheduler_init(self: Any, optimizer: Any, last_epoch: int = -1, *verbose: Any) -> None:  # noqa: ANN401
        if verbose:
            note("torch's schedulers have lost the argument `verbose`")
        start(self, optimizer, last_epoch)

    def filter_window(*args: Any, nyq: float | None = None, **kwargs: Any) -> Any:  # noqa: ANN401
        if nyq:
            note("SciPy has moved `kaiser` and renamed `nyq`")
            kwargs["fs"] = 2 * nyq
        return firwin(*args, **kwargs)

    def finetune(_: object) -> bool:
        note("CLAPAudioConditioner reads a `finetune` that it never sets")
        return False

    with contextlib.ExitStack() as stack:
        for patch in (
            mock.patch.object(
                conditioners.CLAPAudioConditioner, "finetune", property(finetune), create=True
            ),
            without(blocks.ResConvBlock, ("use_snake",), note),
            without(transformer.Attention, ("sliding_window", "natten_kernel_size"), note),
            mock.patch.object(scheduler, "__init__", scheduler_init),
            mock.patch.object(scipy.signal, "firwin", filter_window),
            mock.patch.object(scipy.signal, "kaiser", scipy.signal.windows.kaiser, create=True),
        ):
            stack.enter_context(patch)
        yield met


def without(cls: type, keys: tuple[str, ...], note: Callable[[str], None]) -> Any:  # noqa: ANN401
    """A patch of a class that drops arguments which it does not take."""
    kept = cls.__init__

    def init(self: object, *args: object, **kwargs: object) -> None:
        for key in keys:
            if key in kwargs:
                note(f"{cls.__name__} is handed a {key} that it does not take")
                del kwargs[key]
        kept(self, *args, **kwargs)

    return mock.patch.object(cls, "__init__", init)


class Tokenizer(dict[str, int]):
    """Stands in for a tokenizer of 100 tokens."""

    def __len__(self) -> int:
        return 100 + super().__len__()

    def add_special_tokens(self, tokens: dict[str, list[str]]) -> None:
        """Count further tokens."""
        self.update(dict.fromkeys(*tokens.values(), 1))


class Clap(nn.Module):
    """Stands in for `laion_clap.CLAP_Module`."""

    def __init__(self, enable_fusion: bool, amodel: str, device: str) -> None:
        super().__init__()
        self.made_for = (enable_fusion, amodel)
        self.model = nn.ModuleDict(
            {"text_branch": nn.Linear(1, 1), "audio_branch": nn.Linear(1, 1)}
        )


class G2p:
    """Stands in for `g2p_en.G2p`, which knows 74 phonemes."""

    phonemes = tuple(range(74))


class FusedAdam(torch.optim.Adam):
    """Stands in for DeepSpeed's, with its signature."""

    def __init__(
        self,
        params: Any,  # noqa: ANN401
        lr: float = 1e-3,
        bias_correction: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        adam_w_mode: bool = True,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        set_grad_none: bool = True,
    ) -> None:
        super().__init__(params, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay)
        self.made_for = (bias_correction, adam_w_mode, amsgrad, set_grad_none)


def small_codec(*args: object, **kwargs: object) -> nn.Module:
    """Stands in for a pretrained codec; remembers what was asked for."""
    codec = nn.Linear(1, 1)
    facts = {"latent_dim": 1024, "n_codebooks": 9, "num_codebooks": 4, "codebook_size": 1024}
    facts |= {"cardinality": 2048, "sample_rate": 32000, "frame_rate": 50, "channels": 1}
    for key, value in {**facts, "asked": [*args, kwargs]}.items():
        setattr(codec, key, value)
    return codec


def small_t5(name: str) -> nn.Module:
    """Stands in for a pretrained text encoder."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=10)
    encoder = T5EncoderModel(config)
    encoder.asked = name
    return encoder


def stand_in(folder: Path) -> None:
    """Put small objects in the place of what is downloaded, and do not initialise weights."""
    import dac
    import transformers

    transformers.AutoTokenizer.from_pretrained = lambda name: Tokenizer({name: 0})
    transformers.T5EncoderModel.from_pretrained = small_t5
    torch.save({"state_dict": {}}, folder / "clap.ckpt")
    load = torch.load
    torch.load = lambda name, **kwargs: load(
        folder / "clap.ckpt" if str(name).endswith("clap.ckpt") else name, **kwargs
    )
    dac.utils.download = lambda **kwargs: kwargs
    dac.DAC.load = small_codec
    codecs = types.SimpleNamespace(get_pretrained=small_codec)
    for name, content in {
        "laion_clap": {"CLAP_Module": Clap},
        "g2p_en": {"G2p": G2p},
        "deepspeed": {},
        "deepspeed.ops": {},
        "deepspeed.ops.adam": {"FusedAdam": FusedAdam},
        "audiocraft": {},
        "audiocraft.models": {"CompressionModel": codecs},
    }.items():
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(module).update(content)
        sys.modules[name] = module
    for name in ("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "uniform_", "normal_"):
        setattr(nn.init, name, lambda tensor, *_, **__: tensor)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
