"""Files of weights: reading them without running code, and writing them whole."""

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sat_models.errors import CheckpointError
from sat_models.files import replacing

SUFFIXES = (".safetensors", ".ckpt")
FORMAT_VERSION = 1

_REFUSED = re.compile(r"GLOBAL (\S+)")


@dataclass(frozen=True)
class WeightFile:
    """What a file of weights holds.

    Attributes:
        tensors: All tensors of its state dict, under the names of the file.
        config: The configuration that lies in it, as JSON text.
        fingerprint: What `tensors` had when the file was written, where the file says so.
    """

    tensors: dict[str, Tensor]
    config: str | None
    fingerprint: str | None


def read_weight_file(path: Path) -> WeightFile:
    """Read a file: `.safetensors` as such, everything else as one of `torch.save`.

    Raises:
        CheckpointError: The file is damaged, would have to run code, or holds no weights.
    """
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def write_weight_file(path: Path, tensors: Mapping[str, Tensor], *, config: str | None) -> None:
    """Write a file that appears only when it is whole.

    Args:
        path: Ends in `.safetensors`, or in `.ckpt` for what stable-audio-tools calls an unwrapped
            checkpoint.
        tensors: The weights.
        config: The configuration that they belong to, as JSON text.

    Raises:
        CheckpointError: Another suffix, or the disk refuses.
    """
    if path.suffix not in SUFFIXES:
        raise CheckpointError(
            f"{path}: weights are saved as {' or '.join(SUFFIXES)}; name the file so"
        )
    # Cloned, because the format refuses tensors that share memory.
    state = {name: value.detach().cpu().clone() for name, value in tensors.items()}
    about = {"fingerprint": fingerprint(state)}
    if config is not None:
        about["config"] = config
    try:
        with replacing(path) as temporary:
            if path.suffix == ".safetensors":
                safetensors.torch.save_file(state, temporary, metadata={"format": "pt", **about})
            else:
                content = {"state_dict": state, "sat": {"version": FORMAT_VERSION, **about}}
                torch.save(content, temporary)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
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


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(_damaged(path, error)) from error
    return WeightFile(tensors, header.get("config"), header.get("fingerprint"))


def _read_torch(path: Path) -> WeightFile:
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
    about = ours if isinstance(ours, dict) else {}
    config = about.get("config") or _sat_config(path, content.get("model_config"))
    return WeightFile(tensors, config, about.get("fingerprint"))


def _sat_config(path: Path, found: Any) -> str | None:  # noqa: ANN401 - whatever a file holds
    """The model document that stable-audio-tools puts into its training checkpoints."""
    if not isinstance(found, dict):
        return None
    try:
        return json.dumps(found)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its model_config is no plain data: {error}") from error


def _damaged(path: Path, error: Exception) -> str:
    text = str(error).rpartition("WeightsUnpickler error: ")[2].strip()
    reason = text.partition("\n")[0].partition(". ")[0][:200] or type(error).__name__
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
