"""What is found out before the first step: that data, model and machine go together."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sat_config import UserError
from sat_models.support import UnsupportedError
from sat_train.family import Method
from sat_train.memory import estimate_memory
from sat_train.prepare import Prepared

SHARDED = ("fsdp", "deepspeed")


class PreflightError(UserError):
    """Something that would have gone wrong in the first step."""


def preflight(ready: Prepared) -> dict[str, str]:
    """Check data, model and machine, and leave all of them as they are.

    Weights, and latents against the autoencoder that made them, have been checked by `prepare`.

    Returns:
        What was found, in words, by label.

    Raises:
        UserError: Training would not work.
    """
    batch, data = ready.data.try_out()
    found = {"data tried": data}
    if ready.experiment.strategy in SHARDED:  # nobody knows whether one device could take it
        return found
    with torch.random.fork_rng(), _undone(ready):
        on_device = ready.method.transfer_batch_to_device(batch, ready.method.device, 0)
        found |= ready.method.check_model(on_device)
        found["step tried"] = _try_step(ready, on_device)
    return {**found, "memory": _memory(ready, batch)}


@contextmanager
def _undone(ready: Prepared) -> Iterator[None]:
    """The model where it will be trained; what a step changes besides weights is put back."""
    method, trainer = ready.method, ready.trainer
    method.trainer = trainer
    trainer.precision_plugin.convert_module(method)
    method.to(trainer.strategy.root_device)
    before = {name: buffer.clone() for name, buffer in method.named_buffers()}
    try:
        with trainer.precision_plugin.forward_context():
            yield
    finally:
        method.zero_grad()
        for name, buffer in method.named_buffers():
            buffer.copy_(before[name])


def _try_step(ready: Prepared, batch: Any) -> str:  # noqa: ANN401 - a family's own batches
    """Forward and backward for each part that is trained."""
    method, words = ready.method, []
    for part in method.parts:
        with method.only(part):
            losses = method.losses(batch, part)
            losses.total.backward()  # type: ignore[no-untyped-call]
        _refuse_unless_finite(
            ready, {name: term.item() for name, term in losses.terms.items()}, batch
        )
        idle = _without_gradient(method, part.modules)
        left = f", no gradient for {', '.join(idle[:3])}" if idle else ""
        more = f" and {len(idle) - 3} more" if len(idle) > 3 else ""
        words.append(f"{part.name}: loss {losses.total.item():.4g}{left}{more}")
    return "\n".join(words)


def _refuse_unless_finite(ready: Prepared, terms: Mapping[str, float], batch: object) -> None:
    bad = [name for name, value in terms.items() if not math.isfinite(value)]
    if bad:
        values = ", ".join(f"{name} = {value:g}" for name, value in terms.items())
        raise PreflightError(
            f"the first step's loss would not be finite ({values}), on a batch of"
            f" {', '.join(ready.data.ids_of(batch))}: look at these files, the weights that"
            " training starts from, and precision"
        )


def _without_gradient(method: Method, modules: tuple[nn.Module, ...]) -> list[str]:
    names = {weight: name for name, weight in method.named_parameters()}
    weights = [weight for module in modules for weight in module.parameters()]
    return [names[w] for w in weights if w.requires_grad and w.grad is None and w in names]


def _memory(ready: Prepared, batch: Any) -> str:  # noqa: ANN401 - a family's own batches
    try:
        estimate = estimate_memory(ready.experiment, batch, trainer=ready.trainer)
    except UnsupportedError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a model raises without contents
        return f"not estimated: {type(error).__name__}: {str(error).splitlines()[0]}"
    return estimate.verdict(ready.trainer.strategy.root_device)
