"""Checkpoints: finding, opening, loading into a module with a report, saving.

State-dict names are SAT's. A training checkpoint holds the model under the name of its training
wrapper, beside discriminators, losses and averaged copies; an exported file holds the bare model; a
latent model holds its autoencoder under `pretransform.model.`. All of them open here, with safe
unpickling only.
"""

import hashlib
import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from sat_models.errors import CheckpointError
from sat_models.files import replacing
from sat_models.load_report import LoadReport, Mismatch, count_firsts

logger = logging.getLogger(__name__)

POINTER = "latest"

# Training wrappers: where they keep the model and where its averaged copy. SAT averages the
# backbone only in a latent model, so the copy's names may lack the model's first part.
_WRAPPERS = {
    "autoencoder.": "autoencoder_ema.ema_model.",
    "diffusion.": "diffusion_ema.ema_model.",
    "diffae.": "diffae_ema.ema_model.",
}
# What a module's names may lie below in a file, and what a file's names may lie below in a module.
_BELOW_IN_FILE = ("pretransform.model.", "pretransform.", "model.")
_BELOW_IN_MODULE = ("model.", "model.model.")

_STEP = re.compile(r"step=(\d+)")
_REFUSED = re.compile(r"GLOBAL (\S+)")


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint.

    Attributes:
        path: The file.
        state_dict: The model's weights under the model's own names, on the CPU.
        config: The resolved experiment as JSON text, where we wrote the file.
        fingerprint: Of `state_dict`.
        set_aside: How many other tensors the file holds, by the first part of their names.
    """

    path: Path
    state_dict: dict[str, Tensor]
    config: str | None
    fingerprint: str
    set_aside: Mapping[str, int] = field(default_factory=dict)


def resolve_checkpoint(path: str | Path) -> Path:
    """The file that a checkpoint reference means.

    Args:
        path: A checkpoint file; a pointer (a text file named `latest` that holds a path relative to
            its own folder); a run folder or its folder of checkpoints: what the pointer in it
            names, else the checkpoint of the highest step.

    Raises:
        CheckpointError: There is none; says what was looked for.
    """
    path = Path(path)
    if path.is_dir():
        return _newest(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path} does not exist; a checkpoint is a file, a run folder, or runs/NAME/{POINTER}"
        )
    return _follow(path) if path.name == POINTER else path


def open_checkpoint(path: str | Path, *, ema: bool = False) -> Checkpoint:
    """Read the weights of a model from a file, without running code from it.

    Args:
        path: Anything that `resolve_checkpoint` takes. `.safetensors` is read as such, everything
            else as a file of `torch.save`.
        ema: Take the moving average of the weights that training kept, where it kept one, instead
            of the weights themselves.

    Raises:
        CheckpointError: The file is damaged, would have to run code, or holds no weights; or it has
            no averaged copy.
    """
    path = resolve_checkpoint(path)
    if path.suffix == ".safetensors":
        tensors, header = _read_safetensors(path)
        config, promised = header.get("config"), header.get("fingerprint")
    else:
        tensors, config = _read_torch(path)
        promised = None
    state_dict, set_aside = _unwrap(tensors, path=path, ema=ema)
    found = fingerprint(state_dict)
    if promised is not None and not ema and promised != found:
        raise CheckpointError(
            f"{path}: the weights are not those that were saved (fingerprint {found}, in the header"
            f" {promised}): the file is damaged or was altered; use another copy"
        )
    return Checkpoint(path, state_dict, config, found, set_aside)


def load_weights(module: nn.Module, checkpoint: Checkpoint, *, strict: bool = True) -> LoadReport:
    """Give a module the weights of a checkpoint.

    The file may hold more than the module (an autoencoder is found in a latent model) and the
    module may wrap what the file holds (a pretransform wraps an autoencoder). Nothing is changed
    unless the load is allowed.

    Args:
        module: Gets the values, in its own dtype and on its own device.
        checkpoint: The weights.
        strict: Whether every name and shape has to agree. Otherwise whatever matches is loaded.

    Returns:
        What matched and what did not.

    Raises:
        CheckpointError: Nothing matches, or not everything and `strict` is set.
    """
    own = module.state_dict()
    tensors, aside = _best_view(checkpoint.state_dict, own)
    report = _compare(checkpoint, tensors, own, aside)
    if not report.matched or (strict and not report.complete):
        raise CheckpointError(f"{report}\n{report.advice}")
    module.load_state_dict({name: tensors[name] for name in report.matched}, strict=False)
    if not report.complete:
        logger.warning("loaded in part: %s", report)
    return report


def save_checkpoint(path: str | Path, module: nn.Module, *, config: str) -> None:
    """Write a module's weights, and what they belong to, as a safetensors file.

    Args:
        path: Ends in `.safetensors`; appears only when it is whole.
        module: The model.
        config: The resolved experiment as JSON text.

    Raises:
        CheckpointError: Another suffix, or the disk refuses.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: weights are saved as .safetensors; name the file so")
    # Cloned, because the format refuses tensors that share memory.
    tensors = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
    header = {"format": "pt", "config": config, "fingerprint": fingerprint(tensors)}
    try:
        with replacing(path) as temporary:
            safetensors.torch.save_file(tensors, temporary, metadata=header)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written: {error}") from error


def fingerprint(state_dict: Mapping[str, Tensor]) -> str:
    """A short name for a set of weights: equal for equal names, shapes, dtypes and values.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    digest = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _newest(folder: Path) -> Path:
    places = (folder, folder / "checkpoints")
    for place in places:
        if (place / POINTER).is_file():
            return _follow(place / POINTER)
    found = [file for place in places for file in place.glob("*.ckpt") if file.is_file()]
    if not found:
        looked = f"{POINTER}, checkpoints/{POINTER}, *.ckpt and checkpoints/*.ckpt"
        raise CheckpointError(f"{folder} holds no checkpoint; looked for {looked} in it")
    return max(found, key=_age)


def _age(file: Path) -> tuple[int, int]:
    step = _STEP.search(file.name)
    return (int(step[1]) if step else -1, file.stat().st_mtime_ns)


def _follow(pointer: Path) -> Path:
    try:
        line = pointer.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{pointer} is not a pointer to a checkpoint: {error}") from error
    target = pointer.parent / line
    if not line or "\n" in line or not target.is_file():
        raise CheckpointError(
            f"{pointer} should hold the path of a checkpoint relative to its folder, and says"
            f" {line[:200]!r}, which is no file there; name the checkpoint itself"
        )
    return target


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(_damaged(path, error)) from error


def _read_torch(path: Path) -> tuple[dict[str, Tensor], str | None]:
    try:
        with warnings.catch_warnings():
            # What the safe unpickler does not support, it refuses in any case.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle makes it fail in a dozen ways
        refused = _REFUSED.search(str(error))
        raise CheckpointError(
            _unsafe(path, refused[1]) if refused else _damaged(path, error)
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = (
        {name: value for name, value in state.items() if isinstance(value, Tensor)}
        if isinstance(state, dict)
        else {}
    )
    if not tensors:
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"{path} holds no weights: expected a state dict, or one under the key 'state_dict';"
            f" found {keys[:300]}"
        )
    ours = content.get("sat")
    return tensors, ours.get("config") if isinstance(ours, dict) else None


def _damaged(path: Path, error: Exception) -> str:
    text = str(error).rpartition("WeightsUnpickler error: ")[2].strip()
    reason = text.partition("\n")[0].partition(". ")[0][:200]
    return (
        f"{path} ({path.stat().st_size} bytes) cannot be opened: it is no checkpoint, damaged, or"
        f" cut short ({reason}); use another copy"
    )


def _unsafe(path: Path, name: str) -> str:
    return (
        f"{path} is refused: to open it, Python would have to import and run {name}, and a file"
        " from elsewhere could run anything in that way. Where the file was made, save it once"
        ' more with tensors only: torch.save({"state_dict": checkpoint["state_dict"]}, PATH), or'
        " as .safetensors"
    )


def _unwrap(
    tensors: dict[str, Tensor], *, path: Path, ema: bool
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The model's own tensors under its own names, and a count of the others."""
    firsts = {name.partition(".")[0] for name in tensors}
    # A bare diffusion autoencoder has `diffusion.` beside its `encoder.` and is not wrapped.
    wrapper = next((w for w in _WRAPPERS if w[:-1] in firsts and "encoder" not in firsts), None)
    if wrapper is None:
        if ema:
            raise CheckpointError(_no_average(path))
        return tensors, {}
    model, others = _below(wrapper, tensors)
    if ema:
        average, others = _below(_WRAPPERS[wrapper], others)
        model = _averaged(model, average, path=path)
    return model, count_firsts(others)


def _averaged(
    model: dict[str, Tensor], average: dict[str, Tensor], *, path: Path
) -> dict[str, Tensor]:
    if not average:
        raise CheckpointError(_no_average(path))
    part = "" if all(name in model for name in average) else "model."
    named = {part + name: value for name, value in average.items()}
    if strangers := [name for name in named if name not in model]:
        raise CheckpointError(
            f"{path}: the averaged weights do not belong to the model: {', '.join(strangers[:3])}"
        )
    return {**model, **named}


def _no_average(path: Path) -> str:
    return f"{path} holds no averaged weights (EMA); open it without asking for them"


def _below(
    prefix: str, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors below a prefix, without it, and the rest."""
    inside = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
    return inside, {n: v for n, v in tensors.items() if not n.startswith(prefix)}


def _best_view(
    tensors: dict[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The file's tensors under those names that fit a module best, and a count of the others.

    The first of equally good views is taken: the names as they are, if they match at all as well.
    """
    views = [(tensors, dict[str, int]())]
    for prefix in _BELOW_IN_FILE:
        inside, others = _below(prefix, tensors)
        views.append((inside, count_firsts(others)))
    views.extend(
        ({prefix + name: value for name, value in tensors.items()}, dict[str, int]())
        for prefix in _BELOW_IN_MODULE
    )
    return max(views, key=lambda view: _agreement(view[0], own))


def _agreement(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[int, int]:
    """How many tensors agree in name and shape, and how many in name."""
    known = [name for name in tensors if name in own]
    return sum(_fits(own, name, tensors[name]) for name in known), len(known)


def _fits(own: Mapping[str, Tensor], name: str, value: Tensor) -> bool:
    return name in own and own[name].shape == value.shape


def _compare(
    checkpoint: Checkpoint,
    tensors: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    aside: Mapping[str, int],
) -> LoadReport:
    return LoadReport(
        path=checkpoint.path,
        fingerprint=checkpoint.fingerprint,
        matched=tuple(n for n in own if n in tensors and _fits(own, n, tensors[n])),
        missing=tuple(n for n in own if n not in tensors),
        unexpected=tuple(n for n in tensors if n not in own),
        mismatched=tuple(
            Mismatch(n, tuple(tensors[n].shape), tuple(own[n].shape))
            for n in own
            if n in tensors and not _fits(own, n, tensors[n])
        ),
        set_aside={**checkpoint.set_aside, **aside},
    )
