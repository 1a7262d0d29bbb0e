"""Checkpoints: finding, opening, loading into a module with a report, saving.

State-dict names are SAT's. A training checkpoint holds the model under the name of its training
wrapper, beside discriminators, losses and averaged copies; an exported file holds the bare model; a
latent model holds its autoencoder under `pretransform.model.`. All of them open here, with safe
unpickling only.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from sat_models.errors import CheckpointError
from sat_models.load_report import LoadReport, Mismatch, count_firsts
from sat_models.weight_files import fingerprint, read_weight_file, write_weight_file

__all__ = [
    "Checkpoint",
    "fingerprint",
    "load_weights",
    "match_weights",
    "open_checkpoint",
    "require_match",
    "resolve_checkpoint",
    "save_checkpoint",
]

logger = logging.getLogger(__name__)

POINTER = "latest"

# Training wrappers: a name that shows which it is, where it keeps the model, and where the averaged
# copy. SAT averages the backbone only in a latent model, so the copy's names may lack the model's
# first part.
_WRAPPERS = (
    ("autoencoder.", "autoencoder.", "autoencoder_ema.ema_model."),
    ("diffusion.", "diffusion.", "diffusion_ema.ema_model."),
    ("diffae.", "diffae.", "diffae_ema.ema_model."),
    ("model.lm.", "model.", "model_ema.ema_model."),
)
# What a module's names may lie below in a file, and what a file's names may lie below in a module.
_BELOW_IN_FILE = ("pretransform.model.", "pretransform.", "model.")
_BELOW_IN_MODULE = ("model.", "model.model.")

_STEP = re.compile(r"step=(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint.

    Attributes:
        path: The file.
        state_dict: The model's weights under the model's own names, on the CPU.
        config: The configuration that lies in the file, as JSON text: a resolved experiment if we
            wrote it, a model document if stable-audio-tools trained it.
        fingerprint: Of `state_dict`.
        set_aside: How many other tensors the file holds, by the first part of their names.
    """

    path: Path
    state_dict: dict[str, Tensor]
    config: str | None
    fingerprint: str
    set_aside: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_average(self) -> bool:
        """Whether the file also holds a moving average of the weights (EMA)."""
        return any(name.endswith("_ema") for name in self.set_aside)


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
    file = read_weight_file(path)
    state_dict, set_aside = _unwrap(file.tensors, path=path, ema=ema)
    found = fingerprint(state_dict)
    if file.fingerprint not in (None, found) and not ema:
        raise CheckpointError(
            f"{path}: the weights are not those that were saved (fingerprint {found}, in the file"
            f" {file.fingerprint}): it is damaged or was altered; use another copy"
        )
    return Checkpoint(path, state_dict, file.config, found, set_aside)


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
    report, tensors = match_weights(module, checkpoint)
    require_match(report, strict=strict)
    module.load_state_dict(tensors, strict=False)
    if not report.complete:
        logger.warning("loaded in part: %s", report)
    return report


def match_weights(
    module: nn.Module, checkpoint: Checkpoint
) -> tuple[LoadReport, dict[str, Tensor]]:
    """Find a module's weights in a checkpoint, as `load_weights` does, and change nothing.

    Returns:
        What matches and what does not, and the file's values under the module's names.
    """
    own = module.state_dict()
    tensors, aside = _best_view(checkpoint.state_dict, own)
    report = _compare(checkpoint, tensors, own, aside)
    return report, {name: tensors[name] for name in report.matched}


def require_match(report: LoadReport, *, strict: bool) -> None:
    """Refuse what `load_weights` refuses.

    Raises:
        CheckpointError: Nothing matches, or not everything and `strict` is set.
    """
    if not report.matched or (strict and not report.complete):
        raise CheckpointError(f"{report}\n{report.advice}")


def save_checkpoint(path: str | Path, module: nn.Module, *, config: str) -> None:
    """Write a module's weights and what they belong to, and a fingerprint.

    Args:
        path: Ends in `.safetensors`, or in `.ckpt` for a file that stable-audio-tools opens as an
            unwrapped checkpoint; appears only when it is whole.
        module: The model.
        config: The resolved experiment as JSON text.

    Raises:
        CheckpointError: Another suffix, or the disk refuses.
    """
    write_weight_file(Path(path), module.state_dict(), config=config)


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


def _unwrap(
    tensors: dict[str, Tensor], *, path: Path, ema: bool
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The model's own tensors under its own names, and a count of the others."""
    tensors = _without_wrappers(tensors)
    firsts = {name.partition(".")[0] for name in tensors}
    # A bare diffusion autoencoder has `diffusion.` beside its `encoder.` and is not wrapped.
    found = next(
        (w for w in _WRAPPERS if _any_below(w[0], tensors) and "encoder" not in firsts), None
    )
    if found is None:
        if ema:
            raise CheckpointError(_no_average(path))
        return tensors, {}
    _, where, averaged = found
    model, others = _below(where, tensors)
    if ema:
        average, others = _below(averaged, others)
        model = _averaged(model, average, path=path)
    return model, count_firsts(others)


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under names without what torch.compile and parallel training put into them."""
    plain = {name.replace("_orig_mod.", ""): value for name, value in tensors.items()}
    inside, others = _below("module.", plain)
    return plain if others else inside


def _any_below(prefix: str, tensors: Mapping[str, Tensor]) -> bool:
    return any(name.startswith(prefix) for name in tensors)


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
