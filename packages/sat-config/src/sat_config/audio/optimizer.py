"""Optimizers: those of torch 2.11, DeepSpeed's fused Adam and bitsandbytes' 8-bit AdamW."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

import sat_config.audio.scheduler as scheduler
from sat_config.node import (
    Node,
    NonNegative,
    NonNegativeFloat,
    PositiveFloat,
    Probability,
)
from sat_config.registry import Open, family, member, refuse

Decay = Annotated[float, Meta(ge=0, lt=1)]
Betas = tuple[Decay, Decay]


@family("optimizer")
class OptimizerNode(Node, kw_only=True, tag_field="type"):
    """What turns gradients into steps."""


class OptimizerGroup(Node, kw_only=True):
    """An optimizer and what changes its learning rate.

    Attributes:
        optimizer: The optimizer.
        scheduler: Changes the learning rate with every optimizer step; constant if left out.
    """

    optimizer: Open[OptimizerNode]
    scheduler: Open[scheduler.SchedulerNode] | None = None


# -------------------------------------------------------------------------- what several have


class OptimizerConfig(Node, kw_only=True):
    """What all of torch's optimizers have.

    Attributes:
        foreach: Update all tensors of a kind in one call, faster and with more memory; torch
            decides if left out.
        maximize: Climb the loss in place of descending it.
    """

    foreach: bool | None = None
    maximize: bool = False


class DifferentiableConfig(OptimizerConfig, kw_only=True):
    """What most of torch's optimizers have.

    Attributes:
        differentiable: Let autograd see the step; impossible for the weights of a module.
    """

    differentiable: bool = False


class CapturableConfig(DifferentiableConfig, kw_only=True):
    """What optimizers have that work inside a CUDA graph.

    Attributes:
        capturable: Keep the step count on the GPU, as a CUDA graph needs; slower without one.
    """

    capturable: bool = False


# ----------------------------------------------------------------------------- the Adam family


class AdamConfig(CapturableConfig, kw_only=True):
    """Adam (Kingma and Ba 2015, arXiv 1412.6980).

    Attributes:
        lr: Step size.
        betas: Decay of the averages of the gradient and of its square; closer to 1 is slower and
            smoother.
        eps: Added to the root of the second average; higher tempers weights of small gradients.
        weight_decay: Pull to zero, added to the gradient.
        amsgrad: Never let the second average shrink.
        fused: One kernel per step; torch decides if left out.
        decoupled_weight_decay: Decay weights apart from the gradient, which makes it AdamW.
    """

    lr: PositiveFloat = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: NonNegativeFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.0
    amsgrad: bool = False
    fused: bool | None = None
    decoupled_weight_decay: bool = False


@member
class AdamNode(OptimizerNode, kw_only=True, tag="Adam"):
    """Adam.

    Attributes:
        config: Its settings.
    """

    config: AdamConfig


class AdamWConfig(CapturableConfig, kw_only=True):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101).

    Attributes:
        lr: Step size.
        betas: Decay of the averages of the gradient and of its square; closer to 1 is slower and
            smoother.
        eps: Added to the root of the second average; higher tempers weights of small gradients.
        weight_decay: Share of a weight, times the step size, that each step removes.
        amsgrad: Never let the second average shrink.
        fused: One kernel per step; torch decides if left out.
    """

    lr: PositiveFloat = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: NonNegativeFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.01
    amsgrad: bool = False
    fused: bool | None = None


@member
class AdamWNode(OptimizerNode, kw_only=True, tag="AdamW"):
    """AdamW.

    Attributes:
        config: Its settings.
    """

    config: AdamWConfig


class FusedAdamConfig(Node, kw_only=True):
    """DeepSpeed's Adam in one kernel; needs a GPU and the extra that brings DeepSpeed.

    Attributes:
        lr: Step size.
        bias_correction: Divide the averages by what they lack at the start.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the root of the second average.
        adam_w_mode: Decoupled weight decay (AdamW) in place of Adam's.
        weight_decay: Pull to zero.
        amsgrad: Not supported by the kernel; must stay false.
        set_grad_none: Free gradients after a step in place of zeroing them.
    """

    lr: PositiveFloat = 1e-3
    bias_correction: bool = True
    betas: Betas = (0.9, 0.999)
    eps: NonNegativeFloat = 1e-8
    adam_w_mode: bool = True
    weight_decay: NonNegativeFloat = 0.0
    amsgrad: bool = False
    set_grad_none: bool = True


@member
class FusedAdamNode(OptimizerNode, kw_only=True, tag="FusedAdam"):
    """DeepSpeed's FusedAdam.

    Attributes:
        config: Its settings.
    """

    config: FusedAdamConfig


_GONE = "bitsandbytes 0.50 dropped this option"


class AdamW8bitConfig(Node, kw_only=True):
    """AdamW with averages in 8 bits (Dettmers et al. 2022, arXiv 2110.02861), from bitsandbytes.

    Takes a quarter of the memory of AdamW's state. SAT has it from 0.0.20 on.

    Attributes:
        lr: Step size.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the root of the second average.
        weight_decay: Share of a weight, times the step size, that each step removes.
        min_8bit_size: Tensors of fewer elements keep 32 bits.
        is_paged: Let the state move to the host's memory when the GPU's is full.
        percentile_clipping: Percentile of past norms at which gradients were clipped.
        block_wise: Whether blocks of a tensor were quantised by themselves; they always are.
    """

    lr: PositiveFloat = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: NonNegativeFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.01
    min_8bit_size: NonNegative = 4096
    is_paged: bool = False
    percentile_clipping: Annotated[int, Meta(ge=1, le=100, extra={"inert": _GONE})] = 100
    block_wise: Annotated[bool, Meta(extra={"inert": _GONE})] = True


@member
class AdamW8bitNode(OptimizerNode, kw_only=True, tag="AdamW8bit"):
    """bitsandbytes' AdamW8bit.

    Attributes:
        config: Its settings.
    """

    config: AdamW8bitConfig


class AdamaxConfig(CapturableConfig, kw_only=True):
    """Adam by the largest gradient in place of the mean square (Kingma and Ba 2015).

    Attributes:
        lr: Step size.
        betas: Decay of the average of the gradient and of its running maximum.
        eps: Added to the maximum.
        weight_decay: Pull to zero, added to the gradient.
    """

    lr: PositiveFloat = 2e-3
    betas: Betas = (0.9, 0.999)
    eps: NonNegativeFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.0


@member
class AdamaxNode(OptimizerNode, kw_only=True, tag="Adamax"):
    """Adamax.

    Attributes:
        config: Its settings.
    """

    config: AdamaxConfig


class NAdamConfig(CapturableConfig, kw_only=True):
    """Adam with Nesterov's momentum (Dozat 2016).

    Attributes:
        lr: Step size.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the root of the second average.
        weight_decay: Pull to zero, added to the gradient.
        momentum_decay: How fast momentum reaches its full strength; higher is faster.
        decoupled_weight_decay: Decay weights apart from the gradient, as AdamW does.
    """

    lr: PositiveFloat = 2e-3
    betas: Betas = (0.9, 0.999)
    eps: NonNegativeFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.0
    momentum_decay: NonNegativeFloat = 4e-3
    decoupled_weight_decay: bool = False


@member
class NAdamNode(OptimizerNode, kw_only=True, tag="NAdam"):
    """NAdam.

    Attributes:
        config: Its settings.
    """

    config: NAdamConfig


class RAdamConfig(CapturableConfig, kw_only=True):
    """Adam that waits for its averages to settle (Liu et al. 2020, arXiv 1908.03265).

    Attributes:
        lr: Step size.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the root of the second average.
        weight_decay: Pull to zero, added to the gradient.
        decoupled_weight_decay: Decay weights apart from the gradient, as AdamW does.
    """

    lr: PositiveFloat = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: NonNegativeFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.0
    decoupled_weight_decay: bool = False


@member
class RAdamNode(OptimizerNode, kw_only=True, tag="RAdam"):
    """RAdam.

    Attributes:
        config: Its settings.
    """

    config: RAdamConfig


# ---------------------------------------------------------------------------- other adaptive ones


class AdadeltaConfig(CapturableConfig, kw_only=True):
    """Steps in the units of past steps (Zeiler 2012, arXiv 1212.5701).

    Attributes:
        lr: Factor of each step.
        rho: Decay of the averages of squared gradients and steps.
        eps: Added under both roots.
        weight_decay: Pull to zero, added to the gradient.
    """

    lr: PositiveFloat = 1.0
    rho: Probability = 0.9
    eps: NonNegativeFloat = 1e-6
    weight_decay: NonNegativeFloat = 0.0


@member
class AdadeltaNode(OptimizerNode, kw_only=True, tag="Adadelta"):
    """Adadelta.

    Attributes:
        config: Its settings.
    """

    config: AdadeltaConfig


class AdafactorConfig(OptimizerConfig, kw_only=True):
    """Squared gradients kept by row and column only (Shazeer and Stern 2018, arXiv 1804.04235).

    Attributes:
        lr: Largest step size.
        beta2_decay: Exponent by which the average of squares slows down with the steps.
        eps: Added to squared gradients, and the least root mean square that a weight's scale
            counts as; without it, the number format's own and 0.001.
        d: Root mean square of an update above which it is clipped.
        weight_decay: Share of a weight, times the step size, that each step removes.
    """

    lr: PositiveFloat = 1e-2
    beta2_decay: Annotated[float, Meta(le=0)] = -0.8
    eps: tuple[NonNegativeFloat, NonNegativeFloat] | None = None
    d: Annotated[float, Meta(ge=1)] = 1.0
    weight_decay: NonNegativeFloat = 0.0


@member
class AdafactorNode(OptimizerNode, kw_only=True, tag="Adafactor"):
    """Adafactor.

    Attributes:
        config: Its settings.
    """

    config: AdafactorConfig


class AdagradConfig(DifferentiableConfig, kw_only=True):
    """Steps divided by the root of all squared gradients so far (Duchi et al. 2011).

    Attributes:
        lr: Step size.
        lr_decay: How fast the step size falls with the steps.
        weight_decay: Pull to zero, added to the gradient.
        initial_accumulator_value: What the sum of squares starts from.
        eps: Added to its root.
        fused: One kernel per step; torch decides if left out.
    """

    lr: PositiveFloat = 1e-2
    lr_decay: NonNegativeFloat = 0.0
    weight_decay: NonNegativeFloat = 0.0
    initial_accumulator_value: NonNegativeFloat = 0.0
    eps: NonNegativeFloat = 1e-10
    fused: bool | None = None


@member
class AdagradNode(OptimizerNode, kw_only=True, tag="Adagrad"):
    """Adagrad.

    Attributes:
        config: Its settings.
    """

    config: AdagradConfig


class RMSpropConfig(CapturableConfig, kw_only=True):
    """Steps divided by the root mean square of recent gradients (Tieleman and Hinton 2012).

    Attributes:
        lr: Step size.
        alpha: Decay of the average of squares.
        eps: Added to its root.
        weight_decay: Pull to zero, added to the gradient.
        momentum: Share of the last step that is repeated.
        centered: Divide by the standard deviation of gradients in place of their root mean square.
    """

    lr: PositiveFloat = 1e-2
    alpha: Probability = 0.99
    eps: NonNegativeFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.0
    momentum: NonNegativeFloat = 0.0
    centered: bool = False


@member
class RMSpropNode(OptimizerNode, kw_only=True, tag="RMSprop"):
    """RMSprop.

    Attributes:
        config: Its settings.
    """

    config: RMSpropConfig


# ------------------------------------------------------------------------------------- plain ones


class SGDConfig(DifferentiableConfig, kw_only=True):
    """Stochastic gradient descent, with momentum if asked for.

    Attributes:
        lr: Step size.
        momentum: Share of the last step that is repeated.
        dampening: Share of the gradient that is left out of the momentum.
        weight_decay: Pull to zero, added to the gradient.
        nesterov: Look ahead by the momentum; needs momentum and no dampening.
        fused: One kernel per step; torch decides if left out.
    """

    lr: PositiveFloat = 1e-3
    momentum: NonNegativeFloat = 0.0
    dampening: float = 0.0
    weight_decay: NonNegativeFloat = 0.0
    nesterov: bool = False
    fused: bool | None = None


@member
class SGDNode(OptimizerNode, kw_only=True, tag="SGD"):
    """SGD.

    Attributes:
        config: Its settings.
    """

    config: SGDConfig


class ASGDConfig(CapturableConfig, kw_only=True):
    """SGD with an average of the weights beside it (Polyak and Juditsky 1992).

    The average is kept in the optimizer and used by nobody: training and saving see the weights.

    Attributes:
        lr: Step size.
        lambd: How fast the step size falls.
        alpha: Power by which it falls.
        t0: Step at which the averaging starts.
        weight_decay: Pull to zero, added to the gradient.
    """

    lr: PositiveFloat = 1e-2
    lambd: float = 1e-4
    alpha: float = 0.75
    t0: float = 1e6
    weight_decay: NonNegativeFloat = 0.0


@member
class ASGDNode(OptimizerNode, kw_only=True, tag="ASGD"):
    """ASGD.

    Attributes:
        config: Its settings.
    """

    config: ASGDConfig


class RpropConfig(CapturableConfig, kw_only=True):
    """Steps by the signs of gradients alone (Riedmiller and Braun 1993); meant for full batches.

    Attributes:
        lr: First step size of every weight.
        etas: Factors of a weight's step size when its gradient changes sign, and when it does not.
        step_sizes: Least and largest step size.
    """

    lr: PositiveFloat = 1e-2
    etas: tuple[Annotated[float, Meta(gt=0, lt=1)], Annotated[float, Meta(gt=1)]] = (0.5, 1.2)
    step_sizes: tuple[PositiveFloat, PositiveFloat] = (1e-6, 50.0)


@member
class RpropNode(OptimizerNode, kw_only=True, tag="Rprop"):
    """Rprop.

    Attributes:
        config: Its settings.
    """

    config: RpropConfig


# ---------------------------------------------------------------------------------------- refused

refuse(
    OptimizerNode,
    "LBFGS",
    "LBFGS computes the loss several times per step, which no training method here does (neither"
    " does SAT's: it calls step() without the closure that LBFGS needs); AdamW is the usual choice",
)
refuse(
    OptimizerNode,
    "SparseAdam",
    "SparseAdam takes sparse gradients only, and the gradients of these models are dense; take"
    " Adam",
)
refuse(
    OptimizerNode,
    "Muon",
    "torch's Muon takes matrices only and stops at the first bias or convolution, which all of"
    " these models have; take AdamW",
)
for _tag in ("CAdamW", "CLion", "MuonAdamW"):
    refuse(
        OptimizerNode,
        _tag,
        f"{_tag} came with stable-audio-tools 0.0.20 and is not available here; take AdamW",
    )
