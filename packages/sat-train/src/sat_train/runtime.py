"""The state of the process that training needs, and the quiet it deserves."""

import logging
import os
import platform
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.multiprocessing

from sat_config.run import Runtime

CHATTY_LOGGERS = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric")
UNWANTED_WARNINGS = (
    # Lightning: frozen pretransforms are meant to be in eval mode.
    r"Found \d+ module\(s\) in eval mode",
    # Lightning: the number of workers is the user's choice, and it is in the configuration.
    r"The '\w+' does not have many workers",
    # Lightning: checkpoints of its own format are opened and checked before it sees them.
    r".*weights_only.*",
    # Lightning: the GPU was not asked for.
    r"GPU available but not used",
    # Lightning: a resumed run may have lost its validation data.
    r"Be aware that when using `ckpt_path`",
    # Lightning's use of torch's own internals.
    r".*LeafSpec.* is deprecated",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning says that is of no use to the reader: tips, advertisements, echoes."""
    loggers = [logging.getLogger(name) for name in CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in UNWANTED_WARNINGS:
            warnings.filterwarnings("ignore", message=pattern)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def process_rank() -> int:
    """Which of the processes of a run on several devices this is, before they know each other.

    Lightning starts those of one machine, `torchrun` or SLURM those of several.
    """
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):  # in Lightning's order
        if name in os.environ:
            return int(os.environ[name]) + int(os.environ.get("NODE_RANK", "0"))
    return int(os.environ.get("NODE_RANK", "0"))


def process_memory() -> int:
    """Bytes of memory that this process has at the moment; where that is unknown, at most had."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory(device: torch.device) -> int | None:
    """Bytes that a device has to give; None where that is unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = dict(line.split(":") for line in file)
    except OSError:
        return None
    return int(found["MemAvailable"].split()[0]) * 1024 if device.type == "cpu" else None


def set_flags(flags: Runtime) -> None:
    """Set what holds for the whole process; the one place that does."""
    if flags.num_threads is not None:
        torch.set_num_threads(flags.num_threads)
    torch.set_float32_matmul_precision(flags.matmul_precision)
    torch.use_deterministic_algorithms(flags.deterministic)
    if flags.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if flags.sharing_strategy is not None:
        torch.multiprocessing.set_sharing_strategy(flags.sharing_strategy)  # type: ignore[no-untyped-call]


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch, for the initial weights and whatever plug-ins draw."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed % 2**63)


def device_name(device: torch.device) -> str:
    """What a device is called: `cuda:0 (NVIDIA H200)`, `cpu (x86_64, 2 threads)`."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
    return str(device)
