"""Learning rate schedulers: SAT's own InverseLR, and those of torch 2.11 that a file can express.

Each is stepped once per optimizer step, so their "epochs" are steps.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from sat_config.node import (
    Node,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Probability,
)
from sat_config.registry import family, member, refuse


@family("scheduler")
class SchedulerNode(Node, kw_only=True, tag_field="type"):
    """What changes a learning rate with the steps."""


class SchedulerConfig(Node, kw_only=True):
    """What all schedulers have.

    Attributes:
        last_epoch: Torch's mark of a fresh start, the only value that works; a resumed run takes
            its place in the schedule from the checkpoint.
    """

    last_epoch: Annotated[int, Meta(ge=-1, le=-1)] = -1


# --------------------------------------------------------------------------------------- SAT's own


class InverseLRConfig(SchedulerConfig, kw_only=True):
    """Inverse decay with exponential warmup, by the step n.

    (1 - warmup ** (n + 1)) * max(final_lr, lr * (1 + n / inv_gamma) ** -power)

    Attributes:
        inv_gamma: Steps after which the rate has fallen to (1/2) ** power; higher is slower.
        power: Exponent of the decay.
        warmup: Share of the missing rate that is still missing after a step; 0.99 is at 63 % of
            the full rate after 100 steps.
        final_lr: Rate below which it does not fall, before warmup.
    """

    inv_gamma: PositiveFloat = 1.0
    power: float = 1.0
    warmup: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    final_lr: NonNegativeFloat = 0.0


@member
class InverseLRNode(SchedulerNode, kw_only=True, tag="InverseLR"):
    """InverseLR.

    Attributes:
        config: Its settings.
    """

    config: InverseLRConfig


# --------------------------------------------------------------------------- constant and stepwise


class ConstantLRConfig(SchedulerConfig, kw_only=True):
    """A reduced rate for the first steps.

    Attributes:
        factor: Factor of the rate until then.
        total_iters: Steps after which the full rate applies.
    """

    factor: Probability = 1 / 3
    total_iters: NonNegative = 5


@member
class ConstantLRNode(SchedulerNode, kw_only=True, tag="ConstantLR"):
    """ConstantLR.

    Attributes:
        config: Its settings.
    """

    config: ConstantLRConfig


class LinearLRConfig(SchedulerConfig, kw_only=True):
    """A factor that moves in a straight line.

    Attributes:
        start_factor: Factor of the rate at the first step.
        end_factor: Factor at the end, and from there on.
        total_iters: Steps until then.
    """

    start_factor: Annotated[float, Meta(gt=0, le=1)] = 1 / 3
    end_factor: Probability = 1.0
    total_iters: Positive = 5


@member
class LinearLRNode(SchedulerNode, kw_only=True, tag="LinearLR"):
    """LinearLR.

    Attributes:
        config: Its settings.
    """

    config: LinearLRConfig


class StepLRConfig(SchedulerConfig, kw_only=True):
    """A factor at regular intervals.

    Attributes:
        step_size: Steps between two changes.
        gamma: Factor of each.
    """

    step_size: Positive
    gamma: PositiveFloat = 0.1


@member
class StepLRNode(SchedulerNode, kw_only=True, tag="StepLR"):
    """StepLR.

    Attributes:
        config: Its settings.
    """

    config: StepLRConfig


class MultiStepLRConfig(SchedulerConfig, kw_only=True):
    """A factor at given steps.

    Attributes:
        milestones: The steps.
        gamma: Factor at each.
    """

    milestones: Annotated[tuple[NonNegative, ...], Meta(min_length=1)]
    gamma: PositiveFloat = 0.1


@member
class MultiStepLRNode(SchedulerNode, kw_only=True, tag="MultiStepLR"):
    """MultiStepLR.

    Attributes:
        config: Its settings.
    """

    config: MultiStepLRConfig


# ----------------------------------------------------------------------------------- smooth decays


class ExponentialLRConfig(SchedulerConfig, kw_only=True):
    """A factor at every step.

    Attributes:
        gamma: The factor; 0.999996 halves the rate in 173,000 steps.
    """

    gamma: PositiveFloat


@member
class ExponentialLRNode(SchedulerNode, kw_only=True, tag="ExponentialLR"):
    """ExponentialLR.

    Attributes:
        config: Its settings.
    """

    config: ExponentialLRConfig


class PolynomialLRConfig(SchedulerConfig, kw_only=True):
    """A fall to zero.

    Attributes:
        total_iters: Steps until the rate is zero, and stays there.
        power: Exponent of the fall; 1 is a straight line.
    """

    total_iters: Positive = 5
    power: PositiveFloat = 1.0


@member
class PolynomialLRNode(SchedulerNode, kw_only=True, tag="PolynomialLR"):
    """PolynomialLR.

    Attributes:
        config: Its settings.
    """

    config: PolynomialLRConfig


class CosineAnnealingLRConfig(SchedulerConfig, kw_only=True):
    """Half a cosine down (Loshchilov and Hutter 2017, arXiv 1608.03983), and up again after it.

    Attributes:
        T_max: Steps to the least rate.
        eta_min: The least rate.
    """

    T_max: Positive
    eta_min: NonNegativeFloat = 0.0


@member
class CosineAnnealingLRNode(SchedulerNode, kw_only=True, tag="CosineAnnealingLR"):
    """CosineAnnealingLR.

    Attributes:
        config: Its settings.
    """

    config: CosineAnnealingLRConfig


class CosineAnnealingWarmRestartsConfig(SchedulerConfig, kw_only=True):
    """Half a cosine down, over and over (Loshchilov and Hutter 2017, arXiv 1608.03983).

    Attributes:
        T_0: Steps of the first fall.
        T_mult: Factor by which each is longer than the last.
        eta_min: The least rate.
    """

    T_0: Positive
    T_mult: Positive = 1
    eta_min: NonNegativeFloat = 0.0


@member
class CosineAnnealingWarmRestartsNode(
    SchedulerNode, kw_only=True, tag="CosineAnnealingWarmRestarts"
):
    """CosineAnnealingWarmRestarts.

    Attributes:
        config: Its settings.
    """

    config: CosineAnnealingWarmRestartsConfig


# ------------------------------------------------------------------------------------------ cycles


class CyclicLRConfig(SchedulerConfig, kw_only=True):
    """Up and down between two rates (Smith 2017, arXiv 1506.01186).

    Attributes:
        base_lr: The lower rate; takes the place of the optimizer's own.
        max_lr: The upper rate.
        step_size_up: Steps up.
        step_size_down: Steps down; as many as up if left out.
        mode: Same height in each cycle, half the height of the last, or falling by `gamma`.
        gamma: Factor of the height per cycle or step, for "exp_range".
        scale_mode: Whether `gamma` counts cycles or steps.
        cycle_momentum: Move momentum (or the first beta) against the rate.
        base_momentum: Momentum at the upper rate.
        max_momentum: Momentum at the lower rate.
    """

    base_lr: PositiveFloat
    max_lr: PositiveFloat
    step_size_up: Positive = 2000
    step_size_down: Positive | None = None
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    gamma: PositiveFloat = 1.0
    scale_mode: Literal["cycle", "iterations"] = "cycle"
    cycle_momentum: bool = True
    base_momentum: Probability = 0.8
    max_momentum: Probability = 0.9


@member
class CyclicLRNode(SchedulerNode, kw_only=True, tag="CyclicLR"):
    """CyclicLR.

    Attributes:
        config: Its settings.
    """

    config: CyclicLRConfig


class OneCycleLRConfig(SchedulerConfig, kw_only=True):
    """One rise and one long fall (Smith and Topin 2019, arXiv 1708.07120).

    It is over after `total_steps` and then stops training with an error.

    Attributes:
        max_lr: The highest rate; takes the place of the optimizer's own.
        total_steps: Steps of the whole; else `epochs` times `steps_per_epoch`.
        epochs: Epochs of the whole.
        steps_per_epoch: Optimizer steps in each.
        pct_start: Share of the steps that go up.
        anneal_strategy: Cosine or straight lines.
        cycle_momentum: Move momentum (or the first beta) against the rate.
        base_momentum: Momentum at the highest rate.
        max_momentum: Momentum at the start and the end.
        div_factor: The highest rate divided by the first.
        final_div_factor: The first rate divided by the last.
        three_phase: Come down as fast as up, then fall to the last rate.
    """

    max_lr: PositiveFloat
    total_steps: Positive | None = None
    epochs: Positive | None = None
    steps_per_epoch: Positive | None = None
    pct_start: Probability = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = True
    base_momentum: Probability = 0.85
    max_momentum: Probability = 0.95
    div_factor: PositiveFloat = 25.0
    final_div_factor: PositiveFloat = 1e4
    three_phase: bool = False

    @property
    def steps(self) -> int | None:
        """Steps of the whole; None if nothing says so."""
        if self.total_steps is not None:
            return self.total_steps
        if self.epochs is not None and self.steps_per_epoch is not None:
            return self.epochs * self.steps_per_epoch
        return None


@member
class OneCycleLRNode(SchedulerNode, kw_only=True, tag="OneCycleLR"):
    """OneCycleLR.

    Attributes:
        config: Its settings.
    """

    config: OneCycleLRConfig


# ---------------------------------------------------------------------------------------- refused

for _tag in ("LambdaLR", "MultiplicativeLR"):
    refuse(
        SchedulerNode,
        _tag,
        f"{_tag} takes a Python function, which a file cannot express; InverseLR,"
        " CosineAnnealingLR and LinearLR cover the usual shapes",
    )
for _tag in ("ChainedScheduler", "SequentialLR"):
    refuse(
        SchedulerNode,
        _tag,
        f"{_tag} takes finished schedulers, which a file cannot express; InverseLR and OneCycleLR"
        " have a warmup of their own",
    )
refuse(
    SchedulerNode,
    "ReduceLROnPlateau",
    "ReduceLROnPlateau waits for a measured value that no training method supplies at every step;"
    " take InverseLR or CosineAnnealingLR",
)
