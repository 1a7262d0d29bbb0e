"""Where the encoder computes and in which number format."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from sat_config.audio.preencode import Preencode
from sat_config.run import Experiment
from sat_preencode.errors import PreencodeError

HALF_FORMATS = {
    "bf16-mixed": torch.bfloat16,
    "bf16-true": torch.bfloat16,
    "bf16": torch.bfloat16,
    "16-mixed": torch.float16,
    "16": torch.float16,
}

FULL_FORMATS = ("32-true", "32")


@dataclass(frozen=True)
class Arithmetic:
    """In what numbers latents are computed.

    Attributes:
        dtype: What convolutions compute in.
        throughout: Whether weights, audio and latents are in that format too; else they are
            float32.
    """

    dtype: torch.dtype
    throughout: bool = False

    @property
    def stored(self) -> torch.dtype:
        """The format of weights, audio and latents."""
        return self.dtype if self.throughout else torch.float32

    def __str__(self) -> str:
        """As people write it: "bfloat16", or "float16 throughout"."""
        name = str(self.dtype).removeprefix("torch.")
        return f"{name} throughout" if self.throughout else name


def choose_device(experiment: Experiment, *, local_rank: int = 0) -> torch.device:
    """The device that `accelerator` and `devices` ask for; of several, the first.

    Raises:
        PreencodeError: The machine has no such device.
    """
    kind = _kind(experiment.accelerator)
    if kind != "cuda":
        return torch.device(kind)
    chosen = experiment.devices
    index = chosen[local_rank % len(chosen)] if isinstance(chosen, tuple) else local_rank
    if index >= torch.cuda.device_count():
        raise PreencodeError(
            f"devices asks for GPU {index}, and this machine has {torch.cuda.device_count()}"
        )
    return torch.device("cuda", index)


def choose_arithmetic(
    experiment: Experiment, table: Preencode, *, device: torch.device
) -> Arithmetic:
    """Float16 throughout for `model_half`, else what `precision` asks for; on a CPU float32.

    Raises:
        PreencodeError: Encoding in that format is not offered.
    """
    if table.model_half:
        return Arithmetic(torch.float16, throughout=True)
    if experiment.precision not in (*HALF_FORMATS, *FULL_FORMATS):
        raise PreencodeError(
            f"precision is {experiment.precision!r}, which nothing is encoded in; set it to"
            ' "32-true", or on a GPU to "bf16-mixed" or "16-mixed"'
        )
    if device.type == "cpu":
        return Arithmetic(torch.float32)
    return Arithmetic(HALF_FORMATS.get(experiment.precision, torch.float32))


def describe_device(experiment: Experiment, *, device: torch.device, arithmetic: Arithmetic) -> str:
    """Device and format in words, with what the experiment asks for in vain."""
    text = f"{device}, {arithmetic}"
    unheard = device.type == "cpu" and not arithmetic.throughout
    if unheard and experiment.precision in HALF_FORMATS:
        text += f"; precision {experiment.precision} is for GPUs"
    wanted = experiment.devices
    if wanted != "auto" and (wanted if isinstance(wanted, int) else len(wanted)) > 1:
        text += f"; one device encodes, though devices is {wanted}"
    return text


@contextmanager
def computing(device: torch.device, arithmetic: Arithmetic) -> Iterator[None]:
    """Compute without gradients, repeatably, and in the given format.

    TensorFloat-32, which PyTorch allows cuDNN by default, is off: it keeps 10 bits of mantissa, and
    latents are made once.
    """
    exact = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    mixed = arithmetic.dtype is not arithmetic.stored
    half = torch.autocast(device.type, dtype=arithmetic.dtype, enabled=mixed)
    with exact, half, torch.inference_mode():
        yield


def _kind(accelerator: str) -> str:
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if accelerator == "auto":
        return present[0]
    kind = present[0] if accelerator == "gpu" and len(present) > 1 else accelerator
    if kind not in present:
        raise PreencodeError(
            f"accelerator is {accelerator!r}, and this machine has {', '.join(present)} only; set"
            ' accelerator to "auto"'
        )
    return kind
