"""From run keys to the strategy and the arithmetic that Lightning is to use."""

from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.plugins.precision import (
    DeepSpeedPrecision,
    DoublePrecision,
    FSDPPrecision,
    HalfPrecision,
    Precision,
)
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy, FSDPStrategy, Strategy
from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy

from sat_config import Experiment
from sat_config.errors import MissingExtraError

SHARD_PARAMETERS = 10_000_000
"""Modules with more weights than this are sharded on their own under `fsdp`."""

BUCKET_ELEMENTS = 500_000_000


class WholeBatches(Precision):
    """Leaves batches as they are: methods convert what they take out of them.

    Lightning would convert the tensors inside, but a batch is immutable.
    """

    def convert_input(self, data: Any) -> Any:  # noqa: ANN401 - as the base class has it
        """The batch as it is."""
        return data


class WholeHalf(WholeBatches, HalfPrecision):
    """All in half precision."""


class WholeDouble(WholeBatches, DoublePrecision):
    """All in double precision."""


class WholeFSDP(WholeBatches, FSDPPrecision):
    """Any precision under FSDP."""


class WholeDeepSpeed(WholeBatches, DeepSpeedPrecision):
    """Any precision under DeepSpeed."""


def build_strategy(experiment: Experiment) -> Strategy | str:
    """How several devices work together.

    `auto` is one device alone, or else `ddp`. Under `ddp` weights may be left without gradients, as
    those of a discriminator in the generator's turn. Any other name is Lightning's.

    Raises:
        MissingExtraError: DeepSpeed is not installed.
    """
    name = experiment.strategy
    if name == "auto":
        name = "ddp" if count_devices(experiment) > 1 else "auto"
    if name == "ddp":
        return DDPStrategy(find_unused_parameters=True)
    if name == "fsdp":
        policy = partial(size_based_auto_wrap_policy, min_num_params=SHARD_PARAMETERS)
        return FSDPStrategy(auto_wrap_policy=policy, state_dict_type="full")
    if name == "deepspeed":
        if find_spec("deepspeed") is None:
            raise MissingExtraError(
                "strategy = 'deepspeed' needs the package deepspeed, which is not installed;"
                " install it with: pip install 'sat-train[deepspeed]'"
            )
        return DeepSpeedStrategy(
            stage=2,
            contiguous_gradients=True,
            overlap_comm=True,
            reduce_scatter=True,
            reduce_bucket_size=BUCKET_ELEMENTS,
            allgather_bucket_size=BUCKET_ELEMENTS,
            load_full_weights=True,
        )
    return name


def count_devices(experiment: Experiment) -> int:
    """Devices of all machines together."""
    devices = experiment.devices
    if devices == "auto":
        on_cuda = experiment.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        devices = torch.cuda.device_count() if on_cuda else 1
    return experiment.num_nodes * (devices if isinstance(devices, int) else len(devices))


def build_precision(experiment: Experiment) -> Precision | None:
    """The precision, where Lightning's own would break batches; None where it would not."""
    name = experiment.precision
    if experiment.strategy == "fsdp":
        return WholeFSDP(_full_name(name))
    if experiment.strategy == "deepspeed":
        return WholeDeepSpeed(_full_name(name))
    if name in ("bf16-true", "16-true"):
        return WholeHalf(name)
    return WholeDouble() if name in ("64-true", "64") else None


def build_environment() -> SLURMEnvironment | None:
    """Under SLURM: Lightning is not to put the job back into the queue by itself."""
    return SLURMEnvironment(auto_requeue=False) if SLURMEnvironment.detect() else None


def _full_name(precision: str) -> Any:  # noqa: ANN401 - Lightning's Literal
    """The precision's name without abbreviation."""
    names = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}
    return names.get(precision, precision)
