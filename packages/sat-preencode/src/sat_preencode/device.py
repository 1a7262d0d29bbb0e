"""Where the encoder computes and in which number format."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

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


def choose_device(experiment: Experiment) -> torch.device:
    """The device that `accelerator` and `devices` ask for; of several, the first.

    Raises:
        PreencodeError: The machine has no such device.
    """
    kind = _kind(experiment.accelerator)
    if kind != "cuda":
        return torch.device(kind)
    index = experiment.devices[0] if isinstance(experiment.devices, tuple) else 0
    if index >= torch.cuda.device_count():
        raise PreencodeError(
            f"devices asks for GPU {index}, and this machine has {torch.cuda.device_count()}"
        )
    return torch.device("cuda", index)


def choose_format(experiment: Experiment, *, device: torch.device) -> torch.dtype:
    """The number format that `precision` asks for; on a CPU always float32.

    Raises:
        PreencodeError: Encoding in that format is not offered.
    """
    if experiment.precision not in (*HALF_FORMATS, *FULL_FORMATS):
        raise PreencodeError(
            f"precision is {experiment.precision!r}, which nothing is encoded in; set it to"
            ' "32-true", or on a GPU to "bf16-mixed" or "16-mixed"'
        )
    if device.type == "cpu":
        return torch.float32
    return HALF_FORMATS.get(experiment.precision, torch.float32)


def format_name(dtype: torch.dtype) -> str:
    """A number format as people write it: "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def describe_device(experiment: Experiment, *, device: torch.device, dtype: torch.dtype) -> str:
    """Device and format in words, with what the experiment asks for in vain."""
    text = f"{device}, {format_name(dtype)}"
    if device.type == "cpu" and experiment.precision in HALF_FORMATS:
        text += f"; precision {experiment.precision} is for GPUs"
    wanted = experiment.devices
    if wanted != "auto" and (wanted if isinstance(wanted, int) else len(wanted)) > 1:
        text += f"; one device encodes, though devices is {wanted}"
    return text


@contextmanager
def computing(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Compute without gradients, repeatably, and in float32 unless `dtype` is a half format.

    Weights stay float32; `dtype` is what convolutions compute in. TensorFloat-32, which PyTorch
    allows cuDNN by default, is off: it keeps 10 bits of mantissa, and latents are made once.
    """
    exact = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    half = torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)
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
