"""From the optimizer blocks of a configuration to torch's optimizers and schedulers."""

from collections.abc import Iterable, Mapping
from functools import partial, singledispatch
from typing import Any, Protocol

import msgspec
import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from sat_config.audio import optimizer as optimizers
from sat_config.audio import scheduler as schedulers
from sat_config.audio.optimizer import OptimizerGroup, OptimizerNode
from sat_config.audio.scheduler import InverseLRConfig, InverseLRNode, SchedulerNode
from sat_models.errors import MissingBuilderError
from sat_models.extras import import_extra
from sat_train.steps import Updater

Settings = dict[str, Any]
"""Keyword arguments of one of torch's constructors, by its own names."""

TORCH_OPTIMIZERS: Mapping[type[OptimizerNode], type[Optimizer]] = {
    optimizers.AdamNode: torch.optim.Adam,
    optimizers.AdamWNode: torch.optim.AdamW,
    optimizers.AdamaxNode: torch.optim.Adamax,
    optimizers.NAdamNode: torch.optim.NAdam,
    optimizers.RAdamNode: torch.optim.RAdam,
    optimizers.AdadeltaNode: torch.optim.Adadelta,
    optimizers.AdafactorNode: torch.optim.Adafactor,
    optimizers.AdagradNode: torch.optim.Adagrad,
    optimizers.RMSpropNode: torch.optim.RMSprop,
    optimizers.SGDNode: torch.optim.SGD,
    optimizers.ASGDNode: torch.optim.ASGD,
    optimizers.RpropNode: torch.optim.Rprop,
}

TORCH_SCHEDULERS: Mapping[type[SchedulerNode], type[LRScheduler]] = {
    schedulers.ConstantLRNode: lr_scheduler.ConstantLR,
    schedulers.LinearLRNode: lr_scheduler.LinearLR,
    schedulers.StepLRNode: lr_scheduler.StepLR,
    schedulers.MultiStepLRNode: lr_scheduler.MultiStepLR,
    schedulers.ExponentialLRNode: lr_scheduler.ExponentialLR,
    schedulers.PolynomialLRNode: lr_scheduler.PolynomialLR,
    schedulers.CosineAnnealingLRNode: lr_scheduler.CosineAnnealingLR,
    schedulers.CosineAnnealingWarmRestartsNode: lr_scheduler.CosineAnnealingWarmRestarts,
    schedulers.CyclicLRNode: lr_scheduler.CyclicLR,
    schedulers.OneCycleLRNode: lr_scheduler.OneCycleLR,
}


class _Configured(Protocol):
    config: Any


FUSED_ON: Mapping[type[Optimizer], tuple[str, ...]] = {
    torch.optim.Adam: ("cpu", "cuda", "mps"),
    torch.optim.AdamW: ("cpu", "cuda", "mps"),
    torch.optim.SGD: ("cpu", "cuda", "mps"),
    torch.optim.Adagrad: ("cpu",),
}
"""Devices on which torch has one kernel for a whole step."""


def build_updater(
    node: OptimizerGroup, weights: Iterable[nn.Parameter], *, allow_fused: bool
) -> Updater:
    """Build optimizer and scheduler of a group.

    Args:
        node: The group.
        weights: What they change, on the device where they will stay.
        allow_fused: Whether a step may be one kernel; scaled gradients of float16 rule it out.

    Raises:
        MissingExtraError: An optional dependency is not installed.
        MissingBuilderError: Nothing installed builds one of the nodes.
    """
    optimizer = build_optimizer(node.optimizer, list(weights), allow_fused=allow_fused)
    scheduler = None
    if node.scheduler is not None:
        scheduler = build_scheduler(node.scheduler, optimizer=optimizer)
    return Updater(optimizer, scheduler)


@singledispatch
def build_optimizer(
    node: OptimizerNode, weights: list[nn.Parameter], *, allow_fused: bool
) -> Optimizer:
    """Build the optimizer of a node; arguments as of `build_updater`."""
    raise _missing(node)


@singledispatch
def build_scheduler(node: SchedulerNode, *, optimizer: Optimizer) -> LRScheduler:
    """Build the scheduler of a node for an optimizer."""
    raise _missing(node)


class InverseLR(LRScheduler):
    """Inverse decay with exponential warmup.

    At step n the rate is `(1 - warmup ** (n + 1)) * max(final_lr, lr * (1 + n / inv_gamma) **
    -power)`.

    Args:
        optimizer: Whose rate this is.
        config: The constants.
    """

    def __init__(self, optimizer: Optimizer, config: InverseLRConfig) -> None:
        self.inv_gamma, self.power = config.inv_gamma, config.power
        self.warmup, self.final_lr = config.warmup, config.final_lr
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """The rates of the current step."""
        step = self.last_epoch
        warmth = 1 - self.warmup ** (step + 1)
        decay = (1 + step / self.inv_gamma) ** -self.power
        return [warmth * max(self.final_lr, rate * decay) for rate in self.base_lrs]


def settings_of(config: msgspec.Struct) -> Settings:
    """The fields of a Struct that are set, under their names, which are those of torch."""
    return {
        key: value for key, value in msgspec.structs.asdict(config).items() if value is not None
    }


def _build_torch_optimizer(
    cls: type[Optimizer], node: _Configured, weights: list[nn.Parameter], *, allow_fused: bool
) -> Optimizer:
    settings = settings_of(node.config)
    if not allow_fused:
        settings.pop("fused", None)
    elif not settings.keys() & {"fused", "foreach"} and _can_fuse(cls, weights):
        settings["fused"] = True
    return cls(weights, **settings)


def _missing(node: msgspec.Struct) -> MissingBuilderError:
    cls = type(node)
    return MissingBuilderError(
        f"nothing installed builds {cls.__module__}.{cls.__qualname__}; its builder must be"
        " registered with build_optimizer or build_scheduler of sat_train.optim"
    )


def _can_fuse(cls: type[Optimizer], weights: list[nn.Parameter]) -> bool:
    devices = FUSED_ON.get(cls, ())
    return all(weight.device.type in devices and weight.is_floating_point() for weight in weights)


def _build_torch_scheduler(
    cls: type[LRScheduler], node: _Configured, *, optimizer: Optimizer
) -> LRScheduler:
    return cls(optimizer, **settings_of(node.config))


for _kind, _optimizer in TORCH_OPTIMIZERS.items():
    build_optimizer.register(_kind, partial(_build_torch_optimizer, _optimizer))
for _node, _scheduler in TORCH_SCHEDULERS.items():
    build_scheduler.register(_node, partial(_build_torch_scheduler, _scheduler))


@build_scheduler.register
def _(node: InverseLRNode, *, optimizer: Optimizer) -> LRScheduler:
    return InverseLR(optimizer, node.config)


@build_optimizer.register
def _(
    node: optimizers.AdamW8bitNode, weights: list[nn.Parameter], *, allow_fused: bool
) -> Optimizer:
    purpose = "the optimizer AdamW8bit"
    package = import_extra("bitsandbytes", extra="8bit", purpose=purpose, distribution="sat-train")
    gone = ("percentile_clipping", "block_wise")
    settings = {key: value for key, value in settings_of(node.config).items() if key not in gone}
    made: Optimizer = package.optim.AdamW8bit(weights, **settings)
    return made


@build_optimizer.register
def _(
    node: optimizers.FusedAdamNode, weights: list[nn.Parameter], *, allow_fused: bool
) -> Optimizer:
    purpose = "the optimizer FusedAdam"
    package = import_extra(
        "deepspeed.ops.adam", extra="deepspeed", purpose=purpose, distribution="sat-train"
    )
    made: Optimizer = package.FusedAdam(weights, **settings_of(node.config))
    return made
