"""What must fit together in optimizers and schedulers."""

from collections.abc import Iterator

from sat_config.audio.optimizer import (
    DifferentiableConfig,
    FusedAdamConfig,
    OptimizerConfig,
    OptimizerGroup,
    SGDConfig,
)
from sat_config.audio.scheduler import CyclicLRConfig, OneCycleLRConfig
from sat_config.rules import Broken, rule


@rule("SAT-E204", on=DifferentiableConfig, reads=("differentiable",))
def differentiable(node: DifferentiableConfig) -> Iterator[Broken]:
    """Autograd does not follow the optimizer: it cannot, into the weights of a module."""
    if node.differentiable:
        yield Broken(
            "differentiable steps are impossible here: the weights of a module are leaves, which"
            " torch refuses to change under autograd",
            ("differentiable",),
            "false",
        )


@rule("SAT-E205", on=OptimizerConfig, reads=("foreach", "fused"))
def one_kernel(node: OptimizerConfig) -> Iterator[Broken]:
    """An optimizer is fused or works on lists of tensors, not both."""
    if node.foreach and getattr(node, "fused", False):
        yield Broken("foreach and fused exclude each other", ("foreach",), "false")


@rule("SAT-E206", on=SGDConfig, reads=("nesterov", "momentum", "dampening"))
def nesterov(node: SGDConfig) -> Iterator[Broken]:
    """Nesterov's SGD has momentum and no dampening."""
    if not node.nesterov:
        return
    if node.momentum == 0:
        yield Broken("nesterov needs momentum, which is 0", ("momentum",), "0.9")
    if node.dampening != 0:
        yield Broken(
            f"nesterov allows no dampening, which is {node.dampening}", ("dampening",), "0.0"
        )


@rule("SAT-E207", on=OptimizerGroup, reads=("optimizer.type", "scheduler.config.cycle_momentum"))
def momentum_to_cycle(node: OptimizerGroup) -> Iterator[Broken]:
    """A scheduler that moves momentum has an optimizer with momentum or betas."""
    schedule = getattr(node.scheduler, "config", None)
    if not isinstance(schedule, CyclicLRConfig | OneCycleLRConfig) or not schedule.cycle_momentum:
        return
    settings = getattr(node.optimizer, "config", None)
    if not hasattr(settings, "momentum") and not hasattr(settings, "betas"):
        kind = type(node.optimizer).__struct_config__.tag
        yield Broken(
            f"{kind} has neither momentum nor betas that the scheduler could move",
            ("scheduler", "config", "cycle_momentum"),
            "false",
        )


@rule("SAT-E208", on=OneCycleLRConfig, reads=("total_steps", "epochs", "steps_per_epoch"))
def length_of_cycle(node: OneCycleLRConfig) -> Iterator[Broken]:
    """OneCycleLR knows its length."""
    if node.steps is None:
        yield Broken(
            "OneCycleLR needs total_steps, or epochs and steps_per_epoch", ("total_steps",)
        )


@rule("SAT-E210", on=FusedAdamConfig, reads=("amsgrad",))
def fused_amsgrad(node: FusedAdamConfig) -> Iterator[Broken]:
    """DeepSpeed's Adam does without amsgrad."""
    if node.amsgrad:
        yield Broken("FusedAdam has no amsgrad; AdamW has", ("amsgrad",), "false")
